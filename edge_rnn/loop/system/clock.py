"""Clocks of a loop; tests supply their own."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Clock interface of a loop."""

    def now_ns(self) -> int:
        """Return monotonic time in ns, the basis of deadlines."""

    def elapsed_ns(self) -> int:
        """Return time in ns that includes system suspend, the basis of gaps."""

    def wall_s(self) -> float:
        """Return Unix time in seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """System clocks.

    ``time.sleep`` waits until an absolute time of the monotonic clock (``clock_nanosleep`` with ``TIMER_ABSTIME``,
    since Python 3.11), so an interrupting signal does not prolong it.
    """

    now_ns = staticmethod(time.monotonic_ns)
    wall_s = staticmethod(time.time)
    sleep = staticmethod(time.sleep)

    @staticmethod
    def elapsed_ns() -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
