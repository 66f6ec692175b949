"""Reference, Stream and onnxruntime on the same samples, one step after the other, and how far apart they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn import dequantize, reference
from edge_rnn.errors import InputError
from edge_rnn.model import Model
from edge_rnn_export.onnx_steps import OnnxSteps
from edge_rnn_export.precision import at_precision, rounded_vectors
from edge_rnn_export.report import Rounding
from edge_rnn_export.rounded import RoundedReference

__all__ = ["Comparison", "Target", "compare", "differing_pairs"]

Array = NDArray[Any]
Values = Mapping[str, Array]

_PAIRS = 100
"""Calls with two samples each, from states along the run, by which a graph of sequences is compared."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a graph stands for.

    Parameters
    ----------
    model
        As it was given.
    held
        With its matrices in the formats in which the graph holds them.
    plain
        With these matrices as the float32 arrays that they stand for.
    rounding
        The reference that rounds vectors to 8 bits as the graph does; None where that rounds none.
    """

    model: Model
    held: Model
    plain: Model
    rounding: RoundedReference | None

    @classmethod
    def of(cls, model: Model, precision: str | None) -> Target:
        """The target of a graph of the model at a precision; see :func:`~edge_rnn_export.to_onnx`."""
        held = at_precision(model, precision)
        plain, rounded = dequantize(held), rounded_vectors(held, precision)
        return cls(model, held, plain, RoundedReference(plain, rounded) if rounded else None)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a run of many steps found.

    Parameters
    ----------
    most
        For the output and each state: largest absolute values, then largest differences: Stream, onnxruntime, the two,
        reference with rounded states; each ``(channels,)``. That of onnxruntime is from the reference as it runs along;
        where vectors are rounded, from one step of it from onnxruntime's own states, with vectors rounded likewise.
    compared
        Steps in which onnxruntime was compared: where vectors are rounded, those without a toss-up.
    exact
        Outputs of the reference, ``(steps, output_size)``.
    values
        What onnxruntime gave, ``(steps, channels)``.
    rounding
        What rounding does to outputs and states over the run; empty for a graph of a float32 model.
    """

    most: dict[str, Array]
    compared: int
    exact: Array
    values: dict[str, Array]
    rounding: tuple[Rounding, ...]


def compare(target: Target, graph: OnnxSteps, samples: NDArray[np.float32]) -> Comparison:
    """Run all of them over the samples, the state carried."""
    plain, small = target.plain, target.held is not target.plain
    names = ["y", *plain.initial_state]
    most = {name: np.zeros((5, 1)) for name in names}
    # Sums of squares: onnxruntime and Stream from the reference, onnxruntime from float32's, the reference's own.
    off = {name: np.zeros(4) for name in names}
    given: list[Values] = []
    outputs: list[Array] = []
    before: Values = plain.initial_state
    compared = 0
    changed = target.held is not target.model
    origin = dequantize(target.model)
    with np.errstate(over="ignore", invalid="ignore"):
        for x, exact, stream, onnx, rounded, own, first in zip(
            samples,
            _reference_steps(plain, samples, np.float64),
            _stream_steps(plain, samples),
            graph.steps(samples),
            _reference_steps(plain, samples, np.float32),
            _stream_steps(target.held, samples) if small else repeat(None),
            _reference_steps(origin, samples, np.float64) if changed else repeat(None),
            strict=False,
        ):
            expected: Values | None = exact
            if target.rounding is not None:
                ys, states, toss_up = target.rounding.steps(x[None], before, onnx)
                expected = None if toss_up else {"y": ys[0], **states}
            compared += expected is not None
            for name in names:
                a, b, c, d = exact[name], stream[name], onnx[name], rounded[name]
                step = np.zeros_like(a) if expected is None else expected[name] - c
                most[name] = np.maximum(most[name], np.abs([a, a - b, step, b - c, a - d]))
                others = [c, a if own is None else own[name]] - a, c - (c if first is None else first[name]), a
                off[name] += [np.square(each).sum() for each in (*others[0], *others[1:])]
            given.append(onnx)
            outputs.append(exact["y"])
            before = onnx
    values = {name: np.array([each[name] for each in given]) for name in names}
    rounding = tuple(_rounding(name, sums, changed) for name, sums in off.items()) if small else ()
    return Comparison(most, compared, np.array(outputs), values, rounding)


def differing_pairs(
    rounding: RoundedReference, graph: OnnxSteps, samples: NDArray[np.float32], run: Comparison, allowed: Values
) -> tuple[list[str], int]:
    """Hold calls with two samples each against the reference that rounds the vectors of both to one range.

    Longer ones would be no other test of the loop, and of more and more values nobody could tell how they are rounded.

    Returns
    -------
    The outputs and states that differ by more than is allowed, and how many calls were compared.
    """
    differ: set[str] = set()
    compared = 0
    for t in np.unique(np.linspace(1, len(samples) - 2, _PAIRS).astype(int)):
        both = samples[t : t + 2]
        begin = {name: values[t - 1] for name, values in run.values.items() if name != "y"}
        ys, states, toss_up = rounding.steps(both, begin)
        if toss_up:
            continue
        compared += 1
        y, last = graph.whole(both, begin)
        for name, off in {"y": y - ys, **{name: last[name] - states[name] for name in last}}.items():
            if not (np.abs(off) <= allowed[name]).all():
                differ.add(name)
    return sorted(differ), compared


def _rounding(name: str, sums: Array, changed: bool) -> Rounding:
    own = float(sums[3])
    onnx, stream, total = (float(np.sqrt(each / own if own > 0 else each)) for each in sums[:3])
    return Rounding(name, onnx, stream, total if changed else None)


def _reference_steps(model: Model, samples: Array, state_dtype: type) -> Iterator[dict[str, Array]]:
    """Output and states of the reference after each step, the state carried in the given type."""
    for t, (y, state) in enumerate(reference.steps(model, samples, state_dtype)):
        # A state that was rounded beyond float32 is infinite.
        if not all(np.abs(values).max() <= np.finfo(np.float32).max for values in (y, *state.values())):
            raise InputError(
                f"verify: the values of {model!r} leave the range of float32 at step {t} of these samples; hand a "
                f"recording over as xs."
            )
        yield {"y": y, **state}


def _stream_steps(model: Model, samples: Array) -> Iterator[dict[str, Array]]:
    from edge_rnn.stream import Stream

    stream = Stream(model)
    for x in samples:
        y = stream.step(x)
        yield {"y": y.astype(np.float64), **{name: h.astype(np.float64) for name, h in stream.state.items()}}
