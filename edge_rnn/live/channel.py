"""Broadcast channel from the recorder to any number of listeners; a slow listener delays no other one."""

from __future__ import annotations

import threading
from collections import deque

__all__ = ["Channel"]

_KEPT_MESSAGES = 64


class Channel:
    """Ring buffers of recent points and messages, with a listener count.

    Parameters
    ----------
    kept_points
        Number of points that a new listener receives.

    Attributes
    ----------
    closed
        True once no more messages will come.
    listeners
        Number of listeners.
    """

    def __init__(self, kept_points: int) -> None:
        self._changed = threading.Condition()
        self._points: deque[bytes] = deque(maxlen=kept_points)
        self._messages: deque[bytes] = deque(maxlen=_KEPT_MESSAGES)
        self._published = 0
        self.closed = False
        self.listeners = 0

    def keep(self, point: bytes) -> None:
        """Store a point for later listeners."""
        with self._changed:
            self._points.append(point)

    def publish(self, message: bytes) -> None:
        """Send a message to all listeners."""
        with self._changed:
            self._messages.append(message)
            self._published += 1
            self._changed.notify_all()

    def join(self, most: int) -> tuple[list[bytes], int] | None:
        """Add a listener; return all points and its position, or None if there are ``most`` listeners already."""
        with self._changed:
            if self.listeners >= most:
                return None
            self.listeners += 1
            return list(self._points), self._published

    def leave(self) -> None:
        """Remove a listener."""
        with self._changed:
            self.listeners -= 1
            self._changed.notify_all()

    def after(self, place: int, seconds: float) -> tuple[list[bytes], int]:
        """Wait for messages after ``place``; return them and the new position; no messages after a timeout or the end.

        A listener that fell too far behind gets the newest messages only.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._published > place or self.closed, seconds)
            missed = min(self._published - place, len(self._messages))
            return list(self._messages)[len(self._messages) - missed :], self._published

    def close(self, seconds: float) -> bool:
        """Close the channel, and wait until all listeners have left; False if the timeout passes first."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self.listeners == 0, seconds)
