"""Real-time options of the operating system, as far as it permits them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_rnn.errors import InputError, reason_of

__all__ = ["Realtime", "applied"]

_MCL_CURRENT, _MCL_FUTURE = 1, 2
_CAP_IPC_LOCK = 14
_LEAST_SWITCH_S = 50e-6

_lock = threading.Lock()
_intervals_s: list[float] = []


@dataclass(frozen=True, slots=True)
class Realtime:
    """Real-time options for the loop's thread.

    Parameters
    ----------
    priority
        SCHED_FIFO priority, 1 to 99, so that ordinary processes wait for the loop; None to leave scheduling unchanged.
        Threads that read the source keep ordinary priority.
    cpus
        Processors to run on; None for all.
    lock_memory
        True to lock all of the process's memory (mlockall), which avoids page faults.
    """

    priority: int | None = None
    cpus: Collection[int] | None = None
    lock_memory: bool = False

    def __post_init__(self) -> None:
        if self.priority is not None and not 1 <= self.priority <= 99:
            raise InputError(f"Realtime priority got {self.priority}, expected 1 to 99.")
        if self.cpus is not None and not self.cpus:
            raise InputError("Realtime cpus got no processors, expected one or more processor numbers.")


@contextlib.contextmanager
def applied(wanted: Realtime, rate_hz: float | None) -> Iterator[list[str]]:
    """Apply the options, and restore everything at the end.

    Python's thread switch interval, 5 ms by default, is set to a twentieth of a period.

    Yields
    ------
    Options that were refused, with the reason.
    """
    refused: list[str] = []
    with contextlib.ExitStack() as stack:
        if rate_hz is not None:
            stack.enter_context(_switching(max(1 / (20 * rate_hz), _LEAST_SWITCH_S)))
        if wanted.lock_memory:
            _lock_memory(stack, refused)
        if wanted.cpus is not None:
            _pin(wanted.cpus, stack, refused)
        if wanted.priority is not None:
            _raise_priority(wanted.priority, stack, refused)
        yield refused


@contextlib.contextmanager
def _switching(seconds: float) -> Iterator[None]:
    """Set the thread switch interval; of several loops the shortest counts, and the last one restores it."""
    with _lock:
        if not _intervals_s:
            _intervals_s.append(sys.getswitchinterval())  # the value before the first loop
        _intervals_s.append(seconds)
        sys.setswitchinterval(min(_intervals_s))
    try:
        yield
    finally:
        with _lock:
            _intervals_s.remove(seconds)
            sys.setswitchinterval(min(_intervals_s))
            if len(_intervals_s) == 1:
                _intervals_s.clear()


def _raise_priority(priority: int, stack: contextlib.ExitStack, refused: list[str]) -> None:
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        refused.append(
            f"SCHED_FIFO {priority} is not permitted ({error.strerror}), so deadlines depend on other processes; grant "
            f"CAP_SYS_NICE or set LimitRTPRIO={priority}."
        )
        return

    def back() -> None:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, policy, parameters)

    stack.callback(back)


def _pin(cpus: Collection[int], stack: contextlib.ExitStack, refused: list[str]) -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus)
    except (OSError, ValueError, OverflowError) as error:
        reason = reason_of(error)
        refused.append(f"cannot run on processors {sorted(cpus)} ({reason}); available are {sorted(before)}.")
        return
    stack.callback(os.sched_setaffinity, 0, before)


def _lock_memory(stack: contextlib.ExitStack, refused: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    # Below a limit the call may succeed and later allocations then fail, which would crash the process.
    limited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY and not _has_capability()
    if limited or libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) != 0:
        reason = "there is a limit" if limited else os.strerror(ctypes.get_errno())
        refused.append(
            f"memory cannot be locked ({reason}), so page faults may delay a step; grant CAP_IPC_LOCK or set "
            f"LimitMEMLOCK=infinity."
        )
        return
    stack.callback(libc.munlockall)


def _has_capability() -> bool:
    """True if CAP_IPC_LOCK lifts the limit on locked memory."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        effective = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    except (OSError, ValueError, StopIteration):
        return False
    return bool(effective >> _CAP_IPC_LOCK & 1)
