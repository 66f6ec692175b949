"""Product of a matrix in a panel and a vector, for a matrix in any format.

Cells ask for one of these per matrix, so they are independent of formats.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

from edge_rnn.formats import GROUP
from edge_rnn.kernels.compile.compiler import helper
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.matrices.int_rows import int_rows
from edge_rnn.kernels.matrices.panels import chains
from edge_rnn.kernels.matrices.rows import fma_rows_listed, rows_by
from edge_rnn.kernels.matrices.segments import rounds_vectors, weights_per_float
from edge_rnn.kernels.matrices.weight_loads import load_of
from edge_rnn.kernels.vectors.addresses import as_int32s_at
from edge_rnn.kernels.vectors.load_store import at

__all__ = ["multiply"]


@cache  # matrices of the same kind, in one layer or in several, share a function, which is lowered once
def multiply(kind: str, gates: int, width: int, lanes: int, target: Target) -> Any:
    """Make a helper ``(sums, w, xs, rows) -> (sums, w)``: sums plus matrix times vector, and the next segment.

    Parameters
    ----------
    kind
        Format of the matrix.
    gates
        Number of vectors of sums.
    width
        Units in the panel.
    lanes
        Length of a vector of sums, for all streams together.
    target
        The CPU.

    Notes
    -----
    ``sums`` is a tuple of vectors, ``w`` a ``float*`` to the segment, ``xs`` a tuple with a ``float*`` for each stream:
    to the vector, or to the result of the segment's operand. ``rows`` is the length of the vector.
    """
    split = chains(target.block, gates, lanes)
    if rounds_vectors(kind):
        return _integers(kind, gates, width, target)
    return (_sparse if kind == "sparse" else partial(_floats, kind))(split, gates, width, target)


def _floats(kind: str, split: int, gates: int, width: int, target: Target) -> Any:
    """Make the product for rows of floats; weights of a column that fit one float32 are adjacent."""
    rows_of, per_float = rows_by(load_of(kind, target)), weights_per_float(kind)

    @helper
    def run(sums, w, xs, rows):  # type: ignore[no-untyped-def]
        return rows_of(split, sums, w, width, xs, rows), at(w, gates * width * ((rows + per_float - 1) // per_float))

    return run


def _sparse(split: int, gates: int, width: int, target: Target) -> Any:
    @helper
    def run(sums, w, xs, rows):  # type: ignore[no-untyped-def]
        index = as_int32s_at(w, 8)
        count = as_int32s_at(w, 0)[0]
        w = at(w, (count + 8 + 15) // 16 * 16)
        return fma_rows_listed(split, sums, w, width, xs, count, index), at(w, gates * width * count)

    return run


def _integers(kind: str, gates: int, width: int, target: Target) -> Any:
    rows_of = int_rows(kind, target)
    head = gates * width * (2 if target.dot == "vnni" else 1)
    if kind == "int4":
        group = head + gates * width * GROUP // 8

        @helper
        def behind(rows):  # type: ignore[no-untyped-def]
            rest = rows % GROUP
            return rows // GROUP * group + (head + gates * width * ((rest + 7) // 8) if rest else 0)
    else:

        @helper
        def behind(rows):  # type: ignore[no-untyped-def]
            return head + gates * width * ((rows + 3) // 4)

    @helper
    def run(sums, w, xs, rows):  # type: ignore[no-untyped-def]
        return rows_of(sums, w, width, xs, rows), at(w, behind(rows))

    return run
