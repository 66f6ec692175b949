"""The hot loop of every cell: rows of weights times values, summed up in registers."""

from __future__ import annotations

from functools import partial
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from edge_rnn.kernels import emit

__all__ = ["fma_rows"]


@intrinsic(prefer_literal=True)
def fma_rows(typing_context: Any, chains: Any, accumulators: Any, weights: Any, pitch: Any, xs: Any, rows: Any) -> Any:
    """``accumulators[g] + sum over k of weights[k, g] * x[k]``.

    Parameters
    ----------
    chains
        Literal: how many independent sums each accumulator is split into. An FMA takes some four cycles and two start
        in each, so some eight have to be under way at once.
    accumulators
        Tuple of ``n`` vectors of one length, ``lanes`` for each stream.
    weights
        ``float*`` to rows of ``n * pitch`` floats, one behind the other; the vector for ``g`` begins at ``g * pitch``.
    pitch
        Literal: floats from one vector of a row to the next, ``lanes`` or more.
    xs
        For each stream a ``float*`` to ``rows`` values.
    rows
        Number of rows, int; zero is allowed.
    """
    count, streams, split = len(accumulators), len(xs), chains.literal_value
    lanes, step = accumulators.dtype.lanes // streams, pitch.literal_value
    vector_type = ir.VectorType(emit.F32, accumulators.dtype.lanes)
    word = ir.IntType(64)

    def add_rows(builder: Any, weights: Any, xs: Any, how_many: int, sums: list[Any], row: Any) -> list[Any]:
        """The sums after ``how_many`` rows from ``row`` on, row ``j`` of them added to chain ``j``."""
        sums = list(sums)
        fmuladd = emit.fmuladd(builder, vector_type)
        start = builder.mul(builder.zext(row, word), word(count * step))
        for j in range(how_many):
            place = builder.add(row, emit.I32(j))
            values = [builder.load(builder.gep(builder.extract_value(xs, s), [place])) for s in range(streams)]
            x = emit.join(builder, [emit.splat(builder, value, lanes) for value in values])
            for g in range(count):
                pointer = builder.gep(weights, [builder.add(start, word((j * count + g) * step))])
                w = emit.join(builder, [emit.load(builder, pointer, lanes)] * streams)
                slot = j * count + g
                sums[slot] = builder.call(fmuladd, [w, x, sums[slot]])
        return sums

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        _, given, weights, _, xs, rows = args
        rows = context.cast(builder, rows, sig.args[5], types.int32)
        start = [builder.extract_value(given, g) for g in range(count)]
        add = partial(add_rows, builder, weights, xs)
        done = emit.I32(0)
        if split > 1:  # the other chains are not worth their start and end for a few rows
            before = builder.block
            whole = builder.mul(builder.sdiv(rows, emit.I32(split)), emit.I32(split))
            with builder.if_then(builder.icmp_signed(">=", rows, emit.I32(split))):
                zeros = [ir.Constant(vector_type, None)] * (count * (split - 1))
                sums, _ = emit.loop(builder, start + zeros, done, whole, split, partial(add, split))
                while len(sums) > count:  # pairwise, to keep the chain short
                    half = (len(sums) // count + 1) // 2 * count
                    upper = sums[half:]
                    sums = [builder.fadd(a, b) for a, b in zip(sums, upper, strict=False)] + sums[len(upper) : half]
                many = builder.block
            for g in range(count):
                start[g] = _either(builder, start[g], before, sums[g], many)
            done = _either(builder, done, before, whole, many)
        sums, _ = emit.loop(builder, start, done, rows, 1, partial(add, 1))
        result = ir.Constant(given.type, ir.Undefined)
        for g, value in enumerate(sums):
            result = builder.insert_value(result, value, g)
        return result

    return signature(accumulators, chains, accumulators, weights, pitch, xs, rows), generate


def _either(builder: Any, one: Any, one_block: Any, other: Any, other_block: Any) -> Any:
    """``one`` when coming from ``one_block``, ``other`` from ``other_block``."""
    phi = builder.phi(one.type)
    phi.add_incoming(one, one_block)
    phi.add_incoming(other, other_block)
    return phi
