"""Benchmark of steps whose state has decayed to subnormal numbers.

Many processors handle subnormal numbers in a slow path. The weights are chosen so that such a state stays constant,
with every product and sum of the step subnormal; the same network is also timed from a small normal state.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_rnn.model import Model

__all__ = ["SHAPES", "measure_denormals"]

SHAPES = ((6, 32), (64, 256))
"""Input and hidden sizes: weights that fit the L1 cache, and larger ones."""

_KINDS = {"normal": (1e-2, 1e-3), "subnormal": (1e-40, 0.0), "subnormal_input": (1e-40, 1e-41)}
"""Magnitude of the state, and of the inputs."""


def measure_denormals(
    cells: Iterable[str], shapes: Iterable[tuple[int, int]] = SHAPES, seconds: float = 0.3
) -> list[dict[str, Any]]:
    """Time steps of each cell and shape from a subnormal and from a normal state, in turn, in the compiled loop.

    Returns
    -------
    list of dict
        ``cell``, ``input_size``, ``hidden_size``; ``normal_ns``; ``subnormal_ns``: from a subnormal state with zero
        inputs, and its ``ratio``; ``subnormal_input_ns``: with subnormal inputs too, and its ``input_ratio``;
        ``subnormal_share``: share of the state's values that are subnormal at the end. It is 0 if subnormals are
        flushed to zero.
    """
    import numpy as np

    from edge_rnn.streams.stream import Stream
    from edge_rnn.timing import runs, time_chunks

    shapes, found = tuple(shapes), []
    signs = np.resize([1, 1, -1, -1], 1000)[:, None]  # alternating signs, so that nothing accumulates
    for cell in cells:
        for input_size, hidden_size in shapes:
            streams, makes = {}, {}
            for name, (size, of_inputs) in _KINDS.items():
                streams[name] = Stream(_network(cell, input_size, hidden_size, size))
                xs = (signs * np.full(input_size, of_inputs)).astype(np.float32)
                makes[name] = runs(streams[name], xs)
            times = {name: chunks.ns for name, chunks in time_chunks(makes, seconds=seconds).items()}
            state = np.abs(np.concatenate(list(streams["subnormal"].state.values())))
            small = (state > 0) & (state < np.finfo(np.float32).tiny)
            found.append(
                {
                    "cell": cell,
                    "input_size": input_size,
                    "hidden_size": hidden_size,
                    **{f"{name}_ns": round(ns, 2) for name, ns in times.items()},
                    "ratio": round(times["subnormal"] / times["normal"], 3),
                    "input_ratio": round(times["subnormal_input"] / times["normal"], 3),
                    "subnormal_share": round(float(small.mean()), 3),
                }
            )
    return found


def _network(cell: str, input_size: int, hidden_size: int, size: float) -> Model:
    """Network whose state starts at about ``size`` and stays there.

    The candidate's matrix is a Householder reflection: all weights are used, and a state in the mirror plane is mapped
    to itself. GRU and LSTM need twice that matrix, since their gates are one half for small states.
    """
    import numpy as np

    from edge_rnn.bench.networks import CELLS
    from edge_rnn.layers import LAYER_TYPES, Dense
    from edge_rnn.model import Model

    rng = np.random.default_rng(0)
    kind: Any = LAYER_TYPES[CELLS[cell]]
    normal = rng.standard_normal(hidden_size)
    normal /= np.linalg.norm(normal)
    mirror = np.eye(hidden_size) - 2 * np.outer(normal, normal)
    candidate = {"elman": 0, "gru": 2, "lstm": 2}[cell]
    recurrent = rng.standard_normal((len(kind.gates), hidden_size, hidden_size)) / np.sqrt(hidden_size)
    recurrent[candidate] = mirror * (1 if cell == "elman" else 2)
    state = rng.uniform(0.5, 1, hidden_size) * size
    state -= normal * (normal @ state)
    start = {"h0": state, "c0": 2 * state} if cell == "lstm" else {"h0": state}
    inputs = rng.standard_normal((len(kind.gates) * hidden_size, input_size)) / np.sqrt(hidden_size)
    layer = kind(inputs, recurrent.reshape(-1, hidden_size), **start)
    return Model([layer, Dense(rng.standard_normal((4, hidden_size)).astype(np.float32))])
