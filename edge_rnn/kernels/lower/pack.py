"""Pack the weights of generated kernels, and prepare the vectors that their matrices multiply."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.equations.bounds import parameter_intervals
from edge_rnn.equations.graph import Graph, Node
from edge_rnn.equations.operations import Interval
from edge_rnn.errors import UnsupportedError
from edge_rnn.formats import Matrix, Sparse
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.lower.build import panel_widths
from edge_rnn.kernels.lower.kept import kept
from edge_rnn.kernels.lower.key import Generated
from edge_rnn.kernels.lower.parts import Move, Panel, Place, Scaled
from edge_rnn.kernels.lower.ranges import ranges
from edge_rnn.kernels.matrices.panels import Segment, pack_panels
from edge_rnn.kernels.matrices.segments import formats_of, rounds_vectors, segment
from edge_rnn.kernels.program.record import Operand, Packed

__all__ = ["Placed", "pack"]


@dataclass(frozen=True, slots=True)
class Placed:
    """Generated kernel of a step, with its weights and the places of its operands.

    Parameters
    ----------
    name
        Name of the kernel.
    weights
        Weights packed in panels.
    units
        Number of units that it computes.
    vectors
        Each vector that it multiplies: place, length, and the operation that prepares it, or None.
    places
        Places that the ints of its record hold, see :class:`edge_rnn.kernels.lower.panels.Panel`.
    """

    name: Generated
    weights: Packed
    units: int
    vectors: tuple[tuple[Place, int, Operand | None], ...]
    places: tuple[tuple[Place, int], ...]


def pack(
    recorded_from: Hashable,
    graph: Callable[[], Graph | None],
    fields: Mapping[str, Any],
    target: Target,
    x: Interval,
    states: Callable[[], Mapping[str, Interval]],
) -> list[Placed | Move]:
    """Make the kernels and moves of an equation, in the order in which a step runs them.

    Parameters
    ----------
    recorded_from, graph
        The equation, see :func:`edge_rnn.kernels.lower.kept.kept`.
    fields
        Its parameters: arrays, numbers, matrices in any format.
    target
        The CPU.
    x
        Interval of the input.
    states
        Returns the intervals that states are rounded by; called if a format rounds vectors.
    """
    stackable = frozenset(name for name, value in fields.items() if isinstance(value, np.ndarray) and value.ndim == 2)
    lowered = kept(recorded_from, graph, stackable)
    found: list[Interval] = []
    if any(rounds_vectors(value.format) for value in fields.values() if isinstance(value, Matrix)):
        found = ranges(lowered.graph, x, states(), parameter_intervals(fields))
    return [step if isinstance(step, Move) else _placed(step, fields, target, found) for step in lowered.steps]


def _placed(panel: Panel, fields: Mapping[str, Any], target: Target, found: list[Interval]) -> Placed:
    bias = [sum((_row(fields, row, panel.units) for row in rows), np.zeros(panel.units)) for rows in panel.sums]
    bias += [_row(fields, Scaled(row, 1.0), panel.units) for row in panel.rows]
    segments = [_segment(fields, products, panel.units, target) for _, products in panel.segments]
    formats = formats_of(*segments)
    widths = panel_widths(target, panel.gates, formats)
    packed = pack_panels(np.array(bias).reshape(-1, panel.units), segments, widths)
    name = Generated.of(panel.text, panel.gates, formats)
    pairs = [place for place, ints in panel.places if ints == 2]
    vectors = []
    for place, made, (vector, products) in zip(pairs, segments, panel.segments, strict=True):
        most = max(map(abs, found[vector])) if found else inf
        columns = int(fields[products[0].node.name].shape[1])
        vectors.append((place, columns, made.operand(None if most == inf else most)))
    return Placed(name, packed, panel.units, tuple(vectors), tuple(panel.places))


def _row(fields: Mapping[str, Any], row: Scaled, units: int) -> NDArray[np.float64]:
    """Parameter, or a part of one, as a row over all units."""
    node = row.node
    if not node.name:
        return np.ones(units)
    value = np.asarray(fields[node.name], np.float64) * (node.number * row.scale)
    return np.broadcast_to(value[node.start : node.start + units] if value.ndim else value, (units,))


def _segment(fields: Mapping[str, Any], products: list[Scaled], units: int, target: Target) -> Segment:
    """Segment of the matrices that multiply one vector."""
    names = {product.node.name for product in products}
    matrix = fields[products[0].node.name]
    if len(names) > 1:
        rows = [fields[each.node.name][each.node.start : each.node.start + units] for each in products]
        return segment(np.concatenate(rows), tuple(each.scale for each in products), target)
    gates = _gates(products[0].node)
    if isinstance(matrix, Sparse) and matrix.values.shape[2] != gates:
        raise UnsupportedError(
            f"{products[0].node.name} is sparse in blocks of {matrix.values.shape[2]} gates, expected {gates}, as its "
            f"equation splits it; quantize it with that many."
        )
    which, scales = [each.node.start // units for each in products], [1.0] * gates
    for gate, each in zip(which, products, strict=True):
        scales[gate] = each.scale
    return segment(matrix, tuple(scales), target).part(*which)


def _gates(product: Node) -> int:
    """Number of gates in the matrix of a product."""
    return int(product.number) // product.shape[0] if product.number else 1
