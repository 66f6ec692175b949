"""Helpers of kernels as Python functions over arrays: a small function around a helper, compiled for a CPU and loaded.

A helper is inlined into what calls it and works on vectors and raw pointers, so that no test can call it by itself:

    def last_lanes(sums, values):
        store_sums(helper_under_test(load_sums(2, 8, sums)), values)

    call = compiled(last_lanes, types.void(FLOATS, FLOATS))
    call(aligned(sums), aligned(values))
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numba.core import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic
from numpy.typing import ArrayLike, DTypeLike, NDArray

from edge_rnn.kernels.compile import llvm
from edge_rnn.kernels.compile.compiler import FLOATS, INT32S, WORDS, compile_object
from edge_rnn.kernels.compile.link import link
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.entry.code_memory import place
from edge_rnn.kernels.vectors.vector import Vector

__all__ = ["ByElement", "addresses", "aligned", "compiled", "load_sums", "runnable", "store_sums"]

_DTYPES = {FLOATS: np.dtype(np.float32), INT32S: np.dtype(np.int32), WORDS: np.dtype(np.int64)}
_RETURNED = {types.void: None, types.int32: ctypes.c_int32, types.int64: ctypes.c_int64}


def compiled(function: Callable[..., Any], given: Any, target: Target | None = None) -> Callable[..., Any]:
    """Python callable of ``function``, compiled for ``target``, or for this CPU.

    Pointers take arrays of their dtype, without gaps, and whole numbers are passed as they are. Nothing is kept: each
    call of this compiles, which takes 0.1 to 0.7 s.
    """
    name = function.__name__
    cpu = target or object_cache.host()
    addresses_of = place(link([compile_object(name, function, given, cpu)], cpu))
    kinds = [ctypes.c_void_p if kind in _DTYPES else ctypes.c_int64 for kind in given.args]
    entry = ctypes.CFUNCTYPE(_RETURNED[given.return_type], *kinds)(addresses_of[name])

    def call(*values: Any) -> Any:
        assert len(values) == len(given.args)
        return entry(*(_argument(value, kind) for value, kind in zip(values, given.args, strict=True)))

    return call


def _argument(value: Any, kind: Any) -> int:
    if kind not in _DTYPES:
        return int(value)
    assert value.dtype == _DTYPES[kind], (value.dtype, kind)
    assert value.flags.carray
    return int(value.ctypes.data)


def aligned(values: ArrayLike, dtype: DTypeLike = np.float32, behind: float = np.nan) -> NDArray[Any]:
    """Flat copy of ``values`` aligned to exactly 32 bytes, as weights and states are at least.

    64 bytes more follow that hold ``behind``, or bytes of 0x7F in an array of whole numbers: what a kernel that reads
    too far would read.
    """
    given = np.asarray(values, dtype).ravel()
    beyond = 64 // given.itemsize
    block = np.zeros(given.size + 2 * beyond, given.dtype)
    block = block[(32 - block.ctypes.data) % 64 // given.itemsize :]
    block[:] = behind if given.dtype.kind == "f" else np.frombuffer(b"\x7f" * given.itemsize, given.dtype)[0]
    found = block[: given.size]
    found[:] = given
    assert found.ctypes.data % 64 == 32
    return found


def addresses(arrays: Iterable[NDArray[Any]]) -> NDArray[np.int64]:
    """Table of the addresses of arrays, which the caller keeps."""
    return np.array([array.ctypes.data for array in arrays], np.int64)


# ---- tuples of vectors, which hot loops take and return


@intrinsic(prefer_literal=True)
def load_sums(typing_context: Any, count: Any, lanes: Any, pointer: Any) -> Any:
    """Load a tuple of ``count`` adjacent vectors of ``lanes`` floats (both literals)."""
    result = types.UniTuple(Vector(lanes.literal_value), count.literal_value)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        width = lanes.literal_value
        places = [builder.gep(args[2], [llvm.I32(g * width)]) for g in range(count.literal_value)]
        return context.make_tuple(builder, result, [llvm.load(builder, place, width, align=4) for place in places])

    return signature(result, count, lanes, pointer), generate


@intrinsic
def store_sums(typing_context: Any, sums: Any, pointer: Any) -> Any:
    """Store a tuple of vectors adjacently."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        for g in range(len(sums)):
            place = builder.gep(args[1], [llvm.I32(g * sums.dtype.lanes)])
            llvm.store(builder, builder.extract_value(args[0], g), place, align=4)
        return context.get_dummy_value()

    return signature(types.void, sums, pointer), generate


# ---- CPUs


class ByElement(Target):
    """CPU that multiplies small integers one by one, as Armv8.0 does: plain code that any CPU runs."""

    __slots__ = ()

    @property
    def dot(self) -> Any:
        return "mla"


_AVX2 = ("+avx2", "+fma", "+f16c")
_AVX512 = (*_AVX2, "+avx512f", "+avx512vl", "+avx512bw")
_OLDER = {
    "x86-64": ("x86-64", ()),  # no FMA, no instruction for float16, registers of 4 floats
    "haswell": ("haswell", _AVX2),
    "cascadelake": ("cascadelake", (*_AVX512, "+avx512vnni")),  # dot products of bytes, registers of 8 floats
    "cannonlake": ("cannonlake", (*_AVX512, "+avx512vbmi2")),  # no dot products of bytes, registers of 16 floats
}


def runnable() -> dict[str, Target]:
    """CPUs whose code this machine runs, by name: itself, older ones of its architecture, and ByElement."""
    host = object_cache.host()
    there = {*host.features.split(",")}
    older = _OLDER.items() if host.triple.startswith("x86_64") else ()
    found = {"host": host, "by element": ByElement(host.triple, host.cpu, host.features, host.abi)}
    for name, (cpu, features) in older:
        if there.issuperset(features):
            found[name] = Target(host.triple, cpu, ",".join(features))
    return found
