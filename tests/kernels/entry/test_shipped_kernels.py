"""The choice among archives that are there, and what is done with damaged ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_rnn.errors import FileError
from edge_rnn.kernels.compile.image import Image
from edge_rnn.kernels.compile.shipped_targets import SHIPPED
from edge_rnn.kernels.entry import shipped_kernels
from edge_rnn.kernels.entry.archive import archived

FOUND = {
    "x86-64-v3": (
        "processor\t: 0\nflags\t\t: ssse3 fma cx16 lahf_lm sse4_1 sse4_2 movbe popcnt avx f16c abm bmi1 avx2 bmi2\n"
    ),
    "cortex-a72": "processor\t: 0\nFeatures\t: fp asimd crc32\nCPU part\t: 0xd08\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shipped_kernels, "FOLDER", tmp_path)
    monkeypatch.delenv("NUMBA_CPU_NAME", raising=False)
    monkeypatch.delenv("NUMBA_CPU_FEATURES", raising=False)
    on_machine("x86-64-v3", monkeypatch)
    return tmp_path


def on_machine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = next(kind for kind, targets in SHIPPED.items() if name in {each.name for each in targets})
    monkeypatch.setattr(shipped_kernels, "architecture", lambda: architecture)
    monkeypatch.setattr(shipped_kernels, "cpuinfo", lambda: iter(FOUND[name].splitlines(keepends=True)))


def put(folder: Path, *names: str) -> None:
    image = Image(b"machine code", {"step": 4})
    for name in names:
        entries = {"step": image.to_bytes(), "a text": name.encode(), "damaged": b"code", "sources": bytes(32)}
        (folder / f"{name}.kernels").write_bytes(archived(entries))


def chosen() -> str:
    found = shipped_kernels.shipped_kernels.__wrapped__()
    return found.chosen.name if found else ""


@pytest.mark.parametrize("name", FOUND)
def test_the_best_is_taken(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, *(each.name for targets in SHIPPED.values() for each in targets))
    on_machine(name, monkeypatch)
    assert chosen() == name


def test_the_best_of_those_that_are_there_is_taken(folder: Path) -> None:
    put(folder, "x86-64-v4", "x86-64-v2")
    assert chosen() == "x86-64-v2"


def test_kernels_for_other_cpus_alone_are_none(folder: Path) -> None:
    put(folder, "x86-64-v4", "cortex-a53")
    assert chosen() == ""


def test_without_a_folder_there_are_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped_kernels, "FOLDER", folder / "missing")
    assert chosen() == ""


@pytest.mark.parametrize("variable", ["NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"])
@pytest.mark.parametrize("can_compile", [True, False])
def test_another_target_is_taken_where_it_can_be_compiled_for(
    variable: str, can_compile: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "x86-64-v3")
    monkeypatch.setenv(variable, "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if can_compile else None)
    assert chosen() == ("" if can_compile else "x86-64-v3")


def test_entries_are_images_and_texts(folder: Path) -> None:
    put(folder, "x86-64-v3")
    found = shipped_kernels.shipped_kernels.__wrapped__()
    assert found is not None
    assert found.image("step") == Image(b"machine code", {"step": 4})
    assert found.image("advance") is None
    assert found.image("damaged") is None
    assert found.text("a text") == "x86-64-v3"
    assert found.text("another") is None
    assert found.sources == bytes(32)


def test_a_damaged_archive_is_an_error_that_says_what_to_do(folder: Path) -> None:
    put(folder, "x86-64-v3")
    path = folder / "x86-64-v3.kernels"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        FileError, match=r"x86-64-v3\.kernels is not an archive of kernels, or damaged; reinstall edge-rnn"
    ):
        chosen()


def test_one_processor_of_many_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All processors of an x86 machine have the same features, and a list of a hundred takes milliseconds."""
    put(folder, "x86-64-v3")
    lines = iter([*FOUND["x86-64-v3"].splitlines(keepends=True), "\n", "processor\t: 1\n"])
    monkeypatch.setattr(shipped_kernels, "cpuinfo", lambda: lines)
    assert chosen() == "x86-64-v3"
    assert next(lines) == "processor\t: 1\n"
