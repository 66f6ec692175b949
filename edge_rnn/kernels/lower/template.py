"""Lowered graphs of the library's own cells for any sizes: texts with multiples of the sizes in place of numbers.

The graph of a cell depends on its options alone; its sizes occur in it only as lengths. So one text serves all sizes.
Wheels have such texts, so that cells need not be traced and lowered where they run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any

__all__ = ["filled", "generalized", "template_of"]

_LARGE = {"I": 10_007, "P": 100_003, "H": 1_000_003}
"""Sizes for which a text is made: primes, so that a large number in it is a multiple of one of them."""
_NUMBER = re.compile(r"(?<![\w.])\d{5,}")
_MARK = re.compile(r"¶(\d+)([IPH])")


def template_of(recorded_from: Hashable) -> tuple[str, Mapping[str, int]] | None:
    """Name of a cell's text, and the sizes to fill in: I values read, H units, P values of the first state.

    None if the cell is not one of the library's own.

    Parameters
    ----------
    recorded_from
        Kind of the cell, lengths of its states, and its fields with shapes in place of arrays; or a graph. See
        :attr:`edge_rnn.layers.Layer.recorded_from`.
    """
    if not isinstance(recorded_from, tuple):
        return None
    kind, states, fields = recorded_from
    sizes = {"I": dict(fields)["weight_ih"][1], "P": states[0][1], "H": states[-1][1]}
    return f"lowered {kind} {[(name, _plain(value)) for name, value in fields]!r}", sizes


def _plain(value: Any) -> Any:
    """Number of axes of an array; an activation without its parameters, which are fields of their own."""
    if isinstance(value, tuple):
        return len(value)
    return value.partition(":")[0] if isinstance(value, str) else value


def generalized(recorded_from: Any, lowered: Callable[[Any, Any], str]) -> str:
    """Make the text of a cell for any sizes.

    Parameters
    ----------
    recorded_from
        As in :func:`template_of`, of a cell whose sizes are primes above the number of its gates; P differs from H only
        if there is a projection.
    lowered
        Function that returns the text of the same cell with other sizes, given states and fields.
    """
    found = template_of(recorded_from)
    assert found is not None, recorded_from
    _, sizes = found

    def enlarged(size: int) -> int:
        letter = next(letter for letter in ("H", "P", "I") if size % sizes[letter] == 0)
        return size // sizes[letter] * _LARGE[letter]

    def marked(number: re.Match[str]) -> str:
        letter = next(letter for letter in _LARGE if int(number[0]) % _LARGE[letter] == 0)
        return f"¶{int(number[0]) // _LARGE[letter]}{letter}"

    _, states, fields = recorded_from
    lengths = tuple((name, enlarged(size)) for name, size in states)
    shapes = ((name, tuple(map(enlarged, value)) if isinstance(value, tuple) else value) for name, value in fields)
    return _NUMBER.sub(marked, lowered(lengths, tuple(shapes)))


def filled(text: str, sizes: Mapping[str, int]) -> str:
    """Fill a cell's sizes into its text."""
    return _MARK.sub(lambda mark: str(int(mark[1]) * sizes[mark[2]]), text)
