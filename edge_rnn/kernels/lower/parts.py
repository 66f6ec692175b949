"""What the kernels and moves of a step are made of, as :mod:`edge_rnn.kernels.lower.lowered` finds them in a graph."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_rnn.equations.graph import Graph, Node

__all__ = ["FUSED", "HALF_SIGMOID", "MOVES", "SAME", "SUM", "Lowered", "Move", "Panel", "Place", "Scaled"]

FUSED = "fused"
"""``a * b + c``, rounded once."""
HALF_SIGMOID = "half_sigmoid"
"""``sigmoid(2 a)``: as it is computed, by one tanh."""
SAME = "same"
"""Its argument: what is put out or kept as it came in."""

MOVES = ("part", "concat", "total", "largest")
"""Operations that go from memory to memory, beside the kernels that work panel by panel."""

SUM = "sum"
"""An accumulator: its number says which, its arguments are what its products multiply."""

Place = tuple[str, str | int]
"""A value's place: ``("input", "")``, ``("old", state)``, ``("new", state)``, ``("made", node)``, ``("out", "")``."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """A parameter or a product, and the power of two that it is multiplied with."""

    node: Node
    scale: float


@dataclass(slots=True)
class Panel:
    """A kernel: its text, what its panels hold, and what it reads and writes.

    Parameters
    ----------
    units
        How many it makes.
    text
        A function ``panel(records, w, arenas, unit)``.
    sums
        For each accumulator the parameters that it starts from.
    rows
        Parameters that it computes with; one without a name stands for ones where there are units.
    segments
        For each vector that is multiplied its node, and products, one for each sum that they go into.
    places
        What the ints of a record from PLACES on say: where something lies, and how long it is (2 ints), or where alone.
    """

    units: int
    text: str = ""
    sums: list[list[Scaled]] = field(default_factory=list)
    rows: list[Node] = field(default_factory=list)
    segments: list[tuple[int, list[Scaled]]] = field(default_factory=list)
    places: list[tuple[Place, int]] = field(default_factory=list)

    @property
    def gates(self) -> tuple[int, ...]:
        """How many sums each segment goes into."""
        return tuple(len(products) for _, products in self.segments)


@dataclass(frozen=True, slots=True)
class Move:
    """Values that go from memory to memory.

    Parameters
    ----------
    op
        ``"part"``, ``"concat"``, ``"total"`` or ``"largest"``.
    sources
        Where they come from.
    start
        The first of them, of a part.
    target
        Where they go.
    size
        How many values are there then; a single number is written so often that any vector may read it.
    """

    op: str
    sources: tuple[Place, ...]
    start: int
    target: Place
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Lowered:
    """The graph as it is computed, and what computes it."""

    graph: Graph
    steps: tuple[Panel | Move, ...]
