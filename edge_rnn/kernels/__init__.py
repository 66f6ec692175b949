"""Compiled code: it knows pointers, arrays and ints, never Model or Plan.

``record``, ``panels`` and one file a cell say how weights are packed and what a compiled function reads; ``vector`` and
``activations`` are what cells are written with; ``driver`` runs a program of them over one sample; ``compiler`` and
``library`` turn a function into object code once and load it ever after; ``callable`` makes a Python function of it and
``extension`` a function for the user's own compiled loops. Only what compiles imports Numba.
"""

from __future__ import annotations

__all__: list[str] = []
