"""OneThread: an object that two threads must not use at once, for classes that consist of Python alone."""

from __future__ import annotations

import threading
from typing import NoReturn

from edge_rnn.errors import StateError

__all__ = ["OneThread"]


class OneThread:
    """A claim on an object whose calls consist of Python alone: ``with self._alone: ...``.

    Parameters
    ----------
    name
        What it is, for the message.

    Raises
    ------
    StateError
        On entry: another thread is inside, or this one is already.
    """

    __slots__ = ("_lock", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._refuse()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _refuse(self) -> NoReturn:
        raise StateError(
            f"{self._name} was called while another call of it goes on; nothing has changed. Give each thread one of "
            f"its own, or lock."
        )
