"""Graph in onnxruntime, run step by step or with many samples per call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any

import numpy as np

from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.model import Model
from edge_rnn.typing import AnyArray
from edge_rnn_export.runtime.limited import LimitedGraph
from edge_rnn_export.writers.onnx.head import NEXT, SYMBOL, head_of, symbols_of
from edge_rnn_export.writers.onnx.metadata import METADATA_KEY

__all__ = ["OnnxSteps"]


class OnnxSteps:
    """Graph in onnxruntime, checked to have the model's inputs and outputs.

    It runs in a limited process; call ``close`` at the end.

    Attributes
    ----------
    metadata
        Metadata of the graph.
    head
        Kind of output, see :mod:`edge_rnn_export.writers.onnx.head`; a greedy graph gets the symbols of samples.
    takes_sequences
        True if a call may contain many samples.
    chose_otherwise
        True once a greedy graph has chosen a symbol other than that of its largest output.
    """

    def __init__(self, model: Model, path: str | PathLike[str]) -> None:
        try:
            from edge_rnn_export.readers.onnx.cut import whole_file
        except ModuleNotFoundError as error:
            raise UnsupportedError(f"verify needs {error.name}: pip install 'edge-rnn[export]'.") from None
        self._graph, self._model = LimitedGraph(whole_file(path)), model
        self.metadata: dict[str, str] = self._graph.metadata
        self.head = head_of(self.metadata, METADATA_KEY)
        self.chose_otherwise = False
        self._initial = {name: value[None, None] for name, value in model.initial_state.items()}
        sizes = {name: len(value) for name, value in model.initial_state.items()}
        self._reads_from = SYMBOL if self.head == "greedy" else "x"
        greedy = self.head == "greedy"
        read, chosen = ({SYMBOL: 0}, {NEXT: 0}) if greedy else ({"x": model.input_size}, {})
        self._check(path, "inputs", self._graph.inputs, read | sizes)
        outputs = chosen | {"y": model.output_size} | {f"{name}_out": size for name, size in sizes.items()}
        self._check(path, "outputs", self._graph.outputs, outputs)
        self._outputs = list(outputs)
        (self.takes_sequences,) = (node.shape[0] != 1 for node in self._graph.inputs if node.name in read)

    def _check(self, path: str | PathLike[str], what: str, nodes: Any, sizes: dict[str, int]) -> None:
        """Check names and shapes; dynamic axes may have any length, and symbols have no third axis."""
        got = {node.name: tuple(node.shape) for node in nodes}
        expected = {name: (1, 1, size) if size else (1, 1) for name, size in sizes.items()}
        fits = got.keys() == expected.keys() and all(
            len(got[name]) == len(shape)
            and all(isinstance(a, str) or a == b for a, b in zip(got[name], shape, strict=True))
            for name, shape in expected.items()
        )
        if not fits:
            self.close()
            raise InputError(f"verify: {path} has the {what} {got}, expected {expected} as in the model.")

    def steps(self, samples: AnyArray) -> Iterator[dict[str, AnyArray]]:
        """Yield output and states after each step; a sequence graph is called with one sample at a time."""
        carried = {f"{name}_out": name for name in self._initial}
        for found in self._graph.steps(self._outputs, self._reads_from, self._reads(samples), self._initial, carried):
            y, *states = self._checked(found)
            values = zip(("y", *self._initial), (y, *states), strict=True)
            yield {name: value[0, 0].astype(np.float64) for name, value in values}

    def whole(
        self, samples: AnyArray, states: Mapping[str, AnyArray] | None = None
    ) -> tuple[AnyArray, dict[str, AnyArray]]:
        """Outputs ``(time, O)`` and last states of all samples in one call, duplicated in a batch of two.

        ``states``: initial states, ``(H,)`` each; None for the model's own.
        """
        begin = (
            self._initial
            if states is None
            else {name: np.asarray(states[name], np.float32)[None, None] for name in self._initial}
        )
        both = {name: np.repeat(value, 2, axis=1) for name, value in begin.items()}
        y, *ends = self._run(np.repeat(self._reads(samples), 2, axis=1), both)
        last = {name: h[0, 1].astype(np.float64) for name, h in zip(both, ends, strict=True)}
        return y[:, 1].astype(np.float64), last

    def _reads(self, samples: AnyArray) -> AnyArray:
        """Convert samples ``(time, I)`` to the graph's input, a batch of one; to symbols ``(time, 1)`` if greedy."""
        return symbols_of(self._model, samples)[:, None] if self.head == "greedy" else samples[:, None]

    def _run(self, read: AnyArray, states: Mapping[str, AnyArray]) -> list[AnyArray]:
        """Return ``y`` and states of one call."""
        return self._checked(self._graph.run(self._outputs, {self._reads_from: read, **states}))

    def _checked(self, found: list[AnyArray]) -> list[AnyArray]:
        """Return ``y`` and states; for a greedy graph, check and drop the chosen symbol."""
        if self.head != "greedy":
            return found
        self.chose_otherwise |= not np.array_equal(found[0], found[1].argmax(axis=2))
        return found[1:]

    def close(self) -> None:
        """End the graph's process."""
        self._graph.close()
