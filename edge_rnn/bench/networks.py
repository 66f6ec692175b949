"""Networks of ``edge-rnn bench --table``: eight shapes of each cell with a Dense layer, weights from fixed seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_rnn.model import Model
    from edge_rnn.typing import F32

__all__ = ["CELLS", "SHAPES", "Entry", "table"]

CELLS = {"elman": "Elman", "gru": "GRU", "lstm": "LSTM"}
"""Cell names on the command line, and their layers."""

SHAPES = ((1, 8), (1, 20), (1, 40), (6, 32), (16, 64), (40, 128), (64, 256), (128, 512))
"""Input and hidden sizes."""

_OUTPUTS = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One network of the table."""

    cell: str
    input_size: int
    hidden_size: int
    model: Model


def table(cells: Iterable[str] = tuple(CELLS), shapes: Iterable[tuple[int, int]] = SHAPES) -> Iterator[Entry]:
    """Yield the networks, all shapes of one cell after another; the Dense layer has four outputs.

    The weights are bit-identical to ``torch.manual_seed(1234 + 1000 * I + H); torch.nn.GRU(I, H); torch.nn.Linear(H,
    4)``, but drawn without PyTorch, so networks converted elsewhere can be checked to be the same.
    """
    for cell in cells:
        for input_size, hidden_size in shapes:
            yield Entry(cell, input_size, hidden_size, _network(cell, input_size, hidden_size))


def _network(cell: str, input_size: int, hidden_size: int) -> Model:
    from edge_rnn.layers import LAYER_TYPES, Dense
    from edge_rnn.model import Model

    kind: Any = LAYER_TYPES[CELLS[cell]]
    draw = _Draw(1234 + 1000 * input_size + hidden_size, 1 / math.sqrt(hidden_size))
    rows = len(kind.gates) * hidden_size
    layer = kind(draw(rows, input_size), draw(rows, hidden_size), draw(rows), draw(rows))
    return Model([layer, Dense(draw(_OUTPUTS, hidden_size), draw(_OUTPUTS))], name=f"{CELLS[cell]}_{hidden_size}")


class _Draw:
    """Uniform random numbers as in PyTorch: 24 bits of each Mersenne Twister word, fused multiply-add."""

    def __init__(self, seed: int, bound: float) -> None:
        import numpy as np

        self._words = np.random.RandomState(seed)
        self._bound = float(np.float32(bound))

    def __call__(self, *shape: int) -> F32:
        import numpy as np

        words = self._words.randint(0, 2**32, size=shape, dtype=np.uint32)
        share = (words & 0xFFFFFF) * 2.0**-24
        return (share * (2 * self._bound) - self._bound).astype(np.float32)
