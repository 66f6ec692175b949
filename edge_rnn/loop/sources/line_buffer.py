"""Bytes as they come into whole lines, none longer than a bound."""

from __future__ import annotations

from collections import deque

__all__ = ["LineBuffer"]


class LineBuffer:
    """What has been read and not yet taken, line by line.

    Parameters
    ----------
    longest
        A line of more bytes is cut there, and the rest of it thrown away; it comes out one byte longer than this, so
        that it can be told.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._lines: deque[bytes] = deque()
        self._begun = b""
        self._overlong = False

    def feed(self, data: bytes) -> None:
        """Add bytes."""
        first, *rest = data.split(b"\n")
        if not rest:
            self._begin(first)
            return
        self._begin(first)
        self._finish()
        for line in rest[:-1]:
            self._lines.append(line if len(line) <= self._longest else line[: self._longest + 1])
        self._begin(rest[-1])

    def end(self) -> None:
        """What has begun is a line: no more will come of it."""
        if self._begun:
            self._finish()

    def clear(self) -> None:
        """Forget everything."""
        self._lines.clear()
        self._begun, self._overlong = b"", False

    def take(self) -> bytes | None:
        """The next line without its end; None if there is none yet."""
        return self._lines.popleft() if self._lines else None

    def _begin(self, data: bytes) -> None:
        if self._overlong:
            return
        self._begun += data
        if len(self._begun) > self._longest:
            self._begun = self._begun[: self._longest + 1]
            self._overlong = True

    def _finish(self) -> None:
        self._lines.append(self._begun)
        self._begun, self._overlong = b"", False
