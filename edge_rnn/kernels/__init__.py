"""Compiled code. It works on pointers, arrays and ints, never on a Model or a Plan.

``matrices`` packs weights and multiplies with them. ``vectors`` has the functions that ``cells``, one file per layer,
are written with; ``lower`` generates kernels from equations. ``program`` runs the operations of a step, which its
records describe, and ``writing`` chooses symbols. ``compile`` turns a function into object code; ``entry`` caches and
loads it, and makes it callable from Python and from the user's compiled loops; ``standalone`` makes a library that
needs no Python. Numba is imported only where code is compiled.
"""

from __future__ import annotations

__all__: list[str] = []
