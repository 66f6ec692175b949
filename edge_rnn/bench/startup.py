"""Start-up benchmark: time and memory from starting ``python`` to the first result, in separate processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edge_rnn.errors import UnsupportedError

__all__ = ["measure_startup"]

# Peak of this program only: getrusage includes that of the parent process before exec.
_TELL = """
import sys, time
now = time.monotonic_ns()
try:
    with open("/proc/self/status") as file:
        peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
except (OSError, StopIteration):
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(now, peak)
"""
_SCRIPTS = {
    "python": "",
    "numpy": "import numpy",
    "numba": "import empty_function; empty_function.empty()",
    "edge_rnn": """
import sys
import numpy as np
from edge_rnn import Stream, load
stream = Stream(load(sys.argv[1]))
stream.step(np.zeros(stream.input_size, np.float32))
""",
}
_EMPTY_FUNCTION = """
import numba

@numba.njit(cache=True)
def empty():
    pass
"""
_CACHES = ("EDGE_RNN_CACHE_DIR", "NUMBA_CACHE_DIR")


def measure_startup(model_path: str, repeats: int = 5, cold_repeats: int = 2) -> dict[str, Any]:
    """Measure the time of processes from start to first result, and their peak memory.

    Parameters
    ----------
    model_path
        Model file to load.
    repeats, cold_repeats
        Number of runs with a warm and with an empty cache; the minimum counts. The kinds take turns.

    Returns
    -------
    dict
        For ``python`` (nothing at all), ``numpy`` (its import), ``numba`` (its import and the call of an empty cached
        function) and ``edge_rnn`` (load a model, make a Stream, take a step): ``_seconds`` and ``_peak_bytes``; for the
        latter two also ``_cold_seconds`` and ``_cold_peak_bytes``, with an empty cache. ``ratio``: ``edge_rnn_seconds``
        over ``numba_seconds``. ``None`` for Numba if it is not installed.

    Raises
    ------
    UnsupportedError
        A process failed.
    """
    taken: dict[str, list[tuple[float, int]]] = {}
    with _folder() as (folder, environment):
        kinds = [kind for kind in _SCRIPTS if kind != "numba" or _has_numba()]
        for name in kinds:  # first run: Python compiles its bytecode
            _child(name, model_path, environment)
        for i in range(max(repeats, cold_repeats)):
            for name in kinds if i < repeats else ():
                taken.setdefault(name, []).append(_child(name, model_path, environment))
            for name in ("numba", "edge_rnn") if i < cold_repeats else ():
                if name in kinds:
                    empty = {cache: str(Path(folder, f"{name}{i}")) for cache in _CACHES}
                    taken.setdefault(f"{name}_cold", []).append(_child(name, model_path, environment | empty))
    result: dict[str, Any] = {"repeats": repeats, "cold_repeats": cold_repeats}
    for name in ("python", "numpy", "numba", "numba_cold", "edge_rnn", "edge_rnn_cold"):
        looks = taken.get(name)
        result[f"{name}_seconds"] = round(min(seconds for seconds, _ in looks), 4) if looks else None
        result[f"{name}_peak_bytes"] = min(peak for _, peak in looks) if looks else None
    numba, ours = result["numba_seconds"], result["edge_rnn_seconds"]
    result["ratio"] = round(ours / numba, 3) if numba else None
    return result


@contextmanager
def _folder() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield a folder for caches and the empty function, and the environment of the processes."""
    import edge_rnn

    with TemporaryDirectory(prefix="edge_rnn-") as folder:
        Path(folder, "empty_function.py").write_text(_EMPTY_FUNCTION, encoding="utf-8")
        source = str(Path(str(edge_rnn.__file__)).parents[1])
        path = [source, folder, *filter(None, [os.environ.get("PYTHONPATH")])]
        caches = {cache: str(Path(folder, "kept")) for cache in _CACHES}
        yield folder, {**os.environ, **caches, "PYTHONPATH": os.pathsep.join(path)}


def _has_numba() -> bool:
    from importlib.util import find_spec

    return find_spec("numba") is not None


def _child(name: str, model_path: str, environment: dict[str, str]) -> tuple[float, int]:
    """Run a process; return the seconds from start to result, and its peak memory in bytes."""
    command = [sys.executable, "-c", _SCRIPTS[name] + _TELL, model_path]
    start = time.monotonic_ns()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UnsupportedError(f"--startup: the process for {name} failed with {last}")
    now, peak = map(int, done.stdout.split())
    return (now - start) / 1e9, peak
