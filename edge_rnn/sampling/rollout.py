"""Closed-loop run of a network: each output is the next input."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.arrays import float32_array, refusal
from edge_rnn.checks import whole
from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.program.driver import not_done
from edge_rnn.spelling import counted
from edge_rnn.streams.claim import check_alone
from edge_rnn.streams.stream import Stream
from edge_rnn.typing import F32

__all__ = ["rollout"]


def rollout(stream: Stream, x: ArrayLike, steps: int) -> F32:
    """Read a sample, then feed each output back as the next sample: a forecast, or an oscillator.

    Parameters
    ----------
    stream
        Stream of a model with as many outputs as inputs. It is left in the state after reading all outputs but the
        last.
    x
        ``(input_size,)`` float32: the first sample.
    steps
        Number of steps, 0 or more.

    Returns
    -------
    ``(steps, output_size)`` float32.

    Raises
    ------
    UnsupportedError
        The numbers of inputs and outputs of the model differ.
    InputError
        A shape does not match; or, with ``on_nonfinite="raise"``, a value is not finite: the steps before it have been
        taken.
    """
    if stream.output_size != stream.input_size:
        raise UnsupportedError(
            f"rollout got a model with {counted(stream.input_size, 'input')} and "
            f"{counted(stream.output_size, 'output')}, expected as many outputs as inputs, since each output is the "
            "next sample."
        )
    given = float32_array("rollout", "x", x)
    if given.ndim == 0 and stream.input_size == 1:
        given = given[None]
    if given.shape != (stream.input_size,):
        raise InputError(f"rollout got shape {given.shape}, expected ({stream.input_size},) float32: one sample.")
    steps = whole("rollout", "steps", steps, 0, 2**31 - 1)
    ys = np.empty((steps, stream.output_size), np.float32)
    done = _loop()(stream.handle, given.ctypes.data, ys.ctypes.data, steps)
    check_alone(not_done(done), "rollout")
    if done < steps:
        raise InputError(refusal(f"rollout step {done}", ys[done - 1] if done else given))
    return ys


@cache
def _loop() -> Callable[[int, int, int, int], int]:
    """Load through CFUNCTYPE, which releases the GIL."""
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    return ctypes.CFUNCTYPE(size, pointer, pointer, pointer, size)(object_cache.load("rollout").address)
