"""Slow path of a stream: convert samples that compiled code does not take, or raise an error that explains them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.arrays import float32_array, refusal
from edge_rnn.errors import InputError
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.entry import python_function as fast
from edge_rnn.kernels.program.driver import not_done
from edge_rnn.streams.claim import check_alone
from edge_rnn.streams.stream_memory import StreamMemory
from edge_rnn.typing import F32

__all__ = ["convert_and_run", "convert_and_step", "refuse_row"]

_RUN = (ctypes.c_int64, *(ctypes.c_void_p,) * 3, ctypes.c_int64)


def convert_and_step(memory: StreamMemory, x: ArrayLike) -> Any:
    """Take one step for a sample that the fast path does not take: convert it, or raise InputError."""
    given = float32_array("stream.step", "x", x)
    expected = memory.plan.sample.size
    scalar = given.ndim == 0 and expected == 1
    if scalar:
        given = given[None]
    if given.shape != (expected,):
        hint = ""
        if given.ndim == 2 and given.shape[1] == expected:
            hint = f" One call is one time step; use stream.run for a {given.shape} array."
        raise InputError(f"stream.step got shape {given.shape}, expected ({expected},) float32.{hint}")
    done = _stepper()(memory.address, fast.data_address(given), fast.data_address(memory.y), 1)
    if done != 1:
        check_alone(not_done(done), "stream.step")
        raise InputError(refusal("stream.step", given))
    return float(memory.y[0]) if scalar and memory.y.size == 1 else memory.y


def convert_and_run(memory: StreamMemory, xs: ArrayLike, out: F32 | None = None) -> F32:
    """Take many steps for samples that the fast path does not take, or into a given array."""
    given = float32_array("stream.run", "xs", xs)
    inputs, outputs = memory.plan.sample.size, memory.plan.last_output.size
    if given.ndim != 2 or given.shape[1] != inputs:
        hint = " Use stream.step for a single sample." if given.ndim == 1 else ""
        raise InputError(f"stream.run got shape {given.shape}, expected (time, {inputs}).{hint}")
    shape = (given.shape[0], outputs)
    if out is None:
        out = np.empty(shape, np.float32)
    elif not (isinstance(out, np.ndarray) and out.dtype == np.float32 and out.shape == shape and out.flags.carray):
        got = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise InputError(f"stream.run got {got} as out, expected a writable, C-contiguous float32 array {shape}.")
    if np.may_share_memory(given, out) and not (
        inputs == outputs and fast.data_address(given) == fast.data_address(out)
    ):
        given = given.copy()  # outputs would overwrite samples that have not been read yet
    done = runner()(memory.address, fast.data_address(given), fast.data_address(out), given.shape[0])
    if done < given.shape[0]:
        refuse_row(given, done)
    return out


def refuse_row(xs: F32, row: int) -> NoReturn:
    """Raise the error for a ``run`` that stopped at a row; a number below 0 stands for a stream that was in use."""
    check_alone(not_done(row), "stream.run")
    raise InputError(refusal(f"stream.run xs[{row}]", xs[row]))


@cache
def _stepper() -> Callable[[int, int, int, int], int]:
    """Return :func:`runner`'s function as one that keeps the GIL, for single steps."""
    return ctypes.PYFUNCTYPE(*_RUN)(object_cache.load("run").address)


@cache
def runner() -> Callable[[int, int, int, int], int]:
    """Return the compiled run as a function of handle, samples, outputs and count; CFUNCTYPE releases the GIL."""
    return ctypes.CFUNCTYPE(*_RUN)(object_cache.load("run").address)
