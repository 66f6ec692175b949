"""Array types, named by dtype, and the dtype of an annotation."""

from __future__ import annotations

from typing import Any, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

__all__ = ["F32", "F64", "I32", "AnyArray", "array_dtype"]

F32 = NDArray[np.float32]
"""Samples, outputs, states and weights of streams."""

F64 = NDArray[np.float64]
"""Values of the reference implementation."""

I32 = NDArray[np.int32]
"""Symbol ids, and values rounded to integers."""

AnyArray = NDArray[Any]
"""Arrays of any dtype."""


def array_dtype(hint: Any) -> np.dtype[Any] | None:
    """Dtype of a field annotated as an array, or as an array or None; None for any other field."""
    for part in (hint, *get_args(hint)):
        if get_origin(part) in (np.ndarray, NDArray):  # from NumPy 2.5 on, NDArray[float32] is an alias of its own
            kind = get_args(part)[-1]
            dtype: np.dtype[Any] = np.dtype(*(get_args(kind) or (kind,)))
            return dtype
    return None
