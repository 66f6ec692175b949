"""Helpers of loop tests."""

from __future__ import annotations

import numpy as np

from loop_fakes import Kept

XS = [float(x) for x in np.random.default_rng(1).standard_normal(8).astype(np.float32)]


def ys(sink: Kept) -> list[float]:
    return [float(y[0]) for y in sink.ys]
