"""Code in memory: readable and executable, at no time writable as well, and on systems that forbid ways to place it."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_rnn.cli import main
from edge_rnn.errors import CompileError
from edge_rnn.kernels.compile.image import Image
from edge_rnn.kernels.entry import code_memory
from edge_rnn.kernels.entry.code_memory import place

ROOT = Path(__file__).resolve().parents[3]
MACHINE = {  # int32_t f(void) { return 7; }, padded to 16 bytes, and the same with 9
    "x86_64": b"".join(b"\xb8" + bytes([n, 0, 0, 0]) + b"\xc3" + b"\x90" * 10 for n in (7, 9)),
    "aarch64": b"".join((0x52800000 | n << 5).to_bytes(4, "little") + b"\xc0\x03\x5f\xd6" + bytes(8) for n in (7, 9)),
}

if platform.machine() not in MACHINE:
    pytest.skip("has the code of its tests for x86-64 and aarch64 alone", allow_module_level=True)

SEVEN_AND_NINE = Image(MACHINE[platform.machine()], {"seven": 0, "nine": 16})


def call(address: int) -> int:
    return int(ctypes.CFUNCTYPE(ctypes.c_int32)(address)())


def mapping(address: int) -> tuple[str, str]:
    """Rights of the mapping at an address, and what is mapped."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        found = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)", line)
        assert found
        if int(found[1], 16) <= address < int(found[2], 16):
            return found[3], found[4]
    raise AssertionError(f"nothing is mapped at {address}")


def refuse(monkeypatch: pytest.MonkeyPatch, refused: Callable[..., bool], number: int = errno.EPERM) -> None:
    """Make the calls of the C library fail for which ``refused(name, *args)`` is true."""
    called = code_memory._called

    def other(name: str, *args: object) -> int:
        if refused(name, *args):
            raise OSError(number, os.strerror(number))
        return called(name, *args)

    monkeypatch.setattr(code_memory, "_called", other)


def test_functions_run_and_nobody_can_change_them() -> None:
    found = place(SEVEN_AND_NINE)
    assert {name: call(address) for name, address in found.items()} == {"seven": 7, "nine": 9}
    rights, what = mapping(found["seven"])
    assert rights == "r-xp"
    assert what.startswith("/memfd:edge_rnn")


@pytest.mark.parametrize(
    "refused",
    [
        lambda name, *args: name == "memfd_create",
        lambda name, *args: name == "mmap" and args[4] >= 0,  # files in memory may not be executed
    ],
    ids=["no files in memory", "none that may be executed"],
)
def test_other_memory_will_do(monkeypatch: pytest.MonkeyPatch, refused: Callable[..., bool]) -> None:
    refuse(monkeypatch, refused)
    found = place(SEVEN_AND_NINE)
    assert (call(found["seven"]), call(found["nine"])) == (7, 9)
    assert mapping(found["seven"]) == ("r-xp", "")


def test_c_library_without_files_in_memory_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def function(name: str) -> object:
        raise AttributeError(name)

    real = code_memory._function
    monkeypatch.setattr(code_memory, "_function", lambda name: function(name) if name == "memfd_create" else real(name))
    assert call(place(SEVEN_AND_NINE)["nine"]) == 9


def test_system_that_makes_no_memory_executable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_memory.why_not() == ""
    refuse(monkeypatch, lambda name, *args: name in ("memfd_create", "mprotect"), errno.EACCES)
    with pytest.raises(CompileError, match=r"^This system refuses to make memory executable \(Permission denied\)"):
        place(SEVEN_AND_NINE)
    assert main(["doctor", "--json"]) == 0
    (advice,) = json.loads(capsys.readouterr().out)["advice"]
    assert advice == f"No model can run: {code_memory.why_not()}"


def test_memory_that_is_refused_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, lambda name, *args: name in ("memfd_create", "mprotect"), errno.EACCES)
    large = Image(SEVEN_AND_NINE.code + bytes(64 << 20), {})
    before = virtual_bytes()
    for _ in range(3):
        with pytest.raises(CompileError):
            place(large)
    assert virtual_bytes() - before < 64 << 20


def virtual_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGESIZE")


def test_no_file_stays_open() -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(5):
        place(SEVEN_AND_NINE)
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_child_process_runs_the_code_of_its_parent() -> None:
    address = place(SEVEN_AND_NINE)["nine"]
    child = os.fork()
    if child == 0:
        os._exit(call(address))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


FORBIDDEN = """
import ctypes
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE, which older kernels do not know
import numpy as np
from edge_rnn import Model, Standardize, Stream
print(Stream(Model([Standardize([1, 2], [2, 4])])).step(np.array([2, 6], np.float32)).tolist())
"""


def test_service_that_may_not_make_memory_executable_runs_cached_kernels() -> None:
    """As systemd's MemoryDenyWriteExecute forbids it: no memory that was ever writable becomes executable."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for program in (
        FORBIDDEN.replace("prctl(65, 1, 0, 0, 0)", "getpid()"),
        FORBIDDEN,
    ):  # compiles first what is missing
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "[0.5, 1.0]\n"), done.stderr


WATCH = r"""
import ctypes, sys
from pathlib import Path
import numpy as np
from edge_rnn import LSTM, Dense, Model, Stream
from edge_rnn.kernels.entry import code_memory, object_cache

def look(*_):
    lines = Path("/proc/self/maps").read_text().splitlines()
    both.update(line for line in lines if "w" in line.split()[1] and "x" in line.split()[1])
    seen.append(sum("memfd:edge_rnn" in line for line in lines))

both, seen, called = set(), [], code_memory._called
def watched(name, *args):
    look()
    found = called(name, *args)
    look()
    return found
code_memory._called = watched
look()
if "without" in sys.argv:
    real = code_memory._function
    def function(name):
        if name == "memfd_create":
            raise AttributeError(name)
        return real(name)
    code_memory._function = function
stream = Stream(Model([LSTM(np.ones((8, 3)), np.ones((8, 2))), Dense(np.ones((1, 2)))]))
stream.step(np.zeros(3, np.float32))
look()
cache = str(object_cache.cache_directory().path)
assert cache not in Path("/proc/self/maps").read_text()  # so that it may be mounted noexec
print(len(seen) > 10, seen[0], seen[-1] > 3, *sorted(both), sep="\n")
"""


def test_service_that_may_not_make_memory_executable_needs_cached_kernels(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "EDGE_RNN_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", FORBIDDEN], env=environment, capture_output=True, text=True, check=False
    )
    assert "CompileError: Kernel standardize has to be compiled, but" in done.stderr or done.stdout == "[0.5, 1.0]\n"


@pytest.mark.parametrize("memory", ["with", "without"])
@pytest.mark.sampled(1)
def test_nothing_is_writable_and_executable_at_any_time(memory: str) -> None:
    """Looked at before and after every call that changes memory, in a process that runs a network."""
    command = [sys.executable, "-W", "error", "-c", WATCH, memory]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, env=environment, check=True, capture_output=True)  # compiles what is missing
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["True", "0", str(memory == "with")]
