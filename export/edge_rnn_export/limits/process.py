"""Libraries that work on a stranger's file, in a process with limits of time and memory that opens nothing.

HDF5, PyTorch, onnxruntime and Keras were not made for files that mean harm: in some of them they run in circles, take
gigabytes, break down, or open what the file names. There that harms nobody. A *job* is a module with ``prepare()``,
which imports its library, and ``CALLS``: functions by name, from plain values and arrays to plain values and arrays.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from edge_rnn import errors
from edge_rnn.errors import EdgeRnnError, FileError, UnsupportedError
from edge_rnn.typing import AnyArray
from edge_rnn_export.limits.worker import WALL_FACTOR, encode, receive, send

__all__ = ["Limits", "Worker"]


START_SECONDS = 120.0
"""Longest start of a process: PyTorch's takes some seconds, on a small board many."""

_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "BOOL": "?"}
_TYPES |= {f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)}
_BROKEN = "broke down on it"
_ERRORS = {name: getattr(errors, name) for name in errors.__all__}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a worker.

    Parameters
    ----------
    seconds
        Time of computing that a call may take; by the clock ten times as long.
    memory_bytes
        Memory beyond what the library itself takes, and the longest answer.
    opens_files
        Whether it may open files (and sockets): False where the library has all that it needs.
    written_bytes
        Longest file that it may write.
    """

    seconds: float
    memory_bytes: int
    opens_files: bool = False
    written_bytes: int = 0


class Worker:
    """A process that does a job on one file; to be used with ``with``.

    Parameters
    ----------
    job
        Full name of the job's module.
    library
        Name of the library, for messages.
    limits
        Of this worker.

    Raises
    ------
    UnsupportedError
        The library is not installed, or no process can be started.
    """

    def __init__(self, job: str, library: str, limits: Limits) -> None:
        self._library, self._limits = library, limits
        self._socket = _start(job, library, limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._socket.close()

    def call(
        self, name: str, arrays: Mapping[str, Any] | None = None, seconds: float | None = None, **about: Any
    ) -> tuple[dict[str, Any], dict[str, AnyArray]]:
        """Have one of the job's functions called; ``seconds``: another limit of time than the worker's.

        Raises
        ------
        EdgeRnnError
            As the function raised it.
        FileError
            The process was ended by a limit, or broke down.
        """
        began, seconds = time.monotonic(), self._limits.seconds if seconds is None else seconds
        self._socket.settimeout(WALL_FACTOR * seconds + 10)
        try:
            send(self._socket, encode(about | {"call": name, "seconds": seconds}, arrays or {}))
            data = receive(self._socket, self._limits.memory_bytes)
        except OSError:  # it has gone, or the clock has run out
            data = None
        if data is None:
            self.close()
            late = time.monotonic() - began >= seconds
            raise self._ended(f"took more than {seconds:.2g} s of computing for it" if late else _BROKEN)
        found = _decoded(data)
        if found is None:
            raise self._ended(_BROKEN)
        answer, received = found
        if "bug" in answer:
            raise RuntimeError(str(answer["bug"][0]))
        if "error" in answer:
            kind, message = answer["error"]
            if kind == "MemoryError":
                raise self._ended(f"took more than {self._limits.memory_bytes >> 20} MiB of memory for it")
            raise _ERRORS[kind](message) if kind in _ERRORS else self._ended(_BROKEN)
        return answer, received

    def _ended(self, how: str) -> EdgeRnnError:
        return FileError(f"{self._library} {how}; it is damaged, or more than a small network.")


def _decoded(data: bytes) -> tuple[dict[str, Any], dict[str, AnyArray]] | None:
    """Plain values and arrays of an answer; None where it is none: what answers has read a stranger's file."""
    from safetensors import SafetensorError, deserialize

    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = json.loads(header["__metadata__"]["about"])
        tensors: Any = deserialize(data)  # type: ignore[no-untyped-call]
        arrays = {
            name: np.frombuffer(tensor["data"], _TYPES[tensor["dtype"]]).reshape(tensor["shape"])
            for name, tensor in tensors
        }
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return (about, arrays) if isinstance(about, dict) else None


class _Process:
    """A job's process, which forks workers."""

    def __init__(self, job: str, library: str) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-P", "-W", "ignore", "-m", "edge_rnn_export.limits.worker", job]
        path = os.pathsep.join(each or str(Path.cwd()) for each in sys.path)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [*command, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=os.environ | {"PYTHONPATH": path},
                )
        except OSError as error:
            self._control.close()
            raise UnsupportedError(f"{library} runs in another process, which did not start: {error}.") from None
        self._control.settimeout(START_SECONDS)
        try:
            answer = self._control.recv(2**12)
        except OSError:
            answer = b""
        problem = json.loads(answer) if answer else "its process ended while it started"
        if problem:
            self.close()
            raise UnsupportedError(f"{library} cannot be loaded: {problem}.")

    def worker(self, limits: Limits) -> socket.socket | None:
        """A socket of a new worker; None where the process has gone."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._control, [json.dumps(asdict(limits)).encode()], [theirs.fileno()])
            ours.settimeout(START_SECONDS)
            started = ours.recv(1)
        except OSError:
            started = b""
        if started:
            return ours
        ours.close()
        return None

    def close(self) -> None:
        """End it."""
        self._control.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


_processes: dict[str, _Process] = {}
_lock = threading.Lock()


def _start(job: str, library: str, limits: Limits) -> socket.socket:
    with _lock:
        for _ in range(2):  # one that has ended for want of work is followed by another
            if job not in _processes:
                _processes[job] = _Process(job, library)
            worker = _processes[job].worker(limits)
            if worker is not None:
                return worker
            _processes.pop(job).close()
    raise UnsupportedError(f"{library} runs in another process, which did not start.")


@atexit.register
def _close_all() -> None:
    while _processes:
        _processes.popitem()[1].close()
