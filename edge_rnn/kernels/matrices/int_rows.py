"""Hot loop over integer weights: rows of small integers times a rounded vector, summed exactly in 32 bits.

A vector of 16 bits is used either directly (``pmaddwd``, ``mla``) or as two vectors of bytes, high and low, that the
same weights multiply (``vnni``, ``sdot``). ``round_vector`` makes the vectors, ``segments`` packs the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.cgutils import get_or_insert_function
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from edge_rnn.formats import GROUP
from edge_rnn.kernels.compile import llvm
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.matrices.segments import DEPTH, QUANTIZED_HEADER

__all__ = ["int_rows"]

I8, I16 = ir.IntType(8), ir.IntType(16)

_CHUNK = 512
"""Most rows whose sums fit 32 bits: 512 * 127 * 32639 < 2^31. Sums of bytes are far below that at any length."""


def int_rows(kind: str, target: Target) -> Any:
    """Make the loop for ``"int8"``, ``"w8a8"`` or ``"int4"``: ``(sums, weights, pitch, xs, rows) -> sums``.

    It computes ``sums[g] + scale[g] * step * sum over k of weights[k, g] * x[k]``.

    Parameters
    ----------
    sums
        Tuple of vectors of float32.
    weights
        ``float*`` to a segment.
    pitch
        Literal: units in the panel, the length of the vectors.
    xs
        Tuple of one ``float*``, to the result of ``quantize16`` or ``quantize8``.
    rows
        Length of the vector, int.
    """

    def typed(typing_context: Any, sums: Any, weights: Any, pitch: Any, xs: Any, rows: Any) -> Any:
        loop = _Loop(kind, target, len(sums), pitch.literal_value)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            given, weights, _, xs, rows = args
            count = context.cast(builder, rows, sig.args[4], types.int32)
            start = [builder.extract_value(given, g) for g in range(loop.gates)]
            done = loop.generate(builder, start, weights, builder.extract_value(xs, 0), count)
            result = ir.Constant(given.type, ir.Undefined)
            for g, value in enumerate(done):
                result = builder.insert_value(result, value, g)
            return result

        return signature(sums, sums, weights, pitch, xs, rows), generate

    return intrinsic(prefer_literal=True)(typed)


@dataclass(frozen=True)
class _Loop:
    """Loop for a format, a CPU, a number of gates and a width of panels."""

    kind: str
    target: Target
    gates: int
    lanes: int

    @property
    def depth(self) -> int:
        return DEPTH[self.target.dot]

    @property
    def planes(self) -> int:
        """Number of vectors that the weights multiply: 2 for high and low bytes, else 1."""
        return 2 if self.depth == 4 and self.kind != "w8a8" else 1

    @property
    def chains(self) -> int:
        """Number of independent sums that each sum is split into, so that about eight instructions are in flight."""
        width = self.target.register_bits // 32
        return 2 if self.planes * self.gates * max(self.lanes // width, 1) < 8 and self.depth > 1 else 1

    @property
    def scales(self) -> int:
        """Number of floats before the values in one group of rows."""
        return self.gates * self.lanes * (2 if self.target.dot == "vnni" else 1)

    def generate(self, builder: Any, sums: list[Any], weights: Any, x: Any, rows: Any) -> list[Any]:
        step = llvm.splat(builder, builder.load(x), self.lanes)
        x = builder.gep(x, [llvm.I32(QUANTIZED_HEADER)])

        def group(first: Any, how_many: Any, base: Any, sums: list[Any]) -> list[Any]:
            """Add the products of some rows, times scale and step, to the sums."""
            totals = self.totals(builder, base, x, first, how_many)
            fmuladd = llvm.fmuladd(builder, step.type)
            for g, total in enumerate(totals):
                place = builder.gep(base, [llvm.I32(g * self.lanes)])
                scale = builder.fmul(llvm.load(builder, place, self.lanes), step)
                totals[g] = builder.call(fmuladd, [total, scale, sums[g]])
            return totals

        if self.kind != "int4":
            return group(llvm.I32(0), rows, weights, sums)
        floats = self.scales + self.gates * self.lanes * GROUP // 8

        def turn(sums: list[Any], first: Any) -> list[Any]:
            place = builder.mul(builder.sdiv(first, llvm.I32(GROUP)), llvm.I32(floats))
            left = builder.sub(rows, first)
            few = builder.select(builder.icmp_signed("<", left, llvm.I32(GROUP)), left, llvm.I32(GROUP))
            return group(first, few, builder.gep(weights, [place]), sums)

        return llvm.loop(builder, sums, llvm.I32(0), rows, GROUP, turn)[0]

    def totals(self, builder: Any, base: Any, x: Any, first: Any, rows: Any) -> list[Any]:
        """Sum the products of ``rows`` rows from ``first`` on exactly; return them as float32, ``lanes`` per gate."""
        values = builder.bitcast(builder.gep(base, [llvm.I32(self.scales)]), I8.as_pointer())
        floats = ir.VectorType(llvm.F32, self.lanes)

        def converted(sums: list[Any]) -> list[Any]:
            lows = [builder.sitofp(total, floats) for total in sums[-self.gates :]]
            if self.planes == 1:
                return lows
            highs = [builder.sitofp(total, floats) for total in sums[: self.gates]]
            fmuladd, high = llvm.fmuladd(builder, floats), ir.Constant(floats, [256.0] * self.lanes)
            return [builder.call(fmuladd, [a, high, b]) for a, b in zip(highs, lows, strict=True)]

        if self.depth == 4 or self.kind != "int8":  # sums of bytes, or of few rows
            return converted(self.inner(builder, self.starts(builder, base), values, x, first, llvm.I32(0), rows))

        def turn(totals: list[Any], row: Any) -> list[Any]:
            end = builder.add(row, llvm.I32(_CHUNK))
            end = builder.select(builder.icmp_signed("<", end, rows), end, rows)
            sums = self.inner(builder, self.starts(builder, base), values, x, first, row, end)
            return [builder.fadd(a, b) for a, b in zip(totals, converted(sums), strict=True)]

        zeros = [ir.Constant(floats, None)] * self.gates
        return llvm.loop(builder, zeros, llvm.I32(0), rows, _CHUNK, turn)[0]

    def starts(self, builder: Any, base: Any) -> list[Any]:
        """Initial values of the sums, those of high bytes first: zero, or the segment's offsets for unsigned bytes."""
        integers = ir.VectorType(llvm.I32, self.lanes)
        if self.target.dot != "vnni":
            return [ir.Constant(integers, None)] * (self.planes * self.gates)
        offsets = []
        for g in range(self.gates):
            place = builder.gep(base, [llvm.I32((self.gates + g) * self.lanes)])
            offsets.append(builder.bitcast(llvm.load(builder, place, self.lanes), integers))
        return offsets + [ir.Constant(integers, None)] * ((self.planes - 1) * self.gates)

    def inner(self, builder: Any, sums: list[Any], values: Any, x: Any, first: Any, row: Any, end: Any) -> list[Any]:
        """Add rows ``row`` to ``end`` of a group that begins at row ``first`` of the vector to integer sums."""
        if self.depth == 1:
            return self.by_element(builder, sums, values, x, first, row, end)
        per_load = 2 if self.kind == "int4" else 1
        dot = _DOTS[self.target.dot](builder, self.target.register_bits // 32)
        nbytes, step, count = self.lanes * self.depth, per_load * self.depth, len(sums)

        def turn(how_many: int, sums: list[Any], at: Any) -> list[Any]:
            """Process one load of each gate's weights, or two, which go to separate sums."""
            sums = list(sums)
            for chain in range(how_many):
                now = builder.add(at, llvm.I32(chain * step))
                place = builder.mul(now, llvm.I32(self.gates * self.lanes // per_load))
                xs = [self.values_of_x(builder, x, builder.add(first, now), half) for half in range(per_load)]
                base = builder.gep(values, [place])
                for g in range(self.gates):
                    w = _load(builder, base, llvm.I32(g * nbytes), nbytes)
                    for half, part in enumerate(_nibbles(builder, w) if per_load == 2 else [w]):
                        for plane in range(self.planes):
                            slot = chain * count + plane * self.gates + g
                            sums[slot] = _in_parts(builder, dot, sums[slot], part, xs[half][plane])
            return sums

        if self.chains > 1:
            zeros = [ir.Constant(sums[0].type, None)] * count
            before_last = builder.sub(end, llvm.I32(step))
            both, row = llvm.loop(builder, sums + zeros, row, before_last, 2 * step, partial(turn, 2))
            sums = [builder.add(a, b) for a, b in zip(both[:count], both[count:], strict=True)]
        return llvm.loop(builder, sums, row, end, step, partial(turn, 1))[0]

    def by_element(
        self, builder: Any, sums: list[Any], values: Any, x: Any, first: Any, row: Any, end: Any
    ) -> list[Any]:
        """Add rows as :meth:`inner`, for CPUs that multiply single values, which ARM takes from a register of several.

        A register's worth of the vector is loaded at once; rows are padded to a multiple of that.
        """
        per_load = 2 if self.kind == "int4" else 1
        many = 4 * per_load
        vector_type = ir.VectorType(I16, many)

        def turn(sums: list[Any], at: Any) -> list[Any]:
            sums = list(sums)
            base = builder.gep(values, [builder.mul(at, llvm.I32(self.gates * self.lanes // per_load))])
            place = builder.gep(builder.bitcast(x, I16.as_pointer()), [builder.add(first, at)])
            xs = builder.load(builder.bitcast(place, vector_type.as_pointer()), align=2 * many)
            for k in range(many // per_load):
                for g in range(self.gates):
                    w = _load(builder, base, llvm.I32((k * self.gates + g) * self.lanes), self.lanes)
                    for half, part in enumerate(_nibbles(builder, w) if per_load == 2 else [w]):
                        value = llvm.lanes(builder, xs, [k * per_load + half] * self.lanes)
                        product = builder.mul(builder.sext(part, sums[g].type), builder.sext(value, sums[g].type))
                        sums[g] = builder.add(sums[g], product)
            return sums

        return llvm.loop(builder, sums, row, end, many, turn)[0]

    def values_of_x(self, builder: Any, x: Any, row: Any, half: int) -> list[Any]:
        """Values of the vector for ``depth`` rows, by plane, packed into one integer each."""
        row = builder.add(row, llvm.I32(half * self.depth))
        element = ir.IntType(self.depth * (8 if self.depth == 4 else 16))
        index = builder.mul(builder.sdiv(row, llvm.I32(self.depth)), llvm.I32(self.planes))
        base = builder.bitcast(x, element.as_pointer())
        return [
            builder.load(builder.gep(base, [builder.add(index, llvm.I32(plane))]), align=element.width // 8)
            for plane in range(self.planes)
        ]


def _load(builder: Any, values: Any, offset: Any, nbytes: int) -> Any:
    vector_type = ir.VectorType(I8, nbytes)
    return builder.load(builder.bitcast(builder.gep(values, [offset]), vector_type.as_pointer()), align=8)


def _nibbles(builder: Any, both: Any) -> list[Any]:
    """Split each byte into its low and its high four bits, sign-extended."""
    four = ir.Constant(both.type, [4] * both.type.count)
    return [builder.ashr(builder.shl(both, four), four), builder.ashr(both, four)]


def _in_parts(builder: Any, dot: _Dot, total: Any, w: Any, x: Any) -> Any:
    """Add products to ``total``, in as many registers as needed."""
    lanes = total.type.count
    size = min(dot.lanes, lanes)
    depth = w.type.count // lanes
    parts = []
    for start in range(0, lanes, size):
        part = llvm.lanes(builder, w, range(start * depth, (start + size) * depth))
        parts.append(dot.add(llvm.lanes(builder, total, range(start, start + size)), part, x))
    return llvm.join(builder, parts)


@dataclass(frozen=True)
class _Dot:
    """Instruction for sums of products: ``add(total, w, x)``, for at most ``lanes`` sums."""

    lanes: int
    add: Callable[[Any, Any, Any], Any]


def _splat(builder: Any, scalar: Any, count: int) -> Any:
    vector_type = ir.VectorType(scalar.type, count)
    single = builder.insert_element(ir.Constant(vector_type, ir.Undefined), scalar, llvm.I32(0))
    return builder.shuffle_vector(
        single, ir.Constant(vector_type, ir.Undefined), ir.Constant(ir.VectorType(llvm.I32, count), None)
    )


def _call(builder: Any, name: str, returned: Any, *given: Any) -> Any:
    function = get_or_insert_function(builder.module, ir.FunctionType(returned, [v.type for v in given]), name)
    return builder.call(function, given)


def _vnni(builder: Any, lanes: int) -> _Dot:
    def add(total: Any, w: Any, x: Any) -> Any:
        bits = 32 * total.type.count
        x = builder.bitcast(_splat(builder, x, total.type.count), w.type)
        return _call(builder, f"llvm.x86.avx512.vpdpbusd.{bits}", total.type, total, x, w)

    return _Dot(lanes, add)


def _pmaddwd(builder: Any, lanes: int) -> _Dot:
    names = {16: "llvm.x86.avx512.pmaddw.d.512", 8: "llvm.x86.avx2.pmadd.wd", 4: "llvm.x86.sse2.pmadd.wd"}

    def add(total: Any, w: Any, x: Any) -> Any:
        count = total.type.count
        wide = builder.sext(w, ir.VectorType(I16, 2 * count))
        pairs = builder.bitcast(_splat(builder, x, count), wide.type)
        return builder.add(total, _call(builder, names[count], total.type, wide, pairs))

    return _Dot(lanes, add)


def _sdot(builder: Any, lanes: int) -> _Dot:
    def add(total: Any, w: Any, x: Any) -> Any:
        x = builder.bitcast(_splat(builder, x, 4), w.type)
        return _call(builder, "llvm.aarch64.neon.sdot.v4i32.v16i8", total.type, total, w, x)

    return _Dot(4, add)


_DOTS: dict[str, Callable[[Any, int], _Dot]] = {"vnni": _vnni, "pmaddwd": _pmaddwd, "sdot": _sdot}
