"""Normally distributed weights and samples."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["normal"]


def normal(seed: int, *shape: int) -> Any:
    """Draw float32 values, scaled such that the product of a matrix with values of about 1 has values of about 1."""
    return (np.random.default_rng(seed).normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)
