"""Atomic writes: files appear whole or not at all."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_rnn import Dense, Model, atomic
from edge_rnn.atomic import write, written_aside
from edge_rnn.errors import FileError
from edge_rnn.loop.sinks import Lines


def test_file_takes_its_name_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with written_aside(str(path), b"new") as aside:
        assert aside.parent == tmp_path
        assert (aside.read_bytes(), path.read_bytes()) == (b"new", b"old")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a", b"new")]


@pytest.mark.parametrize("error", [ValueError("no"), OSError(5, "no"), KeyboardInterrupt()])
def test_error_of_the_block_is_handed_on_and_nothing_remains(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(type(error)) as caught, written_aside(path, b"new"):
        raise error
    assert caught.value is error
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a", b"old")]


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with written_aside(path, b"first") as first, written_aside(path, b"second") as second:
        assert first != second
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a", b"first")]


def test_what_stands_at_the_name_aside_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    (tmp_path / "victim").write_bytes(b"precious")
    with written_aside(tmp_path / "b", b"") as aside:
        guessed = aside
    guessed.symlink_to("victim")
    with pytest.raises(FileError, match="a: cannot be written: File exists"):
        write(tmp_path / "a", b"new")
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert guessed.is_symlink()


def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("a")  # to nothing, so far
    write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("place", "message"), [("none/a", "there is no folder"), (".", "a folder or a device"), ("a\0b", "null")]
)
def test_place_that_cannot_be_written(place: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=message):
        write(f"{tmp_path}/{place}", b"new")
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys
from edge_rnn.atomic import written_aside
with written_aside(sys.argv[1], bytes(1000)):
    print("aside", flush=True)
    sys.stdin.read()
"""


def asides(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if each.name.endswith(".tmp"))


def test_left_overs_of_a_killed_writer_are_removed_but_not_files_in_use(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "a")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"aside\n"
        (left,) = asides(tmp_path)
        write(tmp_path / "b", b"of another")
        assert asides(tmp_path) == [left]
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert asides(tmp_path) == [left]
    write(tmp_path / "b", b"again")
    assert asides(tmp_path) == []
    assert not (tmp_path / "a").exists()


def test_frequent_writes_look_for_left_overs_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[Path] = []
    now_s = iter([100.0, 101.0, 159.0, 161.0, 162.0])
    monkeypatch.setattr(atomic, "remove_left_overs", swept.append)
    monkeypatch.setattr(time, "monotonic", lambda: next(now_s))
    for place in range(5):
        write(tmp_path / "status", b"%d" % place, durable=False)
    assert swept == [tmp_path, tmp_path]
    write(tmp_path / "model", b"")
    assert len(swept) == 3


def test_left_overs_of_another_machine_are_removed_after_a_day(tmp_path: Path) -> None:
    young, old = (tmp_path / f".edge_rnn-{start}-0123456789abcdef.tmp" for start in ("00000000", "11111111"))
    for path in (young, old):
        path.write_bytes(b"left over")
    day_ago = time.time() - 86500
    os.utime(old, (day_ago, day_ago))
    (tmp_path / ".edge_rnn-notes.tmp").write_bytes(b"another file")
    write(tmp_path / "a", b"new")
    assert asides(tmp_path) == [young.name, ".edge_rnn-notes.tmp"]


@pytest.mark.parametrize(
    ("before", "umask", "expected"), [(None, 0o022, 0o644), (None, 0o077, 0o600), (0o640, 0o022, 0o640)]
)
def test_permissions_are_those_of_the_umask_or_of_the_file_before(
    before: int | None, umask: int, expected: int, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    if before is not None:
        path.touch()
        path.chmod(before)
    kept = os.umask(umask)
    try:
        with written_aside(path, b"new") as aside:
            while_written = stat.S_IMODE(aside.stat().st_mode)
    finally:
        os.umask(kept)
    assert while_written == 0o600
    assert stat.S_IMODE(path.stat().st_mode) == expected


def test_link_is_replaced_where_it_is_not_to_be_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("victim")
    write(tmp_path / "link", b"new", follow=False)
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert (tmp_path / "link").read_bytes() == b"new"
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give a link to another user")
def test_link_of_another_user_is_not_followed_in_a_folder_for_all(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / "victim").write_bytes(b"precious")
    link = tmp_path / "link"
    link.symlink_to("victim")
    os.chown(link, 65534, 65534, follow_symlinks=False)
    with pytest.raises(FileError, match="a link that another user made"):
        write(link, b"new")
    with pytest.raises(FileError, match="link: cannot be written: it is a link that another user made"):
        Lines(link, Model([Dense([[1.0]])]))
    assert (tmp_path / "victim").read_bytes() == b"precious"


@pytest.mark.parametrize("hard_links", [True, False])
def test_file_before_gets_the_other_name(hard_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hard_links:

        def fail(*_: object, **__: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", fail)
    for data in (b"1", b"2", b"3"):
        write(tmp_path / "a", data, previous=tmp_path / "a.previous")
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"a": b"3", "a.previous": b"2"}
