"""Buffer that splits incoming bytes into lines of bounded length."""

from __future__ import annotations

from collections import deque

__all__ = ["LineBuffer"]


class LineBuffer:
    """Bytes that have been read but not taken yet, by line.

    Parameters
    ----------
    longest
        Maximum length in bytes. A longer line is truncated to one byte more than this, so that the caller can detect
        it; the rest of it is discarded.
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
        """Complete the last line at the end of the input."""
        if self._begun:
            self._finish()

    def clear(self) -> None:
        """Discard everything."""
        self._lines.clear()
        self._begun, self._overlong = b"", False

    def take(self) -> bytes | None:
        """Return the next line without its terminator; None if there is none yet."""
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
