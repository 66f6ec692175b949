"""Signals as requests that the loop checks between two samples."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["handled"]

_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_INSISTENT = (signal.SIGTERM, signal.SIGINT)
"""Signals whose repetition forces an immediate exit. Not SIGHUP: closing a session often sends it twice."""


@contextlib.contextmanager
def handled(stop: Callable[[str], None], show: Callable[[], None]) -> Iterator[None]:
    """Route SIGTERM, SIGINT and SIGHUP to ``stop`` (with their name) and SIGUSR1 to ``show``; restore them at the end.

    A second SIGTERM or SIGINT has its original effect, so that it ends a process that hangs. Signals ignored at the
    start, as SIGHUP is under ``nohup``, stay ignored. Outside the main thread, where Python delivers no signals,
    nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {}

    def on_stop(number: int, frame: Any) -> None:
        for each in _INSISTENT:
            if each in before and number in _INSISTENT:
                signal.signal(each, before[each])
        stop(signal.Signals(number).name)

    def on_show(number: int, frame: Any) -> None:
        show()

    for each in (*_STOP, signal.SIGUSR1):
        old = signal.getsignal(each)
        if old is None or (each in _STOP and old is signal.SIG_IGN):  # set by C, or ignored by the parent process
            continue
        before[each] = old
        signal.signal(each, on_show if each is signal.SIGUSR1 else on_stop)
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)
