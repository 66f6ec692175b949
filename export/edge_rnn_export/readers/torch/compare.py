"""Compare a model with the module that it was read from: long sequences, large samples, states, every output."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_rnn import reference
from edge_rnn.errors import UnsupportedError
from edge_rnn.layers import Embedding
from edge_rnn.model import Model
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.torch.axes import Axes, axes_of, final_states, old_states, start_states
from edge_rnn_export.readers.torch.calls import Call, Leaf, tensors_of
from edge_rnn_export.readers.torch.program import Program
from edge_rnn_export.readers.torch.traced import in_use
from edge_rnn_export.readers.tracing.walk import Reading

__all__ = ["Read", "check"]

States = list[dict[str, AnyArray]]
"""States of the model by name, one dict per sequence of the batch."""

_SCALES = (1.0, 30.0, 1e3, 0.05)
_LENGTHS = (300, 100, 30, 10)
_CALLS = 60  # of a module that takes one step

_DOUBLE_TOLERANCE = 1e-7
"""Largest difference in float64, relative to a channel's peak: rounding (1e-16), amplified by the network."""

_SINGLE_TOLERANCE = 1e-3
"""The same in float32, for a forward that creates float32 tensors itself and cannot run in another dtype."""

_ROUNDED_TOLERANCE = 1e-4
"""The same for a forward that rounds to float32 itself, or computes weights: roundings of 6e-8, amplified."""

_STEADY = 1e-10
"""Largest effect of changing the samples by a rounding, relative to the peak; beyond, fewer steps are compared."""


@dataclass(frozen=True, slots=True)
class Read:
    """Network as read, with what the comparison needs.

    Parameters
    ----------
    inside
        Name of the module whose output was read; empty if forward's was.
    """

    program: Program
    reading: Reading
    call: Call
    inside: str = ""

    @property
    def model(self) -> Model:
        """The model."""
        return self.reading.model


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
            except _CannotRunError:
                continue
            break
    if axes.batch > 1 and not _has_ports(read):
        _check_alone(torch, module, read, axes, rng, symbols)


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
    run = _Run(torch, module, read, axes, torch.float64, symbols)
    states = [dict(read.model.initial_state) for _ in range(axes.batch)]
    try:
        together = run.outputs(np.repeat(xs, axes.batch, 1), states)[0]
        run.copy = None
        alone = run.outputs(xs, states[:1])[0]
    except (_CannotRunError, UnsupportedError, ValueError):
        return  # it runs in batches of other sizes alone
    if alone.ndim == together.ndim and np.abs(together - alone).max() > _ROUNDED_TOLERANCE * np.abs(alone).max():
        raise UnsupportedError(
            f"from_torch: {run.title} computes something else for a batch of one, which a stream is; give an example= "
            f"with a batch of one."
        )


