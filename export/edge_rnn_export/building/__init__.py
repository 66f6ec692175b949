"""A model as a library of machine code for a board: no Numba there, no Python needed, no C library either."""

from __future__ import annotations

__all__: list[str] = []
