"""Kernels touch no byte outside weights, state, sample and output: each adjoins a protected page."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = Path(__file__).parents[1] / "support" / "guard_pages.py"

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="there is no mmap as the harness calls it"),
    pytest.mark.sampled(1),
]


def run_child(*arguments: str) -> None:
    """Run a program between guard pages; if it dies, name the case."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    cases = done.stdout.splitlines()
    assert cases, done.stderr[-2000:]
    ended = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit code {done.returncode}"
    assert done.returncode == 0, f"{' '.join(arguments)}: {ended} in the case {cases[-1]!r}: {done.stderr[-2000:]}"


@pytest.mark.parametrize("what", ["few", "plain", "elman", "gru", "lstm", "writing"])
def test_kernels_stay_within_their_memory(what: str) -> None:
    run_child(str(CHILD), what)


@pytest.mark.parametrize("offset", [-1, 4])
@pytest.mark.parametrize("place", ["start", "end"])
def test_the_guard_pages_are_there(place: str, offset: int) -> None:
    """One float before or after the block: on the side of the page it ends the process, with the case's name."""
    code = f"""
import ctypes, sys
sys.path.insert(0, {str(CHILD.parent)!r})
from guard_pages import Guarded
block = Guarded({place!r})(4)
print("next to it", flush=True)
ctypes.c_float.from_address(block.ctypes.data + 4 * {offset}).value
"""
    if (place == "start") == (offset < 0):
        with pytest.raises(AssertionError, match=r"SIG(SEGV|BUS) in the case 'next to it'"):
            run_child("-c", code)
    else:
        run_child("-c", code)
