"""Compiled code: it knows pointers, arrays and ints, never Model or Plan.

``matrices`` packs weights and multiplies with them; ``vectors`` is what ``cells``, one file a layer, are written with;
``program`` runs them one after the other over a sample, as its records say, and ``writing`` chooses symbols;
``compile`` turns a function into object code; ``entry`` keeps that, loads it ever after, and makes of it a Python
function and one for the user's own compiled loops; ``standalone`` makes a library of it that needs no Python. Only what
compiles imports Numba.
"""

from __future__ import annotations

__all__: list[str] = []
