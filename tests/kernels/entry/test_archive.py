"""Archives of kernels: what is put in comes out, and damaged files are errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout import environment
from edge_rnn.errors import FileError
from edge_rnn.kernels.entry.archive import Archive, archived

ENTRIES = {f"kernel_{n}": bytes(range(256)) * n + b"the same end of every entry" for n in range(40)}


@given(st.dictionaries(st.text(max_size=8), st.binary(max_size=200)))
def test_entries_come_out_as_they_were_put_in(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, bytes]
) -> None:
    path = tmp_path_factory.mktemp("archive") / "some.kernels"
    path.write_bytes(archived(entries))
    archive = Archive(path)
    assert archive.names() == list(entries)
    assert {name: archive.get(name) for name in entries} == entries
    assert archive.get("another name") is None


def test_the_same_entries_give_the_same_bytes() -> None:
    assert archived(ENTRIES) == archived(dict(ENTRIES))


def test_entries_share_what_they_have_in_common() -> None:
    noise = np.random.default_rng(0).bytes(1000)
    alike = {str(n): bytes([n]) + noise for n in range(100)}
    assert len(archived(alike)) < 0.4 * sum(map(len, alike.values()))


def test_entries_larger_than_the_dictionary(tmp_path: Path) -> None:
    large = {str(n): bytes([n]) * 100_000 + bytes(range(256)) for n in range(3)}
    (tmp_path / "some.kernels").write_bytes(archived(large))
    archive = Archive(tmp_path / "some.kernels")
    assert {name: archive.get(name) for name in large} == large


def test_a_missing_file_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Archive(tmp_path / "some.kernels")


def test_an_archive_outlasts_its_file_and_every_descriptor(tmp_path: Path) -> None:
    """As when the package is updated while it runs, or a daemon closes all files that are open."""
    code = (
        "import os, sys; from pathlib import Path; from edge_rnn.kernels.entry.archive import Archive\n"
        "archive = Archive(Path(sys.argv[1]))\n"
        "os.unlink(sys.argv[1]); Path(sys.argv[1]).write_bytes(b'another version'); os.closerange(3, 256)\n"
        "assert archive.get('kernel_3').endswith(b'the same end of every entry')\n"
    )
    (tmp_path / "some.kernels").write_bytes(archived(ENTRIES))
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "some.kernels")], env=environment(), check=True)


def read_all(path: Path, data: bytes) -> dict[str, bytes | None]:
    path.write_bytes(data)
    archive = Archive(path)
    return {name: archive.get(name) for name in ENTRIES}


@pytest.mark.parametrize("length", [0, 1, 23, 24, 25, 100, -1, -24, -25, -300])
def test_a_file_that_was_cut_off_is_refused(length: int, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"is not an archive of kernels, or damaged; reinstall edge-rnn"):
        read_all(tmp_path / "some.kernels", archived(ENTRIES)[:length])


@pytest.mark.slow
def test_every_damaged_byte_is_found_or_changes_no_entry(tmp_path: Path) -> None:
    whole = archived(ENTRIES)
    found = 0
    for place in range(0, len(whole), 7):
        try:
            entries = read_all(
                tmp_path / "some.kernels", whole[:place] + bytes([whole[place] ^ 64]) + whole[place + 1 :]
            )
        except FileError:
            found += 1
            continue
        assert all(data is None or data == ENTRIES[name] for name, data in entries.items())
    assert found > 0.9 * len(range(0, len(whole), 7)) - 40


TABLES = [
    "[]",
    "{",
    "[" * 9000,
    '{"kernel_1":7}',
    '{"kernel_1":[0]}',
    '{"kernel_1":["a","b"]}',
    '{"kernel_1":[-5,20]}',
    '{"kernel_1":[0,99999999999]}',
    '{"kernel_1":[20,-1]}',
    '{"kernel_1":null}',
    '{"kernel_1":[1e400,1]}',
    '{"kernel_1":[0.5,9]}',
]


@pytest.mark.parametrize("table", TABLES, ids=range(len(TABLES)))
def test_a_table_that_does_not_fit_is_an_error(table: str, tmp_path: Path) -> None:
    whole = archived(ENTRIES)
    start = len(whole) - 24 - int.from_bytes(whole[-8:], "little")
    data = whole[:start] + table.encode() + whole[-24:-8] + len(table).to_bytes(8, "little")
    with pytest.raises(FileError, match="damaged"):
        read_all(tmp_path / "some.kernels", data)
