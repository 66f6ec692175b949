"""Convert samples from users to float32 arrays, or raise an error that explains them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.errors import InputError, InputTypeError
from edge_rnn.typing import F32, AnyArray

__all__ = ["float32_array", "plain_array", "refusal", "what_else"]


_FLOAT32 = np.dtype(np.float32)


def float32_array(where: str, name: str, value: ArrayLike) -> F32:
    """Convert ``value`` to a C-contiguous, aligned float32 array; return it unchanged if it is one."""
    if type(value) is np.ndarray and value.dtype is _FLOAT32 and value.flags.carray:
        return value
    try:
        given = plain_array(value)
    except Exception as error:  # an object that claims to be an array may raise anything
        kind = InputTypeError if isinstance(error, TypeError) else InputError
        raise kind(f"{where} got a {name} that is not an array: {str(error).rstrip('.')}.") from None
    if given.dtype.kind not in "fiub":
        raise InputTypeError(f"{where} got a {name} of {what_else(given)}")
    with np.errstate(over="ignore"):
        return np.require(given, np.float32, ["C", "A"])


def plain_array(value: Any) -> AnyArray:
    """Convert ``value`` to a plain NumPy array; masked values become NaN."""
    masked = sys.modules.get("numpy.ma")  # without this module, no value can be masked
    if masked is None or type(value) is np.ndarray:
        return np.asarray(value)
    if not isinstance(value, masked.MaskedArray):
        return np.asarray(_unmasked(value) if _holds(value, masked.MaskedArray) else value)
    if value.dtype.kind not in "fiub" or not masked.is_masked(value):
        return np.asarray(value.data)
    return np.asarray(masked.filled(value if value.dtype.kind == "f" else value.astype(np.float64), np.nan))


def _holds(value: Any, kind: type) -> bool:
    return isinstance(value, (list, tuple)) and any(isinstance(each, kind) or _holds(each, kind) for each in value)


def _unmasked(value: Any) -> Any:
    return [_unmasked(each) for each in value] if isinstance(value, (list, tuple)) else plain_array(value)


def what_else(given: AnyArray) -> str:
    """Describe an array whose dtype a network cannot read, and the remedy."""
    remedy = {
        "O": "objects (None, NA, Decimal or lists of different lengths), expected numbers: replace missing values by "
        "NaN, and pass x.astype('float32').",
        "c": "complex numbers, expected real ones: pass x.real or abs(x).",
        "M": "points in time, expected numbers: pass seconds since a start time.",
        "m": "time spans, expected numbers: divide by numpy.timedelta64(1, 's').",
        "V": "records, expected numbers: numpy.lib.recfunctions.structured_to_unstructured turns fields into columns.",
    }
    texts = "texts, expected numbers: x.astype('float32') converts texts that spell numbers."
    return f"dtype {given.dtype}: {remedy.get(given.dtype.kind, texts)}"


def refusal(where: str, sample: F32) -> str:
    """Message for a sample that a stream refused; ``where`` is the user's name for it."""
    bad: Sequence[Any] = np.flatnonzero(~np.isfinite(sample)).tolist()
    if bad:
        what = f"{where} got {sample[bad[0]]} in channel {bad[0]}"
    else:
        what = (
            f"{where} got a sample that makes output or state overflow; its largest value is {np.abs(sample).max():.3g}"
        )
    return f"{what}; the state is unchanged. Use Stream(model, on_nonfinite='hold') or 'skip' to continue."
