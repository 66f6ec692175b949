"""Measure the error of an imported model against onnxruntime running the ONNX graph itself."""

from __future__ import annotations

from os import PathLike

import numpy as np

from edge_rnn import reference
from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.layers import Embedding
from edge_rnn.sampling.symbols import alphabet, samples
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.onnx.cut import cut_out
from edge_rnn_export.readers.tracing.codes import Signal, Source
from edge_rnn_export.readers.tracing.trace import Trace
from edge_rnn_export.readers.tracing.walk import Reading
from edge_rnn_export.runtime.limited import LimitedGraph
from edge_rnn_export.writers.onnx.head import SYMBOL

__all__ = ["compared"]


_RUNS = 8
_STEPS = 20


def compared(reading: Reading, path: str | PathLike[str], seed: int = 0) -> tuple[float, int]:
    """Run the graph and the reference on random samples, from random states if the graph has state inputs.

    Only the imported part of the graph runs, with limits on time and memory; see :mod:`edge_rnn_export.limits.process`.

    Returns
    -------
    error, steps
        Largest difference of outputs, relative to the largest output if that exceeds 1; number of steps.

    Raises
    ------
    UnsupportedError
        onnxruntime is not installed, or does not run the graph; the message says why.
    """
    if reading.after is not None:
        assumed = f"; assumed: {reading.assumed}" if reading.assumed else ""
        raise UnsupportedError(f"what follows {reading.after[:80]!r} cannot be run by itself{assumed}.")
    rng = np.random.default_rng(seed)
    worst, steps = 0.0, 0
    once = _own if reading.trace is None else _foreign
    try:
        with LimitedGraph(cut_out(path, reading.heads or [reading.output])) as run:
            for _ in range(_RUNS):
                error, count = once(reading, run, rng)
                worst, steps = max(worst, error), steps + count
    except FileError as refusal:
        raise UnsupportedError(str(refusal)) from None
    return worst, steps


def _own(reading: Reading, run: LimitedGraph, rng: np.random.Generator) -> tuple[float, int]:
    """Compare a graph written by edge_rnn: ``x`` is ``(time, batch, I)``, and states have names."""
    model = reading.model
    steps, batch = 1 if run.inputs[0].shape[0] == 1 else _STEPS, 2
    xs = _samples(reading, rng, steps * batch).reshape(steps, batch, -1)
    states = {name: rng.uniform(-1, 1, (1, batch, len(h))) for name, h in model.initial_state.items()}
    feeds = {name: array.astype(np.float32) for name, array in states.items()}
    if run.inputs[0].name == SYMBOL:
        known = alphabet(model, "from_onnx")
        symbols = rng.integers(0, known.size, steps * batch)
        xs = samples(known, symbols.astype(np.int32)).reshape(steps, batch, -1)
        read: dict[str, AnyArray] = {SYMBOL: symbols.reshape(steps, batch)}
    else:
        read = {"x": xs.astype(np.float32)}
    (got,) = run.run(["y"], read | feeds)
    worst = 0.0
    for place in range(batch):
        start = {name: feeds[name][0, place] for name in states}
        expected, _ = reference.run(model, xs[:, place], start)
        worst = max(worst, _error(got[:, place], expected))
    return worst, steps


def _foreign(reading: Reading, run: LimitedGraph, rng: np.random.Generator) -> tuple[float, int]:
    trace, model = reading.trace, reading.model
    assert trace is not None
    grid = np.arange(trace.rows)[:, None] if trace.grid is None else trace.grid
    xs = _samples(reading, rng, grid.size)
    feeds = {trace.samples.port.name: _laid_out(trace, xs)} if trace.samples and trace.samples.port else {}
    states: list[dict[str, AnyArray]] = [dict(model.initial_state) for _ in range(grid.shape[1])]
    for source in trace.sources:
        if source.kind == "port" and source.port and source is not trace.samples:
            feeds[source.port.name] = _states(reading, source, states, rng)
    feeds |= {name: np.asarray(value) for name, value in reading.given.items()}
    types = {each.name: _TYPES.get(each.type, np.float32) for each in run.inputs}
    feeds = {name: array.astype(types[name]) for name, array in feeds.items()}
    got, *others = heads = run.run(reading.heads or [reading.output], feeds)
    if others:
        axis, count = reading.feature_axis
        got = np.concatenate([head[..., None] if head.ndim < count else head for head in heads], axis)
    expected = np.empty((grid.size, model.output_size))
    for place, start in enumerate(states):
        expected[grid[:, place]], _ = reference.run(model, xs[grid[:, place]], start)
    wanted = _output(trace, reading.output, reading.axis, expected)
    if got.shape != wanted.shape:
        raise UnsupportedError(f"onnxruntime gives outputs of shape {got.shape}, expected {wanted.shape}.")
    return _error(got, wanted), len(grid)


def _error(got: AnyArray, wanted: AnyArray) -> float:
    return float(np.abs(got - wanted).max() / max(1.0, np.abs(wanted).max()))


_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(double)": np.float64, "tensor(bool)": np.bool_}
_TYPES |= {"tensor(float16)": np.float16}


def _samples(reading: Reading, rng: np.random.Generator, count: int) -> AnyArray:
    """Random samples, ``(count, I)``; symbols if a table reads them."""
    tables = [
        layer
        for layer, reads in zip(reading.model.layers, reading.model.sources, strict=True)
        if isinstance(layer, Embedding) and -1 in reads
    ]
    if tables:
        return rng.integers(0, min(len(table.weight) for table in tables), (count, 1)).astype(np.float32)
    return rng.standard_normal((count, reading.model.input_size)).astype(np.float32)


def _laid_out(trace: Trace, xs: AnyArray) -> AnyArray:
    """Arrange samples in the layout of the graph's input."""
    assert trace.samples is not None
    signal = trace.values[trace.samples.port.name] if trace.samples.port else None
    assert isinstance(signal, Signal)
    _, row, feature = trace.decode(signal.codes)
    return xs[row, feature]


def _states(reading: Reading, source: Source, states: list[dict[str, AnyArray]], rng: np.random.Generator) -> AnyArray:
    """Random states in the layout of a state input of the graph; also stored in the states of each batch element."""
    assert reading.layers is not None
    array = rng.uniform(-1, 1, source.shape).astype(np.float32)
    for draft, key, places in source.states:
        if len(places) != len(states):
            raise UnsupportedError(
                "the graph uses different names for the batch axis of its states and of its samples."
            )
        for state, values in zip(states, array.reshape(-1)[places], strict=True):
            state[f"{reading.layers.names[draft]}.{key}"] = values
    return array


def _output(trace: Trace, name: str, axis: int, expected: AnyArray) -> AnyArray:
    """Rearrange the graph's outputs to one row per sample."""
    signal = trace.values[name]
    assert isinstance(signal, Signal)
    _, row, _ = trace.decode(signal.codes)
    if axis == row.ndim:
        return expected[row][..., 0]
    found = expected[np.moveaxis(row, axis, -1)[..., 0]]
    return np.moveaxis(found, -1, axis)
