"""The clocks that a loop goes by; tests hand in one of their own."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What tells the time to a loop."""

    def now_ns(self) -> int:
        """Time that never jumps: what deadlines stand on."""

    def elapsed_ns(self) -> int:
        """Time that also goes on while the machine sleeps: what gaps are measured with."""

    def wall_s(self) -> float:
        """Unix time in seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's clocks.

    ``time.sleep`` waits on the monotonic clock up to an absolute time (``clock_nanosleep`` with ``TIMER_ABSTIME``,
    since Python 3.11), so a signal that interrupts it does not make it longer.
    """

    now_ns = staticmethod(time.monotonic_ns)
    wall_s = staticmethod(time.time)
    sleep = staticmethod(time.sleep)

    @staticmethod
    def elapsed_ns() -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
