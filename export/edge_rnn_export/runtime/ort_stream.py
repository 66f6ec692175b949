"""OrtStream: a model's step graph in onnxruntime, with the interface of an ``edge_rnn.Stream``."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.arrays import float32_array
from edge_rnn.errors import InputError, InputTypeError
from edge_rnn.typing import F32
from edge_rnn_export.runtime.session import bindings, session
from edge_rnn_export.writers.onnx.head import SESSION_CODE
from edge_rnn_export.writers.onnx.metadata import trained_states

__all__ = ["SAMPLE_CODE", "OrtStream"]


SAMPLE_CODE = (
    SESSION_CODE
    + """\
inputs = {node.name: np.zeros((1, 1, node.shape[2]), np.float32) for node in session.get_inputs()}
outputs = [node.name for node in session.get_outputs()]  # y, then each state's new value
states = [name for name in inputs if name != "x"]
# Trained initial states, if there are some, are in the graph's metadata: edge_rnn, initial_state.


def step(x):
    inputs["x"][0, 0] = x
    y, *new = session.run(outputs, inputs)
    inputs.update(zip(states, new))
    return y[0, 0]
"""
)
"""A program that follows a stream with a step graph, using only onnxruntime and NumPy."""


class OrtStream:
    """Stream of a step graph over one sequence, on one thread that does not spin.

    States are in preallocated arrays, two for each, which are bound once and swap roles with every step, so only the
    sample is copied.

    Parameters
    ----------
    source
        Step graph that :func:`~edge_rnn_export.to_onnx` wrote: an ``.onnx`` or ``.ort`` file, or its bytes.

    Raises
    ------
    FileError
        The file cannot be read, or onnxruntime rejects it.
    InputError
        It is not a step graph: ``x`` ``(1, batch, I)``, ``y``, and for each state ``name`` an output ``name_out``.
    UnsupportedError
        onnxruntime is not installed.
    """

    def __init__(self, source: str | PathLike[str] | bytes) -> None:
        loaded = session(source)
        sizes = {node.name: node.shape for node in loaded.get_inputs()}
        given = {node.name: node.shape for node in loaded.get_outputs()}
        names = [name for name in sizes if name != "x"]
        fits = "x" in sizes and given.keys() == {"y", *(f"{name}_out" for name in names)}
        if not fits or any(len(shape) != 3 or shape[0] != 1 for shape in (*sizes.values(), *given.values())):
            raise InputError(
                f"OrtStream got a graph with the inputs {sizes} and outputs {given}, expected a step graph as "
                "written by to_onnx(model, path)."
            )
        self.input_size, self.output_size = int(sizes["x"][2]), int(given["y"][2])
        self._initial = _initial(loaded, {name: int(sizes[name][2]) for name in names})
        self._x = np.zeros((1, 1, self.input_size), np.float32)
        self._y = np.zeros((1, 1, self.output_size), np.float32)
        self._places = {name: np.zeros((2, 1, 1, value.size), np.float32) for name, value in self._initial.items()}
        self._bindings = bindings(loaded, self._x, self._y, self._places)
        self._run = loaded.run_with_iobinding
        self._parity = 0
        self.reset()

    @property
    def state(self) -> dict[str, F32]:
        """Copy of each state by name: ``{"gru1.h": (H,) float32}``."""
        return {name: both[self._parity, 0, 0].copy() for name, both in self._places.items()}

    def step(self, x: ArrayLike) -> F32:
        """Take one time step: ``(input_size,)`` to ``(output_size,)`` float32, the same array each time.

        Raises
        ------
        InputError
            The shape does not match, or a value is not finite.
        """
        given = float32_array("OrtStream.step", "x", x)
        if given.shape != (self.input_size,):
            raise InputError(f"OrtStream.step got shape {given.shape}, expected ({self.input_size},) float32.")
        if not np.isfinite(given).all():
            raise InputError("OrtStream.step got a value that is not finite; the state is unchanged.")
        self._x[0, 0] = given
        self._run(self._bindings[self._parity])
        self._parity = 1 - self._parity
        output: F32 = self._y[0, 0]
        return output

    def run(self, xs: ArrayLike) -> F32:
        """Take many time steps, ``(time, input_size)`` to ``(time, output_size)`` float32; see :meth:`step`."""
        rows = float32_array("OrtStream.run", "xs", xs)
        if rows.ndim != 2 or rows.shape[1] != self.input_size:
            raise InputError(f"OrtStream.run got shape {rows.shape}, expected (time, {self.input_size}).")
        out = np.empty((len(rows), self.output_size), np.float32)
        for row, y in zip(rows, out, strict=True):
            y[:] = self.step(row)
        return out

    def reset(self) -> None:
        """Restore the initial states."""
        self._parity = 0
        for name, value in self._initial.items():
            self._places[name][0, 0, 0] = value

    def snapshot(self) -> dict[str, F32]:
        """Return the state for :meth:`restore`; the same as :attr:`state`."""
        return self.state

    def restore(self, snapshot: dict[str, F32]) -> None:
        """Continue from the state of a :meth:`snapshot`.

        Raises
        ------
        InputError
            The states are those of another graph, or not finite; the state is left unchanged.
        """
        if not isinstance(snapshot, Mapping):
            raise InputTypeError(f"OrtStream.restore got {type(snapshot).__name__}, expected the dict of snapshot().")
        shapes = {name: np.shape(value) for name, value in snapshot.items()}
        expected = {name: value.shape for name, value in self._initial.items()}
        if shapes != expected:
            raise InputError(f"OrtStream.restore got the states {shapes}, expected {expected}.")
        values = {name: float32_array("OrtStream.restore", name, value) for name, value in snapshot.items()}
        for name, value in values.items():
            if not np.isfinite(value).all():
                raise InputError(f"OrtStream.restore got a state {name!r} that is not finite.")
        for name, value in values.items():
            self._places[name][self._parity, 0, 0] = value


def _initial(loaded: Any, sizes: dict[str, int]) -> dict[str, F32]:
    """Initial states, including trained ones from the graph's metadata."""
    states = {name: np.zeros(size, np.float32) for name, size in sizes.items()}
    for name, value in trained_states(loaded.get_modelmeta().custom_metadata_map).items():
        if name not in states or states[name].shape != value.shape:
            raise InputError(
                f"OrtStream got an initial state {name!r} of shape {value.shape}, but the graph has no such state."
            )
        states[name] = value
    return states
