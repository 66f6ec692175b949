"""Array types, named by dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["F32", "F64", "I32", "AnyArray"]

F32 = NDArray[np.float32]
"""Samples, outputs, states and weights of streams."""

F64 = NDArray[np.float64]
"""Values of the reference implementation."""

I32 = NDArray[np.int32]
"""Symbol ids, and values rounded to integers."""

AnyArray = NDArray[Any]
"""Arrays of any dtype."""
