"""Compile a model to a machine-code library for a board; the library needs neither Numba nor Python nor a C library."""

from __future__ import annotations

__all__: list[str] = []
