"""Matrices in formats smaller than float32: the stored arrays, and the float32 matrix that they stand for.

A layer's matrix is a float32 array or one of these. ``np.asarray`` of either is the matrix that the layer computes
with, so the reference and the readers need not tell them apart; kernels take the stored arrays. A format's class also
converts a float32 matrix, and has all that quantization, search, export and self-tests need to know of the format.
"""

from __future__ import annotations

from edge_rnn.formats.float16 import Float16
from edge_rnn.formats.integers import GROUP, STEPS_8, STEPS_16, W8A8, Int4, Int8
from edge_rnn.formats.matrix import (
    FORMATS,
    PLAIN,
    SMALLEST_RANGE,
    Fitting,
    Matrix,
    format_of,
    grammar,
    parse,
    precisions,
    uniform,
)
from edge_rnn.formats.structured import PANEL, LowRank, Sparse

__all__ = ["FORMATS", "GROUP", "PANEL", "PLAIN", "SMALLEST_RANGE", "STEPS_8", "STEPS_16", "W8A8", "Fitting", "Float16"]
__all__ += ["Int4", "Int8", "LowRank", "Matrix", "Sparse", "format_of", "grammar", "parse", "precisions", "uniform"]
