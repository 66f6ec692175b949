"""Code from a disk is run only if no other user can have written it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_rnn.bench import machine
from edge_rnn.kernels.compile.image import Image
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry import object_cache
from edge_rnn.own_files import distrusted, read_own

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give files to another user")
STRANGER = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "some" / "cache"
    made.mkdir(parents=True)
    for each in (made, made.parent):
        each.chmod(0o755)
    return made


def test_own_folder_is_trusted_and_so_is_one_to_be_made(folder: Path) -> None:
    assert distrusted(folder) == distrusted(folder / "to" / "make") == ""


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775, 0o757])
def test_folder_that_others_may_write_to_is_not_trusted(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    assert distrusted(folder) == f"others may write to {folder} and could put code there; chmod go-w {folder}"


@pytest.mark.parametrize(("mode", "trusted"), [(0o777, False), (0o757, False), (0o1777, True), (0o755, True)])
def test_folder_on_the_way_will_do_where_others_cannot_rename(folder: Path, mode: int, trusted: bool) -> None:
    folder.parent.chmod(mode)
    assert (distrusted(folder) == "") is trusted
    assert (distrusted(folder / "to" / "make") == "") is trusted


def test_link_leads_through_the_folders_that_it_names(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open" / "way").symlink_to(folder)
    (tmp_path / "link").symlink_to("open/way")  # where it ends is fine, what it goes through is not
    (tmp_path / "straight").symlink_to("some/../some/cache")
    assert str(tmp_path / "open") in distrusted(tmp_path / "link")
    assert distrusted(tmp_path / "straight") == ""


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="too many links"):
        distrusted(tmp_path / "a")


@as_root
@pytest.mark.parametrize("what", ["folder", "way", "link"])
def test_files_of_another_user_are_not_trusted(folder: Path, what: str) -> None:
    place = folder if what == "folder" else folder.parent
    if what == "link":
        place = folder.with_name("link")
        place.symlink_to(folder)
    os.chown(place, STRANGER, -1, follow_symlinks=False)
    assert f"{place} belongs to another user" in distrusted(folder.with_name("link") if what == "link" else folder)


def test_own_file_is_read_and_a_link_or_pipe_is_not(folder: Path) -> None:
    path = folder / "code.o"
    path.write_bytes(b"code")
    path.chmod(0o644)
    (folder / "link.o").symlink_to(path)
    os.mkfifo(folder / "pipe.o")
    assert read_own(path) == b"code"
    assert read_own(folder / "link.o") is read_own(folder / "pipe.o") is read_own(folder / "none.o") is None


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_file_that_others_may_write_to_is_not_read(folder: Path, mode: int) -> None:
    path = folder / "code.o"
    path.write_bytes(b"code")
    path.chmod(mode)
    assert read_own(path) is None


@as_root
def test_file_of_another_user_is_not_read(folder: Path) -> None:
    path = folder / "code.o"
    path.write_bytes(b"code")
    os.chown(path, STRANGER, STRANGER)
    assert read_own(path) is None


def test_kernels_are_kept_for_their_owner_alone_and_compiled_where_that_cannot_be(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []

    def compile_one(name: str, cpu: Target) -> Image:
        compiled.append(name)
        return Image(b"never called", {name: 0})

    monkeypatch.setattr(object_cache, "_compiled", compile_one)

    def cached() -> bool:
        monkeypatch.setattr(object_cache, "_loaded", {})
        return object_cache.load("add").cached

    place = folder / "to" / "make"
    monkeypatch.setenv(object_cache.CACHE_VARIABLE, str(place))
    kept = os.umask(0)
    try:
        assert [cached(), cached()] == [False, True]
    finally:
        os.umask(kept)
    (path,) = place.glob("*.image")
    assert [each.stat().st_mode & 0o777 for each in (path, place, place.parent)] == [0o600, 0o700, 0o700]
    path.chmod(0o620)
    assert machine.cache()["not_own"] == 1
    assert [cached(), cached()] == [False, True]
    assert path.stat().st_mode & 0o777 == 0o600
    place.chmod(0o777)
    assert [cached(), cached()] == [False, False]
    found = object_cache.cache_directory()
    assert (found.trusted, found.writable) == (False, False)
    assert machine.cache()["reason"] == found.reason == distrusted(place)
    assert len(compiled) == 4


def test_doctor_says_that_a_cache_is_not_trusted_and_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from edge_rnn.cli import main

    folder.chmod(0o777)
    monkeypatch.setenv(object_cache.CACHE_VARIABLE, str(folder))
    monkeypatch.setenv("COLUMNS", "1000")
    assert main(["doctor"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("kernel cache")]
    assert "not trusted: others may write to" in line
    assert f"chmod go-w {folder}" in line
    assert object_cache.CACHE_VARIABLE in line
