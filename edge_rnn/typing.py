"""Types of arrays, named by their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["F32", "F64", "I32", "AnyArray"]

F32 = NDArray[np.float32]
"""Samples, outputs, states and weights, as streams take and give them."""

F64 = NDArray[np.float64]
"""What the reference computes with."""

I32 = NDArray[np.int32]
"""Symbols by their numbers, and rounded values."""

AnyArray = NDArray[Any]
"""Numbers of any kind."""
