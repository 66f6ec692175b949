"""OneThread: refuse a second thread inside an object whose methods are plain Python."""

from __future__ import annotations

import threading
from typing import NoReturn

from edge_rnn.errors import StateError

__all__ = ["OneThread"]


class OneThread:
    """Claim on an object whose methods are plain Python: ``with self._alone: ...``.

    Parameters
    ----------
    name
        Name of the object, for the message.

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
            f"{self._name} was called while another call of it is running; nothing has changed. Give each thread one "
            f"of its own, or use a lock."
        )
