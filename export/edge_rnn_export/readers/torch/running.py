"""Run a module and the model that was read from it, call after call."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_rnn.errors import UnsupportedError
from edge_rnn.model import Model
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.torch.axes import Axes, final_states, is_read, old_states
from edge_rnn_export.readers.torch.calls import Call, Leaf, tensors_of
from edge_rnn_export.readers.torch.program import Program
from edge_rnn_export.readers.torch.traced import in_use
from edge_rnn_export.readers.tracing.walk import Reading

__all__ = ["LENGTHS", "CannotRunError", "Read", "Run", "States"]

States = list[dict[str, AnyArray]]
"""States of the model by name, one dict per sequence of the batch."""

LENGTHS = (300, 100, 30, 10)
"""Numbers of steps to compare: as many as a network that amplifies roundings allows."""

_STEADY = 1e-10
"""Largest effect of changing the samples by a rounding, relative to the peak; beyond, fewer steps are compared."""


@dataclass(frozen=True, slots=True)
class Read:
    """Network as read, with what the comparison needs.

    Parameters
    ----------
    inside
        Name of the module whose output was read; empty if forward's was.
    after
        Name of the module whose output was taken as the samples; empty if forward's were.
    """

    program: Program
    reading: Reading
    call: Call
    inside: str = ""
    after: str = ""

    @property
    def ports(self) -> list[str]:
        """Names of the graph's inputs with states: arguments, and buffers that forward updates."""
        return [*self.program.inputs[1:], *(name for _, name, _ in self.program.kept)]

    @property
    def model(self) -> Model:
        """The model."""
        return self.reading.model


class CannotRunError(Exception):
    """Forward does not run in float64."""


@dataclass(slots=True)
class Run:
    """Module to be run, call after call; with another copy for samples that differ by a rounding."""

    torch: Any
    module: Any
    read: Read
    axes: Axes
    dtype: Any
    symbols: int
    copy: Any = None
    inside: Any = None
    sizes: dict[int, Mapping[str, int]] = field(default_factory=dict)
    """Open lengths of forward's samples by the steps of the model, where its samples are another module's output."""
    given: Any = None
    """What that module returns instead."""

    @property
    def title(self) -> str:
        return f"{type(self.module).__name__}.forward"

    def steady(self, xs: AnyArray, states: States) -> AnyArray:
        """Return as many of the samples as a network that amplifies roundings can be compared on."""
        for steps in (length for length in LENGTHS if length <= len(xs)):
            if self.is_steady(xs[:steps], states):
                return xs[:steps]
        return xs[: LENGTHS[-1]]

    def is_steady(self, xs: AnyArray, states: States) -> bool:
        """True if a rounding of samples hardly changes what forward returns; symbols have none."""
        if self.symbols:
            return True
        found = []
        for moved in (xs, xs * (1 + 1e-13 * np.sign(np.sin(np.arange(len(xs)))))[:, None, None]):
            self.copy = None
            found.append(self.outputs(moved, states))
        self.copy = None
        return all(_near(a, b, _STEADY) for a, b in zip(*found, strict=True))

    def lengthen(self, *, far: bool) -> list[int]:
        """Choose lengths of forward's samples, where those of the model are another module's output.

        Parameters
        ----------
        far
            True for hundreds of steps, if forward runs with the samples for these.

        Returns
        -------
        list of int
            Numbers of steps, the most first.

        Raises
        ------
        UnsupportedError
            Forward does not call the module once.
        """
        sizes = self.read.call.sizes[-1]
        calls = self._shapes_behind(sizes)
        if len(calls) != 1:
            raise UnsupportedError(
                f"from_torch after names {self.read.after!r}, which forward calls {len(calls)} times, expected once."
            )
        self.sizes = {self.axes.steps: sizes}
        for name, length in sizes.items() if far else ():
            longer = {**sizes, name: length * -(-LENGTHS[0] // self.axes.steps)}
            for shape in self._shapes_behind(longer)[:1]:
                steps, batch = self.axes.lengths(shape)
                if batch == self.axes.batch:
                    self.sizes[steps] = longer
        return sorted(self.sizes, reverse=True)

    def _shapes_behind(self, sizes: Mapping[str, int]) -> list[tuple[int, ...]]:
        """Shapes of what the module returns, call by call; none if forward does not run with these lengths."""
        found = []
        fresh = in_use(self.module)
        fresh.get_submodule(self.read.after).register_forward_hook(
            lambda _, given, output: found.append(tuple(tensors_of(self.torch, output)[0].shape))
        )
        try:
            with self.torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fresh(*self.read.call.made(self.torch, sizes))
        except Exception:  # forward is user code: it may raise anything
            return []
        return found

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
                    if self.read.after:
                        self.copy.get_submodule(self.read.after).register_forward_hook(self._replaced)
                    if self.read.inside:
                        self.copy.get_submodule(self.read.inside).register_forward_hook(self._note)
                buffers = dict(self.copy.named_buffers())
                for target, name, _ in self.read.program.kept:
                    if is_read(self.read.reading, name):
                        buffers[target].copy_(self._tensor(old_states(self.read.reading, name, states)))
                found = tensors_of(torch, self.copy(*self._arguments(xs, states)))
                buffers = dict(self.copy.named_buffers())
                found = [self._main(found), *found, *(buffers[target] for target, _, _ in self.read.program.kept)]
                return [each.double().numpy().copy() for each in found]
        except Exception as error:  # forward is user code: it may raise anything
            if self.dtype is torch.float64:
                raise CannotRunError from None
            raise UnsupportedError(
                f"from_torch could not run {self.title} to compare it: {type(error).__name__}: {str(error)[:200]}"
            ) from None
        finally:
            torch.set_default_dtype(before)

    def _note(self, _: Any, given: Any, output: Any) -> None:
        """Keep what a module inside returns."""
        self.inside = tensors_of(self.torch, output)[0]

    def _replaced(self, _: Any, given: Any, output: Any) -> Any:
        """Return the samples of the model in place of what a module inside returns."""
        leaves, tree = self.torch.utils._pytree.tree_flatten(output)
        leaves[[isinstance(each, self.torch.Tensor) for each in leaves].index(True)] = self.given
        return self.torch.utils._pytree.tree_unflatten(leaves, tree)

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
        reading, call = self.read.reading, self.read.call

        def filled(tree: Any, made: Any) -> Any:
            if isinstance(tree, tuple):
                return tuple(map(filled, tree, made))
            if not isinstance(tree, Leaf):
                return tree
            name = next(names)
            return self._tensor(old_states(reading, name, states)) if is_read(reading, name) else made.to(self.dtype)

        array = self.axes.laid_out(xs)
        samples = self.torch.from_numpy(array.astype(np.int64)) if self.symbols else self._tensor(array)
        made = call.made(self.torch, self.sizes.get(len(xs), call.sizes[-1]))
        if self.read.after:
            self.given, samples = samples, made[0] if call.samples.symbols else made[0].to(self.dtype)
        return [samples, *map(filled, call.args[1:], made[1:])]

    def difference(self, given: Sequence[AnyArray], ys: AnyArray, ends: States, tolerance: float) -> str:
        """Describe the first output that differs, of those given; empty if none does."""
        read = self.read
        names = [read.reading.output, *read.program.outputs, *(out for _, _, out in read.program.kept)]
        for place, (name, array) in enumerate(zip(names, given, strict=False)):
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
