"""A graph in onnxruntime that is taken step by step, or with many samples in a call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.errors import InputError
from edge_rnn.model import Model
from edge_rnn_export.ort import session

__all__ = ["OnnxSteps"]

Array = NDArray[Any]


class OnnxSteps:
    """A graph in onnxruntime, found to have the model's inputs and outputs."""

    def __init__(self, model: Model, path: str | PathLike[str]) -> None:
        self._session = session(path)
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self._initial = {name: value[None, None] for name, value in model.initial_state.items()}
        sizes = {name: len(value) for name, value in model.initial_state.items()}
        self._check(path, "inputs", self._session.get_inputs(), {"x": model.input_size} | sizes)
        outputs = {"y": model.output_size} | {f"{name}_out": size for name, size in sizes.items()}
        self._check(path, "outputs", self._session.get_outputs(), outputs)
        self._outputs = list(outputs)
        (self.takes_sequences,) = (node.shape[0] != 1 for node in self._session.get_inputs() if node.name == "x")

    @staticmethod
    def _check(path: str | PathLike[str], what: str, nodes: Any, sizes: dict[str, int]) -> None:
        """Axes that the graph leaves open are as long as they have to be."""
        got = {node.name: tuple(node.shape) for node in nodes}
        expected = {name: (1, 1, size) for name, size in sizes.items()}
        fits = got.keys() == expected.keys() and all(
            len(got[name]) == 3 and all(isinstance(a, str) or a == b for a, b in zip(got[name], shape, strict=True))
            for name, shape in expected.items()
        )
        if not fits:
            raise InputError(f"verify: {path} has the {what} {got}, expected {expected} as the model has them.")

    def steps(self, samples: Array) -> Iterator[dict[str, Array]]:
        """Output and states after each step; of a graph of sequences from calls with one sample each."""
        state = self._initial
        for x in samples:
            y, *states = self._session.run(self._outputs, {"x": x[None, None], **state})
            state = dict(zip(state, states, strict=True))
            yield {"y": y[0, 0].astype(np.float64), **{n: h[0, 0].astype(np.float64) for n, h in state.items()}}

    def whole(self, samples: Array, states: Mapping[str, Array] | None = None) -> tuple[Array, dict[str, Array]]:
        """Outputs ``(time, O)`` and last states of all samples in one call, each next to itself in a batch of two.

        ``states``: ``(H,)`` each, to begin with; None for the model's initial ones.
        """
        begin = (
            self._initial
            if states is None
            else {name: np.asarray(states[name], np.float32)[None, None] for name in self._initial}
        )
        both = {name: np.repeat(value, 2, axis=1) for name, value in begin.items()}
        y, *ends = self._session.run(self._outputs, {"x": np.repeat(samples[:, None], 2, axis=1), **both})
        last = {name: h[0, 1].astype(np.float64) for name, h in zip(both, ends, strict=True)}
        return y[:, 1].astype(np.float64), last
