"""Memory budget for reading a file: in proportion to its stored bytes, not to the sizes that it claims."""

from __future__ import annotations

from edge_rnn.errors import EdgeRnnError, FileError

__all__ = ["MAX_FILE_BYTES", "Budget"]

MAX_FILE_BYTES = 2**30
"""Largest model file that is read, written or fetched, in bytes."""

_FLOOR = 2**24
_BYTES_PER_STORED_BYTE = 32
_CEILING = 2**32


class Budget:
    """Bytes that may still be allocated for a file.

    A few hundred bytes can claim gigabytes: a deflated run of zeros, an expanded tensor, two vectors whose product is a
    matrix. Each reader takes the size of every allocation from one budget before allocating.

    Parameters
    ----------
    count
        Size of the budget in bytes.
    remedy
        End of the message, after ``"; "``: what to do instead.
    error
        Class of the error that :meth:`take` raises.
    """

    def __init__(self, count: int, *, remedy: str = "", error: type[EdgeRnnError] = FileError) -> None:
        self.left = count
        self._remedy = f"; {remedy}" if remedy else ""
        self._error = error

    @classmethod
    def of_file(
        cls, stored_bytes: int, *, floor: int = _FLOOR, remedy: str = "", error: type[EdgeRnnError] = FileError
    ) -> Budget:
        """Return the budget for a file of this length: ``floor`` plus 32 bytes per stored byte, 4 GiB at most."""
        return cls(min(floor + _BYTES_PER_STORED_BYTE * stored_bytes, _CEILING), remedy=remedy, error=error)

    def take(self, what: str, count: int) -> None:
        """Reserve ``count`` bytes for ``what``.

        Raises
        ------
        FileError
            The budget has fewer bytes left. The class is the budget's ``error``.
        """
        if count > self.left:
            raise self._error(
                f"{what} would take {count} bytes of memory, expected {self.left} at most, in proportion to its file"
                f"{self._remedy}."
            )
        self.left -= count
