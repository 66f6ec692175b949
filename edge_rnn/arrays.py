"""What users hand over as samples: into float32 arrays, or words about what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_rnn.errors import InputError

__all__ = ["float32_array", "refusal"]

Array = NDArray[np.float32]

_FLOAT32 = np.dtype(np.float32)


def float32_array(where: str, name: str, value: ArrayLike) -> Array:
    """``value`` as a C-contiguous, aligned float32 array, itself if it is one."""
    if type(value) is np.ndarray and value.dtype is _FLOAT32 and value.flags.carray:
        return value
    try:
        given = np.asarray(value)
    except ValueError as error:
        raise InputError(f"{where} got a {name} that is not an array: {error}.") from None
    if given.dtype.kind not in "fiub":
        raise InputError(f"{where} got dtype {given.dtype}, expected float32 or numbers that convert to it.")
    with np.errstate(over="ignore"):
        return np.require(given, np.float32, ["C", "A"])


def refusal(where: str, sample: Array) -> str:
    """What to say of a sample that was refused, ``where`` being the user's name for it."""
    bad: Sequence[Any] = np.flatnonzero(~np.isfinite(sample)).tolist()
    if bad:
        what = f"{where} got {sample[bad[0]]} in channel {bad[0]}"
    else:
        what = (
            f"{where} got a sample, its largest value {np.abs(sample).max():.3g}, that makes output or state overflow"
        )
    return f"{what}; the state is as before it. Use Stream(model, on_nonfinite='hold') or 'skip' to carry on."
