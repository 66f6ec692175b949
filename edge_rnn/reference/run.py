"""Steps, runs and traces of a model in float64."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from edge_rnn.arrays import plain_array
from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.layers import Layer
from edge_rnn.model import Model
from edge_rnn.reference.cells import CELLS, State, of_equation
from edge_rnn.typing import F64

__all__ = ["initial_state", "layer_step", "run", "single_steps", "step", "steps", "trace", "wide"]


def initial_state(model: Model) -> State:
    """Initial state of a stream.

    Returns
    -------
    dict
        ``"layer.state"``, such as ``"lstm.c"`` -> float64 ``(H,)``, copies.
    """
    return {name: value.astype(np.float64) for name, value in model.initial_state.items()}


def step(model: Model, x: ArrayLike, state: Mapping[str, ArrayLike]) -> tuple[F64, State]:
    """Compute one time step in float64.

    Parameters
    ----------
    x
        ``(input_size,)``, finite.
    state
        As returned by :func:`initial_state` or by the step before; not modified.

    Returns
    -------
    y, state
        ``(output_size,)`` float64, and the new state.

    Raises
    ------
    InputError
        The shape does not fit, a number is not finite, or a state is missing, unknown or of the wrong length.
    UnsupportedError
        The reference does not know a kind of layer in the model.
    """
    x = _numbers("reference.step", "x", x, (model.input_size,), "use reference.run for a (time, input_size) array")
    return _advance(model, [wide(layer) for layer in model.layers], x, _checked(model, state, "reference.step"))


def layer_step(layer: SimpleNamespace, x: F64, state: State) -> tuple[F64, State]:
    """Compute one time step of one layer, without checks.

    Parameters
    ----------
    layer
        Result of :func:`wide`. Any of its matrices may be replaced by an object whose ``@`` takes a vector, to follow
        other ways of computing the product.
    x
        ``(I,)``: input of the layer.
    state
        State of this layer alone: its states by name, each ``(H,)``.

    Returns
    -------
    y, state
        Output, and the new state of this layer.
    """
    y, new = layer.cell(layer, x, state)
    return y, new


def steps(
    model: Model, xs: ArrayLike, carried: DTypeLike = np.float64, computed: DTypeLike = np.float64
) -> Iterator[tuple[F64, State]]:
    """Yield output and states after each step from the initial state.

    Parameters
    ----------
    xs
        ``(time, input_size)``, finite.
    carried
        Dtype that states are rounded to between steps.
    computed
        Dtype of sums and functions. With float32 this rounds as any float32 program does, in its own order.

    Raises
    ------
    InputError, UnsupportedError
        As for :func:`step`, when the first step is asked for.
    """
    xs = _numbers("reference.steps", "xs", xs, (None, model.input_size), "use reference.step for one sample")
    layers = [wide(layer, computed) for layer in model.layers]
    now = {name: value.astype(computed) for name, value in initial_state(model).items()}
    for x in xs.astype(computed):
        y, now = _advance(model, layers, x, now)
        now = {name: value.astype(carried).astype(computed) for name, value in now.items()}
        yield y, now


def single_steps(
    model: Model, xs: ArrayLike, states: Mapping[str, ArrayLike], computed: DTypeLike = np.float64
) -> tuple[F64, State]:
    """Compute one step from each of many states, by matrix products instead of one vector after the other.

    Parameters
    ----------
    xs
        ``(n, input_size)``, finite: the sample of each step.
    states
        ``(n, H)`` by ``"layer.state"``: the states before each step.
    computed
        See :func:`steps`.

    Returns
    -------
    ys, states
        ``(n, output_size)``, and ``(n, H)`` by name: the states after each step.

    Raises
    ------
    InputError, UnsupportedError
        As for :func:`step`.
    """
    xs = _numbers("reference.single_steps", "xs", xs, (None, model.input_size), "give samples as rows")
    sizes = {name: value.size for name, value in model.initial_state.items()}
    if set(states) != set(sizes):
        raise InputError(f"reference.single_steps got the states {sorted(states)}, expected {sorted(sizes)}.")
    before = {
        name: _numbers("reference.single_steps", name, states[name], (len(xs), size), "give one row for each sample")
        for name, size in sizes.items()
    }
    layers = [wide(layer, computed) for layer in model.layers]
    for layer in layers:
        arrays = {name: value for name, value in vars(layer).items() if isinstance(value, np.ndarray)}
        vars(layer).update({name: array[:, None] for name, array in arrays.items() if array.ndim == 1})
    y, after = _advance(
        model, layers, xs.T.astype(computed), {name: rows.T.astype(computed) for name, rows in before.items()}
    )
    return y.T, {name: rows.T for name, rows in after.items()}


def run(model: Model, xs: ArrayLike, state: Mapping[str, ArrayLike] | None = None) -> tuple[F64, State]:
    """Compute many time steps in float64.

    Parameters
    ----------
    xs
        ``(time, input_size)``, finite; time may be 0.
    state
        As for :func:`step`; the model's initial state if None.

    Returns
    -------
    ys, state
        ``(time, output_size)`` float64, and the state after the last step.

    Raises
    ------
    InputError, UnsupportedError
        As for :func:`step`.
    """
    xs = _numbers("reference.run", "xs", xs, (None, model.input_size), "use reference.step for one sample")
    now = initial_state(model) if state is None else _checked(model, state, "reference.run")
    layers = [wide(layer) for layer in model.layers]
    ys = np.empty((len(xs), model.output_size))
    for t, x in enumerate(xs):
        ys[t], now = _advance(model, layers, x, now)
    return ys, now


def trace(model: Model, xs: ArrayLike) -> list[tuple[F64, F64]]:
    """Input and output of each layer in each step of a run from the initial state.

    Returns
    -------
    list
        For each layer, in order: inputs ``(time, values)`` and outputs ``(time, values)``, float64.

    Raises
    ------
    InputError, UnsupportedError
        As for :func:`step`.
    """
    xs = _numbers("reference.trace", "xs", xs, (None, model.input_size), "give samples as rows")
    layers, now = [wide(layer) for layer in model.layers], initial_state(model)
    sizes = zip(map(sum, model.read_sizes), model.output_sizes, strict=True)
    found = [(np.empty((len(xs), n)), np.empty((len(xs), m))) for n, m in sizes]
    for t, x in enumerate(xs):
        seen: list[tuple[F64, F64]] = []
        _, now = _advance(model, layers, x, now, seen)
        for (reads, puts), (read, put) in zip(found, seen, strict=True):
            reads[t], puts[t] = read, put
    return found


def _advance(
    model: Model, layers: list[SimpleNamespace], x: F64, state: State, seen: list[tuple[F64, F64]] | None = None
) -> tuple[F64, State]:
    """Take one step; each layer reads earlier outputs, concatenated. ``seen`` gets each layer's input and output."""
    outputs: list[F64] = []
    new: State = {}
    for layer, sources in zip(layers, model.sources, strict=True):
        reads = np.concatenate([x if i < 0 else outputs[i] for i in sources])
        own = {key: state[f"{layer.name}.{key}"] for key in layer.state}
        y, own = layer.cell(layer, reads, own)
        outputs.append(y)
        if seen is not None:
            seen.append((reads, y))
        new |= {f"{layer.name}.{key}": value for key, value in own.items()}
    return outputs[-1].copy(), new


