"""Sandbox for libraries that read untrusted files: a process with time and memory limits that cannot open files.

HDF5, pickle, onnxruntime and Keras are not hardened against malicious files: some files make them loop forever, take
gigabytes, crash, or open other files. In a separate process that does no harm. A *job* is a module with ``prepare()``,
which imports its library, and ``CALLS``: functions by name, whose arguments and results are plain values and arrays.
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
"""Timeout for starting a process: PyTorch takes several seconds, and many more on a small board."""

_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "BOOL": "?"}
_TYPES |= {f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)}
_BROKEN = "crashed on it"
_ERRORS = {name: getattr(errors, name) for name in errors.__all__}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a worker.

    Parameters
    ----------
    seconds
        CPU time per call; the wall-clock limit is 10 times this.
    memory_bytes
        Memory beyond that of the library itself, and maximum size of an answer.
    opens_files
        True if it may open files and sockets; False if the library needs none.
    written_bytes
        Maximum size of a file that it may write.
    """

    seconds: float
    memory_bytes: int
    opens_files: bool = False
    written_bytes: int = 0


class Worker:
    """Process that runs a job on one file; use it in a ``with`` statement.

    Parameters
    ----------
    job
        Full name of the job's module.
    library
        Name of the library, for messages.
    limits
        Limits of this worker.

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
        """Call one of the job's functions; ``seconds`` overrides the worker's time limit.

        Raises
        ------
        EdgeRnnError
            Any error of this package that the function raises.
        FileError
            The process exceeded a limit, or crashed.
        """
        began, seconds = time.monotonic(), self._limits.seconds if seconds is None else seconds
        self._socket.settimeout(WALL_FACTOR * seconds + 10)
        try:
            send(self._socket, encode(about | {"call": name, "seconds": seconds}, arrays or {}))
            data = receive(self._socket, self._limits.memory_bytes)
        except OSError:  # the process has ended, or the wall-clock limit has passed
            data = None
        if data is None:
            self.close()
            late = time.monotonic() - began >= seconds
            raise self._ended(f"took more than {seconds:.2g} s of CPU time for it" if late else _BROKEN)
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
        return FileError(f"{self._library} {how}; it is damaged, or larger than a small network.")


def _decoded(data: bytes) -> tuple[dict[str, Any], dict[str, AnyArray]] | None:
    """Decode an answer to plain values and arrays; None if invalid, since its sender read an untrusted file."""
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
    """Process of a job, which forks workers."""

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
            raise UnsupportedError(f"{library} runs in a separate process, which did not start: {error}.") from None
        self._control.settimeout(START_SECONDS)
        try:
            answer = self._control.recv(2**12)
        except OSError:
            answer = b""
        problem = json.loads(answer) if answer else "its process ended during startup"
        if problem:
            self.close()
            raise UnsupportedError(f"{library} cannot be loaded: {problem}.")

    def worker(self, limits: Limits) -> socket.socket | None:
        """Fork a worker and return its socket; None if the process has ended."""
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
        """End the process."""
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
        for _ in range(2):  # retry, since an idle process ends by itself
            if job not in _processes:
                _processes[job] = _Process(job, library)
            worker = _processes[job].worker(limits)
            if worker is not None:
                return worker
            _processes.pop(job).close()
    raise UnsupportedError(f"{library} runs in a separate process, which did not start.")


@atexit.register
def _close_all() -> None:
    while _processes:
        _processes.popitem()[1].close()
