"""Files appear whole or not at all."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from edge_rnn.atomic import write, written_aside
from edge_rnn.errors import FileError


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
    monkeypatch.setattr(secrets, "token_hex", lambda _: "guessed")
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / ".edge_rnn-guessed.tmp").symlink_to("victim")
    with pytest.raises(FileError, match="a: cannot be written: File exists"):
        write(tmp_path / "a", b"new")
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert (tmp_path / ".edge_rnn-guessed.tmp").is_symlink()


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