def wide(layer: Layer, dtype: DTypeLike = np.float64) -> SimpleNamespace:
    """Collect a layer's fields, with arrays in ``dtype`` and 0 for absent ones, its function and its states' names.

    Raises
    ------
    UnsupportedError
        The reference does not know the kind of layer.
    """
    graph = layer.graph
    cell = CELLS.get(layer.kind.lower()) if graph is None else of_equation(graph)
    if cell is None:
        known = ", ".join(CELLS)
        raise UnsupportedError(
            f"reference has no function for {layer.title}; expected a layer with an equation, or one of {known}."
        )
    values = layer.fields | {"name": layer.name, "inputs": layer.inputs}
    absent = {name: 0.0 for name, value in values.items() if value is None}
    arrays = {name: np.asarray(array, dtype) for name, array in (layer.arrays | layer.formats).items()}
    return SimpleNamespace(**(values | absent | arrays), cell=cell, state=tuple(layer.initial_state))


def _checked(model: Model, state: object, call: str) -> State:
    """Check that the states are the model's; return float64 copies in the model's order."""
    expected = model.initial_state
    if not isinstance(state, Mapping) or set(state) != set(expected):
        got = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
        raise InputError(f"{call} got the state {got}, expected {sorted(expected)} as reference.initial_state gives.")
    hint = "start from reference.initial_state"
    return {name: _numbers(call, f"state {name!r}", state[name], value.shape, hint) for name, value in expected.items()}


def _numbers(call: str, what: str, value: ArrayLike, shape: tuple[int | None, ...], remedy: str) -> F64:
    """Check that ``value`` is finite and has the shape, where None stands for any length; return a float64 copy."""
    expected = str(shape).replace("None", "time")
    try:
        given = plain_array(value)
    except ValueError:
        raise InputError(f"{call} {what} is not an array; expected numbers of shape {expected}.") from None
    if given.dtype.kind not in "fiu":
        raise InputError(f"{call} {what} got dtype {given.dtype}, expected numbers of shape {expected}.")
    fits = given.ndim == len(shape) and all(n in (m, None) for n, m in zip(shape, given.shape, strict=True))
    if not fits:
        raise InputError(f"{call} {what} got shape {given.shape}, expected {expected}; {remedy}.")
    array = given.astype(np.float64)
    if not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(f"{call} {what} holds {array[place]} at {place}; expected finite numbers.")
    return array
