"""Memory that reading a file may take: in proportion to the bytes stored in it, whatever it claims."""

from __future__ import annotations

from edge_rnn.errors import EdgeRnnError, FileError

__all__ = ["Budget"]

_FLOOR = 2**24
_BYTES_PER_STORED_BYTE = 32
_CEILING = 2**32


class Budget:
    """Bytes that may still be allocated for a file.

    A few hundred bytes can claim gigabytes: a deflated run of zeros, one number that is repeated, two vectors whose
    product is a matrix. Each reader takes what it is about to allocate out of one budget, before it allocates it.

    Parameters
    ----------
    count
        Bytes.
    remedy
        End of the message, after ``"; "``: what to do instead.
    error
        Kind of error that :meth:`take` raises.
    """

    def __init__(self, count: int, *, remedy: str = "", error: type[EdgeRnnError] = FileError) -> None:
        self.left = count
        self._remedy = f"; {remedy}" if remedy else ""
        self._error = error

    @classmethod
    def of_file(
        cls, stored_bytes: int, *, floor: int = _FLOOR, remedy: str = "", error: type[EdgeRnnError] = FileError
    ) -> Budget:
        """The budget of a file of this length: ``floor`` and 32 bytes for each stored one, 4 GiB at most."""
        return cls(min(floor + _BYTES_PER_STORED_BYTE * stored_bytes, _CEILING), remedy=remedy, error=error)

    def take(self, what: str, count: int) -> None:
        """Set ``count`` bytes aside for ``what``.

        Raises
        ------
        FileError
            They are not left; or another kind of error, as the budget was made.
        """
        if count > self.left:
            raise self._error(
                f"{what} would take {count} bytes of memory, expected {self.left} at most, in proportion to its file"
                f"{self._remedy}."
            )
        self.left -= count
