"""Conversion of a value from a source into the loop's own array."""

from __future__ import annotations

import math
from typing import Any

from edge_rnn.arrays import plain_array
from edge_rnn.loop.protocols import SampleError, Timed
from edge_rnn.typing import F32

__all__ = ["fill"]

_NO_TIME = math.nan


def fill(row: F32, value: Any, elapsed: int | None = None) -> float:
    """Write a sample into ``row`` ``(input_size,)``; return its time in seconds, or NaN if it has none.

    ``elapsed`` is the index of a channel that the sample may lack, which becomes NaN; None for no such channel.

    Raises
    ------
    SampleError
        The shape is wrong, or the values are not numbers. ``row`` is then unchanged or undefined.
    """
    x, t_s = value if isinstance(value, Timed) else (value, _NO_TIME)
    try:
        array = plain_array(x)
        if array.dtype.kind not in "fiub":
            raise SampleError(f"a sample has dtype {array.dtype}, expected numbers")
        if elapsed is not None and array.size == row.size - 1 and (array.ndim == 1 or row.size == 2):
            row[:elapsed] = array.reshape(-1)[:elapsed]
            row[elapsed] = math.nan
            row[elapsed + 1 :] = array.reshape(-1)[elapsed:]
            return float(t_s)
        if array.shape != row.shape and not (array.ndim == 0 and row.size == 1):
            less = "" if elapsed is None else f", or ({row.size - 1},) without the time since the last sample"
            raise SampleError(f"a sample has shape {array.shape}, expected {row.shape}{less}")
        row[:] = array
        return float(t_s)
    except SampleError:
        raise
    except Exception as error:  # an array-like object may raise anything
        raise SampleError(f"a sample cannot be converted to numbers: {type(error).__name__}: {error}") from None
