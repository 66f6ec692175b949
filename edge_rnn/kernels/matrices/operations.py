"""Turn a layer's fields into an operation of a step."""

from __future__ import annotations

import numpy as np

from edge_rnn.activation import parse
from edge_rnn.kernels.matrices.panels import Segment, pack_panels
from edge_rnn.kernels.matrices.segments import formats_of, named, widths_for
from edge_rnn.kernels.program.record import Operation, Site
from edge_rnn.typing import AnyArray

__all__ = ["DOTS", "FEW", "coded", "operation", "with_parameters"]

FEW = 8
"""Most outputs of a layer that is computed by dot products: a panel would be half padding and wait for its sums."""

DOTS = 4
"""Number of dot products that are computed at a time."""


def coded(*activations: str) -> tuple[str, tuple[float, ...]]:
    """Spelling of activations in a kernel's name, ``"hardsigmoid_tanh"``, and alpha and beta of each."""
    parsed = [parse(text) for text in activations]
    parameters = [value for each in parsed for value in (*each.parameters, 0.0, 0.0)[:2]]
    return "_".join(each.name.replace("_", "") for each in parsed), tuple(parameters)


def with_parameters(bias: AnyArray, *parameters: float) -> AnyArray:
    """Append a row for each parameter to a bias ``(sums, units)``: kernels of variants read them in every panel."""
    rows = np.repeat(np.array(parameters, np.float64)[:, None], bias.shape[1], axis=1)
    return np.vstack([bias, rows])


def operation(name: str, bias: AnyArray, matrix: Segment, site: Site, pad: float = 0.0) -> Operation:
    """Make an operation whose panels hold a bias and the segment of a matrix."""
    (format_,) = formats_of(matrix)
    packed = pack_panels(bias, (matrix,), widths_for(site.target, len(matrix.chosen), (format_,)), pad)
    return Operation(named(name, format_), packed, matrix.operand(site.x_bound))
