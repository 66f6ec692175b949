"""Signals as wishes that the loop looks at between two samples."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["handled"]

_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_INSISTENT = (signal.SIGTERM, signal.SIGINT)
"""Those that, sent a second time, mean at once. SIGHUP does not: a session that closes often sends it twice."""


@contextlib.contextmanager
def handled(stop: Callable[[str], None], show: Callable[[], None]) -> Iterator[None]:
    """SIGTERM, SIGINT and SIGHUP call ``stop`` with their name, SIGUSR1 calls ``show``; afterwards all is as it was.

    A second SIGTERM or SIGINT does what it did before the loop: where something hangs, it ends the process. What was
    ignored at the start, as SIGHUP is under ``nohup``, stays ignored. Nothing is changed outside of the main thread,
    where Python takes no signals.
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
        if old is None or (each in _STOP and old is signal.SIG_IGN):  # set by C, or ignored by whoever started us
            continue
        before[each] = old
        signal.signal(each, on_show if each is signal.SIGUSR1 else on_stop)
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)