class _CannotRunError(Exception):
    """Forward does not run in float64."""


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
    run = _Run(torch, module, read, axes, dtype, symbols)
    if axes.stepwise:
        chunks = [drawn(1) for _ in range(_CALLS if scale == 1.0 else 5)]
    else:
        fixed = len(read.call.sizes) == 1  # it runs with the traced length alone
        xs = drawn(axes.steps if fixed else _LENGTHS[0] if scale == 1.0 else _LENGTHS[1])
        xs = xs if fixed else run.steady(xs, states)
        chunks = [xs, drawn(len(xs) if fixed else min(len(xs), 2 * _LENGTHS[-1]))]
    for place, xs in enumerate(chunks):
        given = run.outputs(xs, states)
        ys, ends = _reference(read.model, xs, states)
        problem = run.difference(given, ys, ends, tolerance)
        if problem and place and axes.stepwise and not _has_ports(read) and _has_sequences(torch, module):
            raise UnsupportedError(
                f"from_torch: {run.title} starts afresh at each call, of a single step, and {read.model!r} keeps a "
                f"state; give an example= of several steps, or of its states."
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


def _has_sequences(torch: Any, module: Any) -> bool:
    """True if the module has recurrent parts that run over sequences, and so start afresh at each call."""
    return any(isinstance(each, torch.nn.RNNBase) for each in module.modules())


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
    return bool(read.call.states or read.program.kept)


def _random_states(read: Read, axes: Axes, rng: np.random.Generator) -> States:
    """Random states where the module takes some, else the model's initial ones."""
    names = [*read.program.inputs[1:], *(name for _, name, _ in read.program.kept)]
    arrays = {name: rng.uniform(-1, 1, old_states(read.reading, name, None).shape) for name in names}
    return start_states(read.reading, arrays, axes.batch)


def _reference(model: Model, xs: AnyArray, states: States) -> tuple[AnyArray, States]:
    found = [reference.run(model, xs[:, place], state) for place, state in enumerate(states)]
    return np.stack([ys for ys, _ in found], 1), [dict(state) for _, state in found]


@dataclass(slots=True)
class _Run:
    """Module to be run, call after call; with another copy for samples that differ by a rounding."""

    torch: Any
    module: Any
    read: Read
    axes: Axes
    dtype: Any
    symbols: int
    copy: Any = None
    inside: Any = None

    @property
    def title(self) -> str:
        return f"{type(self.module).__name__}.forward"

    def steady(self, xs: AnyArray, states: States) -> AnyArray:
        """Return as many of the samples as a network that amplifies roundings can be compared on."""
        if self.symbols:
            return xs
        for steps in (length for length in _LENGTHS if length <= len(xs)):
            moved = xs[:steps] * (1 + 1e-13 * np.sign(np.sin(np.arange(steps)))[:, None, None])
            self.copy = None
            once = self.outputs(xs[:steps], states)
            self.copy = None
            again = self.outputs(moved, states)
            self.copy = None
            if all(_near(a, b, _STEADY) for a, b in zip(once, again, strict=True)):
                return xs[:steps]
        return xs[: _LENGTHS[-1]]

    def outputs(self, xs: AnyArray, states: States) -> list[AnyArray]:
        """Output that was read, then all tensors that a call returns, then the buffers that it updated."""
        torch = self.torch
        before = torch.get_default_dtype()
        try:
            torch.set_default_dtype(self.dtype)
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if self.copy is None:
                    self.copy = in_use(self.module).to(self.dtype)
                    if self.read.inside:
                        self.copy.get_submodule(self.read.inside).register_forward_hook(self._note)
                buffers = dict(self.copy.named_buffers())
                for target, name, _ in self.read.program.kept:
                    buffers[target].copy_(self._tensor(old_states(self.read.reading, name, states)))
                found = tensors_of(torch, self.copy(*self._arguments(xs, states)))
                buffers = dict(self.copy.named_buffers())
                found = [self._main(found), *found, *(buffers[target] for target, _, _ in self.read.program.kept)]
                return [each.double().numpy().copy() for each in found]
        except Exception as error:  # forward is user code: it may raise anything
            if self.dtype is torch.float64:
                raise _CannotRunError from None
            raise UnsupportedError(
                f"from_torch could not run {self.title} to compare it: {type(error).__name__}: {str(error)[:200]}"
            ) from None
        finally:
            torch.set_default_dtype(before)

    def _note(self, _: Any, given: Any, output: Any) -> None:
        """Keep what a module inside returns."""
        self.inside = tensors_of(self.torch, output)[0]

    def _main(self, tensors: Sequence[Any]) -> Any:
        """Output that was read, given all tensors that forward returns."""
        if self.read.inside:
            return self.inside
        reading, names = self.read.reading, self.read.program.outputs
        axis, count = reading.feature_axis
        heads = [tensors[names.index(name)] for name in reading.heads or (reading.output,)]
        if len(heads) == 1:
            return heads[0]
        return self.torch.cat([each[..., None] if each.ndim < count else each for each in heads], axis)

    def _tensor(self, array: AnyArray) -> Any:
        return self.torch.from_numpy(np.array(array)).to(self.dtype)

    def _arguments(self, xs: AnyArray, states: States) -> list[Any]:
        names = iter(self.read.program.inputs[1:])

        def filled(tree: Any) -> Any:
            if isinstance(tree, tuple):
                return tuple(filled(each) for each in tree)
            if not isinstance(tree, Leaf):
                return tree
            return self._tensor(old_states(self.read.reading, next(names), states))

        array = self.axes.laid_out(xs)
        samples = self.torch.from_numpy(array.astype(np.int64)) if self.symbols else self._tensor(array)
        return [samples, *(filled(each) for each in self.read.call.args[1:])]

    def difference(self, given: Sequence[AnyArray], ys: AnyArray, ends: States, tolerance: float) -> str:
        """Describe the first output that differs; empty if none does."""
        read = self.read
        names = [read.reading.output, *read.program.outputs, *(out for _, _, out in read.program.kept)]
        for place, (name, array) in enumerate(zip(names, given, strict=True)):
            wanted: AnyArray | None
            if place == 0:
                wanted = self.axes.output(ys)
                channel = self.axes.outputs.index("f") if "f" in self.axes.outputs else None
            else:
                wanted, channel = final_states(read.reading, name, ends), None
            if wanted is None:
                continue
            if array.shape != wanted.shape:
                return f"output {name!r} has the shape {array.shape}, expected {wanted.shape}"
            if not _near(array, wanted, tolerance, channel):
                with np.errstate(invalid="ignore"):
                    error, peak = np.nanmax(np.abs(array - wanted)), np.nanmax(np.abs(wanted))
                return f"output {name!r} differs by up to {error:.1e}, in values of up to {peak:.1e}"
        return ""


def _near(array: AnyArray, wanted: AnyArray, tolerance: float, channel: int | None = None) -> bool:
    """True if two arrays are equal, within a share of the peak of each channel."""
    if not (np.isfinite(array).all() and np.isfinite(wanted).all()):
        return False
    axes = tuple(axis for axis in range(wanted.ndim) if axis != channel)
    peaks = np.abs(wanted).max(axis=axes, keepdims=True, initial=0.0)
    return bool((np.abs(array - wanted) <= tolerance * (peaks + 1e-6 * peaks.max(initial=0.0))).all())
