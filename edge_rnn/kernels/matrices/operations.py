"""Turn a layer's fields into operations of a step: code that the ``pack`` functions of all cells share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_rnn.activation import parse
from edge_rnn.kernels.matrices.panels import Segment, pack_panels
from edge_rnn.kernels.matrices.segments import formats_of, named, segment, widths_for
from edge_rnn.kernels.program.record import Operation, Site
from edge_rnn.typing import AnyArray

__all__ = ["DOTS", "FEW", "coded", "matrices", "operation", "with_parameters"]

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


def matrices(
    fields: Mapping[str, Any], scales: Sequence[float], site: Site, gates: tuple[int, ...] | None = None
) -> tuple[Segment, ...]:
    """Segments of a cell's input matrix and recurrent matrix, each gate times its scale; only ``gates`` if given."""
    both = (segment(fields[name], scales, site.target) for name in ("weight_ih", "weight_hh"))
    return tuple(each if gates is None else each.part(*gates) for each in both)


def operation(
    name: str, bias: AnyArray, segments: Sequence[Segment], site: Site, pad: float = 0.0, **options: Any
) -> Operation:
    """Make an operation whose panels hold a bias and the segments of an input matrix and optionally a recurrent one."""
    formats = formats_of(*segments)
    packed = pack_panels(bias, segments, widths_for(site.target, len(segments[0].chosen), formats), pad)
    bounds = (site.x_bound, site.h_bound)
    x, h, *_ = [*(each.operand(bound) for each, bound in zip(segments, bounds, strict=False)), None]
    return Operation(named(name, formats), packed, x=x, h=h, **options)
