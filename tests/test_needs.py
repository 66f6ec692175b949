"""Tests declare their needs: missing ones skip, undeclared ones fail, and skips are compared with a list."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import needs
from skips import Entry, Skips, entries

LIST = Path(__file__).parent / "skips.toml"


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folder that is the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def put(folder: Path, name: str) -> None:
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("name", ["gcc", "cc"])
def test_program_is_found_by_each_of_its_names(name: str, empty_path: Path) -> None:
    assert needs.missing("cc")
    put(empty_path, name)
    assert not needs.missing("cc")
    assert needs.program("cc") == str(empty_path / name)


def test_compiler_of_this_machine_is_no_linker_for_another(empty_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_rnn_export.building.link.find_spec", lambda name: None)  # no ziglang
    monkeypatch.setattr("edge_rnn_export.building.link.platform.machine", lambda: "x86_64")
    put(empty_path, "cc")
    found = {board: not needs.missing(f"linker:{board}") for board in ("generic_x86_64", "raspberry_pi_4", "wasm32")}
    assert found == {"generic_x86_64": True, "raspberry_pi_4": False, "wasm32": False}
    put(empty_path, "aarch64-linux-gnu-gcc")
    put(empty_path, "wasm-ld")
    assert not needs.missing("linker:raspberry_pi_4")
    assert not needs.missing("linker:wasm32")
    assert needs.missing("linker:raspberry_pi_2")


def test_package_that_is_not_installed_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(needs.PACKAGES, "absent", ("edge_rnn_absent.part", "absent"))
    assert needs.missing("absent")
    with pytest.raises(pytest.skip.Exception, match="needs absent: pip install 'absent'"):
        needs.package("absent")
    assert not needs.missing("scipy")


def test_unknown_need_is_an_error() -> None:
    for need in ("compiler", "linker", "linker:"):
        with pytest.raises(KeyError, match="is no need"):
            needs.missing(need)


@pytest.mark.parametrize("command", [["node", "-v"], ["/usr/bin/llvm-mca-14"], [sys.executable, "-m", "ziglang", "cc"]])
def test_undeclared_program_is_not_started(command: list[str]) -> None:
    with pytest.raises(pytest.fail.Exception, match="has not asked"):
        subprocess.run(command, check=False)


@pytest.mark.may_use("qemu-arm")
def test_program_of_several_names_is_not_started_by_one_of_them() -> None:
    """Debian has it as qemu-arm-static in one package and as qemu-arm in another."""
    for name in needs.PROGRAMS["qemu-arm"].names:
        with pytest.raises(pytest.fail.Exception, match="take needs"):
            subprocess.run([name, "-version"], check=False)


def test_path_of_a_program_that_is_not_installed(empty_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="apt-get install nodejs"):
        needs.path("node")
    put(empty_path, "node")
    assert needs.path("node") == str(empty_path / "node")


def test_undeclared_board_is_not_linked_for() -> None:
    from edge_rnn import boards

    asking = needs._asking(lambda target: ("a linker",))
    with pytest.raises(pytest.fail.Exception, match="links for aarch64"):
        asking(boards.load("raspberry_pi_4").target)


@pytest.mark.may_use("linker:raspberry_pi_4")
def test_board_is_linked_for_by_a_test_that_asks() -> None:
    from edge_rnn import boards

    asking = needs._asking(lambda target: ("a linker",))
    assert asking(boards.load("raspberry_pi_5").target) == ("a linker",)  # of the same architecture
    with pytest.raises(pytest.fail.Exception, match="links for arm"):
        asking(boards.load("raspberry_pi_2").target)


def test_signal_is_not_sent_without_default_handling() -> None:
    with pytest.raises(pytest.fail.Exception, match="default_signals"):
        os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), 0)


IGNORING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.umask(0o077)
os.execv(sys.executable, [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *sys.argv[1:]])
"""


@pytest.mark.slow
def test_inherited_settings_do_not_matter() -> None:
    """The tests below pass if SIGINT and SIGHUP are ignored, SIGTERM is blocked, and variables are set."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "20"}
    command = [sys.executable, "-c", IGNORING, f"{__file__}::test_surroundings_are_those_that_tests_rely_on"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.usefixtures("default_signals")
def test_surroundings_are_those_that_tests_rely_on(tmp_path: Path) -> None:
    assert not {"PYTHONUNBUFFERED", "NO_COLOR", "COLUMNS", "LANG"} & os.environ.keys()
    (tmp_path / "file").touch()
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        child = subprocess.run([sys.executable, "-c", f"import os; os.kill(os.getpid(), {int(number)})"], check=False)
        assert child.returncode == -number
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_skipped_tests_are_held_against_the_list() -> None:
    listed = [
        Entry("tests/a.py::test_x*", "needs librosa"),
        Entry("tests/b.py::*", "needs IPv6", "without IPv6"),
        Entry("tests/c.py::*", "needs a bus"),
    ]
    skips = Skips(listed)
    skips.skipped = [
        ("tests/a.py::test_x[1]", "needs librosa: pip install 'librosa'"),
        ("tests/a.py::test_x[1]", "needs torch: pip install 'torch'"),
        ("tests/d.py", "needs librosa: pip install 'librosa'"),
    ]
    assert skips.unexpected() == skips.skipped[1:]
    assert skips.outlived() == [listed[2]]


def test_list_is_of_tests_that_there_are() -> None:
    for entry in entries(LIST):
        file, _, name = entry.tests.partition("::")
        assert (LIST.parents[1] / file).is_file(), entry
        assert (
            not name
            or name == "*"
            or f"def {name.partition('[')[0].rstrip('*')}" in (LIST.parents[1] / file).read_text(encoding="utf-8")
        ), entry
        assert entry.reason
