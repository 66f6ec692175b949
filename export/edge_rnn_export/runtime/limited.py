"""Untrusted graph in onnxruntime: it runs in a limited process, and opens no files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import NamedTuple, Self

import numpy as np

from edge_rnn.errors import UnsupportedError
from edge_rnn.typing import AnyArray
from edge_rnn_export.limits.process import Limits, Worker

__all__ = ["LimitedGraph", "Port"]


SECONDS = 4.0
"""CPU time allowed per call, and more for large graphs; ordinary ones take milliseconds."""

_BYTES_PER_SECOND = 2**26  # each step reads all weights; the slowest board reads 10 times this rate
_STEPS = 64  # steps per call
_MEMORY = 2**28


class Port(NamedTuple):
    """Input or output of a graph: name, onnxruntime's type name, and axis lengths, a text or None if dynamic."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]


class LimitedGraph:
    """Graph in onnxruntime, in a separate process; see :mod:`edge_rnn_export.limits.process`.

    Parameters
    ----------
    data
        An ``.onnx`` or ``.ort`` file, including its external data.

    Attributes
    ----------
    inputs, outputs
        Inputs and outputs of the graph, in order.
    metadata
        Metadata of the graph.

    Raises
    ------
    FileError
        onnxruntime rejects the graph, or crashes on it.
    UnsupportedError
        onnxruntime is not installed.
    """

    def __init__(self, data: bytes) -> None:
        if find_spec("onnxruntime") is None:
            raise UnsupportedError("onnxruntime is not installed: pip install 'edge-rnn[export]'.")
        self._step_seconds = len(data) / _BYTES_PER_SECOND
        limits = Limits(SECONDS + 16 * self._step_seconds, _MEMORY + 16 * len(data))
        self._worker = Worker("edge_rnn_export.runtime.job", "onnxruntime", limits)
        try:
            about, _ = self._worker.call("open", {"data": np.frombuffer(data, np.uint8)})
        except BaseException:
            self._worker.close()
            raise
        self.inputs = [Port(name, kind, tuple(shape)) for name, kind, shape in about["inputs"]]
        self.outputs = [Port(name, kind, tuple(shape)) for name, kind, shape in about["outputs"]]
        self.metadata: dict[str, str] = about["metadata"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._worker.close()

    def run(self, outputs: Sequence[str], feeds: Mapping[str, AnyArray]) -> list[AnyArray]:
        """Run the graph once.

        Raises
        ------
        FileError
            onnxruntime fails to run the graph; or it took too long, took too much memory, or crashed.
        """
        seconds = SECONDS + max((len(array) for array in feeds.values() if array.ndim), default=1) * self._step_seconds
        _, found = self._worker.call("run", feeds, seconds, outputs=list(outputs))
        return [found[str(place)] for place in range(len(outputs))]

    def steps(
        self,
        outputs: Sequence[str],
        reads: str,
        xs: AnyArray,
        states: Mapping[str, AnyArray],
        carried: Mapping[str, str],
    ) -> Iterator[list[AnyArray]]:
        """Run the graph step by step.

        Parameters
        ----------
        reads, xs
            Name of the input that is read step by step, and its rows.
        states
            Initial values of the other inputs.
        carried
            Input that each output becomes in the next step, by output.

        Raises
        ------
        FileError
            See :meth:`run`.
        """
        state, seconds = dict(states), SECONDS + _STEPS * self._step_seconds
        for begin in range(0, len(xs), _STEPS):
            feeds = {reads: xs[begin : begin + _STEPS], **state}
            _, found = self._worker.call(
                "steps", feeds, seconds, outputs=list(outputs), reads=reads, carried=dict(carried)
            )
            values = [found[str(place)] for place in range(len(outputs))]
            state = {into: values[list(outputs).index(name)][-1] for name, into in carried.items()}
            yield from (list(rows) for rows in zip(*values, strict=True))
