"""Names for the words and numbers that compiled code and Python share."""

from __future__ import annotations

from enum import EnumMeta, IntEnum

__all__ = ["Words", "WordsType"]


class WordsType(EnumMeta):
    """Type of :class:`Words` and of its subclasses, by which the compiler recognizes them."""


class Words(IntEnum, metaclass=WordsType):
    """Base of enumerations whose members kernels take as plain integers: ``handle[Handle.PARITY]``.

    Numba does not accept members of enumerations as indices; :mod:`edge_rnn.kernels.compile.compiler` teaches it these.
    """
