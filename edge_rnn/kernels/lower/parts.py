"""Kernels and moves of a step, as :mod:`edge_rnn.kernels.lower.lowered` finds them in a graph."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_rnn.equations.graph import Graph, Node

__all__ = ["FUSED", "HALF_SIGMOID", "MOVES", "SAME", "SUM", "Lowered", "Move", "Panel", "Place", "Scaled"]

FUSED = "fused"
"""``a * b + c``, rounded once."""
HALF_SIGMOID = "half_sigmoid"
"""``sigmoid(2 a)``, which kernels compute by one tanh."""
SAME = "same"
"""Identity, for a value that is output or stored unchanged."""

MOVES = ("part", "concat", "total", "largest")
"""Operations from memory to memory; all others run in kernels, panel by panel."""

SUM = "sum"
"""Operation of an accumulator: its number is the index, its arguments are the vectors that its products multiply."""

Place = tuple[str, str | int]
"""Place of a value: ``("input", "")``, ``("old", state)``, ``("new", state)``, ``("made", node)``, ``("out", "")``."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """Parameter or product, and the power of two that scales it."""

    node: Node
    scale: float


@dataclass(slots=True)
class Panel:
    """Kernel: its text, the contents of its panels, and the places that it reads and writes.

    Parameters
    ----------
    units
        Number of units that it computes.
    text
        Source of a function ``panel(records, w, arenas, unit)``.
    sums
        For each accumulator, the parameters that it starts from.
    rows
        Parameters that it computes with; one without a name stands for the mask of real units.
    segments
        For each multiplied vector, its node and its products, one for each sum.
    places
        Places for the ints of a record from PLACES on: offset and length (2 ints), or offset alone (1 int).
    """

    units: int
    text: str = ""
    sums: list[list[Scaled]] = field(default_factory=list)
    rows: list[Node] = field(default_factory=list)
    segments: list[tuple[int, list[Scaled]]] = field(default_factory=list)
    places: list[tuple[Place, int]] = field(default_factory=list)

    @property
    def gates(self) -> tuple[int, ...]:
        """Number of sums that each segment goes into."""
        return tuple(len(products) for _, products in self.segments)


@dataclass(frozen=True, slots=True)
class Move:
    """Operation from memory to memory: a copy or a reduction.

    Parameters
    ----------
    op
        ``"part"``, ``"concat"``, ``"total"`` or ``"largest"``.
    sources
        Places to read from.
    start
        Index of the first value, for a part.
    target
        Place to write to.
    size
        Number of values written; a single number is repeated to the length of the longest vector.
    """

    op: str
    sources: tuple[Place, ...]
    start: int
    target: Place
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Lowered:
    """Graph after all passes, and the kernels and moves that compute it."""

    graph: Graph
    steps: tuple[Panel | Move, ...]
