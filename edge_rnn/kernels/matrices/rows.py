"""Hot loop of every cell: rows of weights times values, summed in registers."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from edge_rnn.kernels.compile import llvm
from edge_rnn.kernels.matrices import weight_loads

__all__ = ["fma_rows", "fma_rows_listed", "rows_by"]


@cache
def rows_by(load: weight_loads.Load, listed: bool = False) -> Any:
    """Make :data:`fma_rows` for weights that ``load`` reads; ``listed``: with an index for each row."""

    def typed(
        typing_context: Any,
        chains: Any,
        accumulators: Any,
        weights: Any,
        pitch: Any,
        xs: Any,
        rows: Any,
        index: Any = None,
    ) -> Any:
        count, streams, split = len(accumulators), len(xs), chains.literal_value
        lanes, step = accumulators.dtype.lanes // streams, pitch.literal_value
        vector_type = ir.VectorType(llvm.F32, accumulators.dtype.lanes)
        word = ir.IntType(64)

        def add_rows(builder: Any, args: Any, how_many: int, sums: list[Any], row: Any) -> list[Any]:
            """Add ``how_many`` rows from ``row`` on to the sums, row ``j`` of them to chain ``j``."""
            _, _, weights, _, xs, _, *listed_at = args
            sums = list(sums)
            fmuladd = llvm.fmuladd(builder, vector_type)
            start = builder.mul(builder.zext(row, word), word(count * step))
            for j in range(how_many):
                place = builder.add(row, llvm.I32(j))
                if listed_at:
                    place = builder.load(builder.gep(listed_at[0], [place]))
                values = [builder.load(builder.gep(builder.extract_value(xs, s), [place])) for s in range(streams)]
                x = llvm.join(builder, [llvm.splat(builder, value, lanes) for value in values])
                for g in range(count):
                    offset = builder.add(start, word((j * count + g) * step))
                    w = llvm.join(builder, [load(builder, weights, offset, lanes)] * streams)
                    slot = j * count + g
                    sums[slot] = builder.call(fmuladd, [w, x, sums[slot]])
            return sums

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            given, rows = args[1], args[5]
            rows = context.cast(builder, rows, sig.args[5], types.int32)
            start = [builder.extract_value(given, g) for g in range(count)]
            add = partial(add_rows, builder, args)
            done = llvm.I32(0)
            if split > 1:  # for a few rows, the overhead of the other chains is not worth it
                before = builder.block
                whole = builder.mul(builder.sdiv(rows, llvm.I32(split)), llvm.I32(split))
                with builder.if_then(builder.icmp_signed(">=", rows, llvm.I32(split))):
                    zeros = [ir.Constant(vector_type, None)] * (count * (split - 1))
                    sums, _ = llvm.loop(builder, start + zeros, done, whole, split, partial(add, split))
                    while len(sums) > count:  # pairwise, to keep the chain short
                        half = (len(sums) // count + 1) // 2 * count
                        upper = sums[half:]
                        sums = [builder.fadd(a, b) for a, b in zip(sums, upper, strict=False)] + sums[len(upper) : half]
                    many = builder.block
                for g in range(count):
                    start[g] = _either(builder, start[g], before, sums[g], many)
                done = _either(builder, done, before, whole, many)
            sums, _ = llvm.loop(builder, start, done, rows, 1, partial(add, 1))
            result = ir.Constant(given.type, ir.Undefined)
            for g, value in enumerate(sums):
                result = builder.insert_value(result, value, g)
            return result

        given_types = [chains, accumulators, weights, pitch, xs, rows]
        return signature(accumulators, *given_types, *([index] if listed else [])), generate

    def of_all(
        typing_context: Any, chains: Any, accumulators: Any, weights: Any, pitch: Any, xs: Any, rows: Any
    ) -> Any:
        return typed(typing_context, chains, accumulators, weights, pitch, xs, rows)

    def of_listed(
        typing_context: Any, chains: Any, accumulators: Any, weights: Any, pitch: Any, xs: Any, rows: Any, index: Any
    ) -> Any:
        return typed(typing_context, chains, accumulators, weights, pitch, xs, rows, index)

    return intrinsic(prefer_literal=True)(of_listed if listed else of_all)


fma_rows = rows_by(weight_loads.floats)
"""``accumulators[g] + sum over k of weights[k, g] * x[k]``.

Parameters
----------
chains
    Literal: number of independent sums that each accumulator is split into. An FMA takes about four cycles, and two
    start in each cycle, so about eight have to be in flight at once.
accumulators
    Tuple of ``n`` vectors of equal length, ``lanes`` for each stream.
weights
    ``float*`` to consecutive rows of ``n * pitch`` weights; the vector for ``g`` begins at ``g * pitch``.
pitch
    Literal: weights from one vector of a row to the next, ``lanes`` or more.
xs
    For each stream, a ``float*`` to ``rows`` values.
rows
    Number of rows, int; zero is allowed.
"""
fma_rows_listed = rows_by(weight_loads.floats, listed=True)
"""As :data:`fma_rows`, but row ``k`` times ``x[index[k]]``; a last argument is ``index``, ``int32_t*``."""


def _either(builder: Any, one: Any, one_block: Any, other: Any, other_block: Any) -> Any:
    """Phi node: ``one`` when coming from ``one_block``, ``other`` from ``other_block``."""
    phi = builder.phi(one.type)
    phi.add_incoming(one, one_block)
    phi.add_incoming(other, other_block)
    return phi
