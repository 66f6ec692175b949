"""What the system can do for deadlines, where it allows it."""

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
    """What to ask of the system for the loop's thread.

    Parameters
    ----------
    priority
        Of SCHED_FIFO, 1 to 99, so that ordinary processes wait for the loop; None to leave it. Threads that read the
        source stay ordinary ones.
    cpus
        Processors to run on; None for all.
    lock_memory
        Whether to keep all of the process in memory (mlockall), so that no page has to be fetched.
    """

    priority: int | None = None
    cpus: Collection[int] | None = None
    lock_memory: bool = False

    def __post_init__(self) -> None:
        if self.priority is not None and not 1 <= self.priority <= 99:
            raise InputError(f"Realtime priority got {self.priority}, expected 1 to 99.")
        if self.cpus is not None and not self.cpus:
            raise InputError("Realtime cpus got none, expected one or more numbers of processors.")


@contextlib.contextmanager
def applied(wanted: Realtime, rate_hz: float | None) -> Iterator[list[str]]:
    """Ask for it, and put everything back at the end.

    Python hands its lock from one thread to another after 5 ms at the earliest; here after a twentieth of a period.

    Yields
    ------
    What could not be had, and why.
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
    """Have threads switch as often; of several loops in one process the quickest counts, the last one puts it back."""
    with _lock:
        if not _intervals_s:
            _intervals_s.append(sys.getswitchinterval())  # before the first loop
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
            f"SCHED_FIFO {priority} is not allowed ({error.strerror}): deadlines depend on what else runs; the system "
            f"allows it with CAP_SYS_NICE or LimitRTPRIO={priority}."
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
        refused.append(f"the processors {sorted(cpus)} cannot be had ({reason}); there are {sorted(before)}.")
        return
    stack.callback(os.sched_setaffinity, 0, before)


def _lock_memory(stack: contextlib.ExitStack, refused: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    # Below a limit the call may succeed, and the memory that is asked for later be refused: that would be a crash.
    limited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY and not _has_capability()
    if limited or libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) != 0:
        reason = "there is a limit" if limited else os.strerror(ctypes.get_errno())
        refused.append(
            f"memory cannot be locked ({reason}): a page may have to be fetched; the system allows it with "
            f"CAP_IPC_LOCK or LimitMEMLOCK=infinity."
        )
        return
    stack.callback(libc.munlockall)


def _has_capability() -> bool:
    """Whether CAP_IPC_LOCK lifts the limit on locked memory."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        effective = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    except (OSError, ValueError, StopIteration):
        return False
    return bool(effective >> _CAP_IPC_LOCK & 1)
