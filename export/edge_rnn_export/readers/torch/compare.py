"""Compare a model with the module that it was read from: long sequences, large samples, states, every output."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_rnn import reference
from edge_rnn.errors import UnsupportedError
from edge_rnn.layers import Embedding
from edge_rnn.model import Model
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.torch.axes import Axes, axes_of, is_read, old_states, start_states
from edge_rnn_export.readers.torch.running import LENGTHS, CannotRunError, Read, Run, States

__all__ = ["check"]

_SCALES = (1.0, 30.0, 1e3, 0.05)
_FAR = 1100  # steps of a single sequence: a forward may take only the first 512 or 1000
_CALLS = 60  # of a module that takes one step

_DOUBLE_TOLERANCE = 1e-7
"""Largest difference in float64, relative to a channel's peak: rounding (1e-16), amplified by the network."""

_SINGLE_TOLERANCE = 1e-3
"""The same in float32, for a forward that creates float32 tensors itself and cannot run in another dtype."""

_ROUNDED_TOLERANCE = 1e-4
"""The same for a forward that rounds to float32 itself, or computes weights: roundings of 6e-8, amplified."""


def check(torch: Any, module: Any, read: Read) -> None:
    """Run the module and the float64 reference on random sequences, and compare them.

    Raises
    ------
    UnsupportedError
        They differ, or the module keeps a state between calls that the program does not show.
    """
    axes, rng = axes_of(read.reading), np.random.default_rng(0)
    symbols = _symbols(read.model)
    for scale in (1.0,) if symbols else _SCALES:
        for double in (True, False):
            try:
                _check(torch, module, read, axes, rng, scale, symbols, double=double)
            except CannotRunError:
                continue
            break
    if axes.batch > 1 and not _has_ports(read) and not read.after:
        _check_alone(torch, module, read, axes, rng, symbols)
    if len(read.call.sizes) > 1 and not axes.stepwise and not _has_ports(read) and not read.after:
        _check_far(torch, module, read, axes, rng, symbols)


def _check_far(torch: Any, module: Any, read: Read, axes: Axes, rng: np.random.Generator, symbols: int) -> None:
    """Compare one sequence of more than a thousand steps, where forward runs with one and amplifies no roundings.

    Raises
    ------
    UnsupportedError
        They differ.
    """
    shape = (_FAR, 1, read.model.input_size)
    xs = rng.integers(0, symbols, shape) if symbols else rng.standard_normal(shape)
    xs = xs.astype(np.float32).astype(np.float64)
    run, states = Run(torch, module, read, axes, torch.float64, symbols), [dict(read.model.initial_state)]
    try:
        if not run.is_steady(xs, states):
            return
        given = run.outputs(xs, states)[:1]
    except (CannotRunError, ValueError):
        return
    ys, ends = _reference(read.model, xs, states)
    wanted = axes.output(ys)
    if given[0].size == wanted.size:  # forward may squeeze the axis of a single sequence
        given = [given[0].reshape(wanted.shape)]
    problem = run.difference(given, ys, ends, _ROUNDED_TOLERANCE)
    if problem:
        raise UnsupportedError(
            f"from_torch: {run.title} computes something else for sequences of {_FAR} steps than for shorter ones, "
            f"which a stream cannot: {problem}."
        )


def _check_alone(torch: Any, module: Any, read: Read, axes: Axes, rng: np.random.Generator, symbols: int) -> None:
    """Compare the module on equal sequences of a batch with the same one alone, as a stream is.

    Raises
    ------
    UnsupportedError
        They differ.
    """
    shape = (axes.steps, 1, read.model.input_size)
    xs = rng.integers(0, symbols, shape) if symbols else rng.standard_normal(shape)
    xs = xs.astype(np.float32).astype(np.float64)
    run = Run(torch, module, read, axes, torch.float64, symbols)
    states = [dict(read.model.initial_state) for _ in range(axes.batch)]
    try:
        together = run.outputs(np.repeat(xs, axes.batch, 1), states)[0]
        run.copy = None
        alone = run.outputs(xs, states[:1])[0]
    except (CannotRunError, UnsupportedError, ValueError):
        return  # it runs in batches of other sizes alone
    if alone.ndim == together.ndim and np.abs(together - alone).max() > _ROUNDED_TOLERANCE * np.abs(alone).max():
        raise UnsupportedError(
            f"from_torch: {run.title} computes something else for a batch of one, which a stream is; give an example= "
            f"with a batch of one."
        )


