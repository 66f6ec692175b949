"""What the recorder says, for any number of listeners: each at its own speed, none can hold it up."""

from __future__ import annotations

import threading
from collections import deque

__all__ = ["Channel"]

_KEPT_MESSAGES = 64


class Channel:
    """The last points, and the last messages about them.

    Parameters
    ----------
    kept_points
        How many points a listener is given that comes now.

    Attributes
    ----------
    closed
        Whether no message will come any more.
    listeners
        How many listen.
    """

    def __init__(self, kept_points: int) -> None:
        self._changed = threading.Condition()
        self._points: deque[bytes] = deque(maxlen=kept_points)
        self._messages: deque[bytes] = deque(maxlen=_KEPT_MESSAGES)
        self._published = 0
        self.closed = False
        self.listeners = 0

    def keep(self, point: bytes) -> None:
        """Keep a point for those who come later."""
        with self._changed:
            self._points.append(point)

    def publish(self, message: bytes) -> None:
        """Hand a message to all who listen."""
        with self._changed:
            self._messages.append(message)
            self._published += 1
            self._changed.notify_all()

    def join(self, most: int) -> tuple[list[bytes], int] | None:
        """Begin to listen: all points, and the place to go on from; None if ``most`` listen already."""
        with self._changed:
            if self.listeners >= most:
                return None
            self.listeners += 1
            return list(self._points), self._published

    def leave(self) -> None:
        """Listen no more."""
        with self._changed:
            self.listeners -= 1
            self._changed.notify_all()

    def after(self, place: int, seconds: float) -> tuple[list[bytes], int]:
        """Messages since ``place``, and the place after them; none if none came in time, or none will come.

        Who was away for too long gets the newest ones.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._published > place or self.closed, seconds)
            missed = min(self._published - place, len(self._messages))
            return list(self._messages)[len(self._messages) - missed :], self._published

    def close(self, seconds: float) -> bool:
        """Let all know that this was all, and wait until they have left; False if the time was over first."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self.listeners == 0, seconds)
