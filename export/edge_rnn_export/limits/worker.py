"""Process side of :mod:`edge_rnn_export.limits.process`; run as a script.

It imports a job's library once, and forks a worker for each file, so a worker starts in milliseconds and shares no
state with other files. A worker sets its limits, then answers calls until its socket is closed.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors.numpy import load, save

from edge_rnn.errors import EdgeRnnError

__all__ = ["Answer", "Call", "encode", "receive", "send", "serve"]

Answer = tuple[Mapping[str, Any], Mapping[str, Any]]
Call = Callable[[Mapping[str, Any], Mapping[str, Any]], Answer]

IDLE_SECONDS = 60.0
"""Idle time after which the process ends; the next file starts another one."""

WALL_FACTOR = 10
"""Ratio of the wall-clock limit to the CPU-time limit, for busy machines."""


def encode(about: Mapping[str, Any], arrays: Mapping[str, Any]) -> bytes:
    """Encode a message: plain values as JSON, and arrays."""
    return save(dict(arrays), {"about": json.dumps(about)})


def send(connection: socket.socket, data: bytes) -> None:
    """Send a message."""
    connection.sendall(len(data).to_bytes(8, "little"))
    connection.sendall(data)


def receive(connection: socket.socket, limit: int) -> bytes | None:
    """Receive a message; None if the other side has closed, or announces more than ``limit`` bytes."""
    head = _exactly(connection, 8)
    length = int.from_bytes(head or b"", "little")
    return None if head is None or length > limit else _exactly(connection, length)


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        part = connection.recv(min(count - len(data), 2**20))
        if not part:
            return None
        data += part
    return bytes(data)


def serve(name: str, control: socket.socket) -> None:
    """Load a job, and fork a worker for each socket received, until the connection closes."""
    job: Any = importlib.import_module(name)
    try:
        job.prepare()
    except ImportError as error:
        control.send(json.dumps(str(error)[:200]).encode())
        return
    control.send(b'""')
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps ended workers
    while select.select([control], [], [], IDLE_SECONDS)[0]:
        message, descriptors, _, _ = socket.recv_fds(control, 2**12, 1)
        if not message:
            return
        if os.fork() == 0:
            control.close()
            _work(job.CALLS, socket.socket(fileno=descriptors[0]), json.loads(message))
        os.close(descriptors[0])


def _work(calls: Mapping[str, Call], connection: socket.socket, limits: Mapping[str, Any]) -> None:
    """Answer calls; never returns."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        connection.sendall(b"+")
        _limit(limits)
        while (data := receive(connection, sys.maxsize)) is not None:
            answer = _answered(calls, data)
            _limit_time(0)
            send(connection, answer)
        status = 0
    finally:
        os._exit(status)  # skip the cleanup handlers of the parent process


def _answered(calls: Mapping[str, Call], data: bytes) -> bytes:
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = json.loads(header["__metadata__"]["about"])
        _limit_time(about.pop("seconds"))
        return encode(*calls[about.pop("call")](about, load(data)))
    except EdgeRnnError as error:
        found = {"error": [type(error).__name__, str(error)]}
    except MemoryError:
        found = {"error": ["MemoryError", ""]}
    except Exception:  # a bug in this package, re-raised on the other side
        found = {"bug": [traceback.format_exc()]}
    return encode(found, {})


def _limit(limits: Mapping[str, Any]) -> None:
    """Limit memory beyond current use and file sizes; unless allowed, forbid opening files, sockets and pipes."""
    with suppress(ImportError):
        import resource

        wanted = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, limits["written_bytes"])]
        with suppress(OSError, ValueError):
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            wanted.append((resource.RLIMIT_AS, pages * resource.getpagesize() + limits["memory_bytes"]))
        if not limits["opens_files"]:
            wanted.append((resource.RLIMIT_NOFILE, 0))
        for limit, value in wanted:
            hard = resource.getrlimit(limit)[1]
            if hard == resource.RLIM_INFINITY or value < hard:
                with suppress(OSError, ValueError):
                    resource.setrlimit(limit, (value, value))


def _limit_time(seconds: float) -> None:
    """Let the system end this process after more CPU time, or ten times that by the clock; 0 disables both limits."""
    signal.setitimer(signal.ITIMER_REAL, WALL_FACTOR * seconds)
    with suppress(ImportError, OSError, ValueError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        soft = int(used + seconds + 1) if seconds else hard
        if hard == resource.RLIM_INFINITY or soft < hard:
            resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


if __name__ == "__main__":
    serve(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