def _symbols(model: Model) -> int:
    """Number of symbols that the model reads, 0 if it reads numbers."""
    read_by_tables = [
        len(layer.weight)
        for layer, reads in zip(model.layers, model.sources, strict=True)
        if isinstance(layer, Embedding) and -1 in reads
    ]
    return min(read_by_tables, default=0)


def _check(
    torch: Any,
    module: Any,
    read: Read,
    axes: Axes,
    rng: np.random.Generator,
    scale: float,
    symbols: int,
    *,
    double: bool,
) -> None:
    """Compare call after call, from the states that the model has then."""
    dtype, tolerance = (torch.float64, _DOUBLE_TOLERANCE) if double else (torch.float32, _SINGLE_TOLERANCE)
    if double and (read.program.rounds or _has_new_weights(module, read.model)):
        tolerance = _ROUNDED_TOLERANCE

    def drawn(steps: int) -> AnyArray:
        shape = (steps, axes.batch, read.model.input_size)
        xs = rng.integers(0, symbols, shape) if symbols else scale * rng.standard_normal(shape)
        return xs.astype(np.float32).astype(np.float64)

    states = _random_states(read, axes, rng)
    run = Run(torch, module, read, axes, dtype, symbols)
    if read.after:
        most, *_, least = *run.lengthen(far=scale == 1.0), axes.steps
        xs = drawn(most)
        chunks = [xs if most == least or run.is_steady(xs, states) else drawn(least), drawn(least)]
    elif axes.stepwise:
        chunks = [drawn(1) for _ in range(_CALLS if scale == 1.0 else 5)]
    else:
        fixed = len(read.call.sizes) == 1  # it runs with the traced length alone
        xs = drawn(axes.steps if fixed else LENGTHS[0] if scale == 1.0 else LENGTHS[1])
        xs = xs if fixed else run.steady(xs, states)
        chunks = [xs, drawn(len(xs) if fixed else min(len(xs), 2 * LENGTHS[-1]))]
    for place, xs in enumerate(chunks):
        given = run.outputs(xs, states)
        ys, ends = _reference(read.model, xs, states)
        problem = run.difference(given, ys, ends, tolerance)
        rnn = next((each for each in module.modules() if isinstance(each, torch.nn.RNNBase)), None)
        if problem and place and axes.stepwise and not _has_ports(read) and rnn is not None:
            raise UnsupportedError(
                f"from_torch: {run.title} starts afresh at each call, of a single step, and {read.model!r} keeps a "
                f"state; give an example= of several steps, whose axis batch_first={rnn.batch_first} says, or of its "
                f"states."
            )
        if problem and place and not _has_ports(read):
            # Without states among the arguments, a later call starts afresh, unless forward keeps the states itself.
            fresh = [dict(read.model.initial_state) for _ in states]
            ys, ends = _reference(read.model, xs, fresh)
            problem = run.difference(given, ys, ends, tolerance)
        if problem:
            later = (
                " at a later call: it keeps a state that is no tensor from the beginning; make it a buffer"
                if place
                else ""
            )
            raise UnsupportedError(
                f"from_torch: {run.title} does not compute the same as {read.model!r}{later}: on random samples of "
                f"about {scale:g} {problem}. Build the Model by hand, or name what to read by upto=; check=False "
                f"takes the layers as they are."
            )
        states = ends


def _has_new_weights(module: Any, model: Model) -> bool:
    """True if a matrix has rows that are none of the module's: scales were folded into them, and rounded."""
    known = {
        row.tobytes()
        for tensor in module.state_dict().values()
        if tensor.ndim == 2 and tensor.is_floating_point()
        for row in tensor.detach().float().cpu().numpy()
    }
    matrices = [array for layer in model.layers for array in layer.arrays.values() if array.ndim == 2]
    return any(row.tobytes() not in known for matrix in matrices for row in matrix)


def _has_ports(read: Read) -> bool:
    return any(is_read(read.reading, name) for name in read.ports)


def _random_states(read: Read, axes: Axes, rng: np.random.Generator) -> States:
    """Random states where the module takes some, else the model's initial ones."""
    known = [name for name in read.ports if is_read(read.reading, name)]
    arrays = {name: rng.uniform(-1, 1, old_states(read.reading, name, None).shape) for name in known}
    return start_states(read.reading, arrays, axes.batch)


def _reference(model: Model, xs: AnyArray, states: States) -> tuple[AnyArray, States]:
    found = [reference.run(model, xs[:, place], state) for place, state in enumerate(states)]
    return np.stack([ys for ys, _ in found], 1), [dict(state) for _, state in found]
