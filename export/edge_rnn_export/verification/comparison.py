"""Reference, Stream and onnxruntime on the same samples: each step from the same states, and runs side by side.

What decides is single steps: from the states that Stream had, and from those that onnxruntime had, the reference takes
the same step. If each step is right, the run is, however far a network that amplifies rounding is carried from float64
by it. How far any program in float32 is carried is measured by one: the reference, computed in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from edge_rnn import reference
from edge_rnn.errors import InputError
from edge_rnn.model import Model
from edge_rnn.quantization import dequantize
from edge_rnn.quantization.calibration import relative_rms
from edge_rnn.typing import F32, AnyArray
from edge_rnn_export.verification.graph_steps import OnnxSteps
from edge_rnn_export.verification.report import Rounding
from edge_rnn_export.verification.rounded_reference import RoundedReference
from edge_rnn_export.writers.onnx.precision import at_precision, rounded_vectors

__all__ = ["Comparison", "Target", "compare", "differing_pairs"]

Values = Mapping[str, AnyArray]

_PAIRS = 100
"""Calls with two samples each, from states along the run, by which a graph of sequences is compared."""

_ALONG_WORK = 5 * 10**8
"""Multiply-adds, about a second, in which the reference runs along from the start; single steps are compared beyond."""

_LEAST_ALONG = 100

_BLOCK = 256
"""Steps that the reference takes in one product of matrices."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What a run of many steps found.

    Parameters
    ----------
    peaks
        For the output and each state the reference's largest absolute values, ``(channels,)``.
    apart
        Likewise, over the steps in which the reference ran along: largest differences of Stream from it, of onnxruntime
        from it, of the two, and of the reference in float32 from it; ``(4, channels)``.
    single
        Likewise, of single steps from the same states: of Stream, of onnxruntime, and of the reference in float32;
        ``(3, channels)``. Where vectors are rounded to 8 bits, the reference does so too beside onnxruntime.
    along
        Steps in which the reference ran along, from the start.
    compared
        Steps in which onnxruntime was compared from its own states: where vectors are rounded, those without a toss-up.
    exact
        Outputs of the reference, ``(along, output_size)``.
    values
        What onnxruntime gave, ``(steps, channels)`` float32.
    rounding
        What rounding does to outputs and states over the run; empty for a graph of a float32 model.
    """

    peaks: dict[str, AnyArray]
    apart: dict[str, AnyArray]
    single: dict[str, AnyArray]
    along: int
    compared: int
    exact: AnyArray
    values: dict[str, AnyArray]
    rounding: tuple[Rounding, ...]


def compare(target: Target, graph: OnnxSteps, samples: F32) -> Comparison:
    """Run all of them over the samples, the state carried; then take each step by itself."""
    plain, small = target.plain, target.held is not target.plain
    along = min(len(samples), max(_LEAST_ALONG, _ALONG_WORK // max(1, plain.multiply_adds)))
    start = samples[:along]
    exact = _stacked(_reference_steps(plain, start))
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = _stacked(_computed_steps(plain, start, np.float32))
        stream, onnx = _stacked(_stream_steps(plain, samples)), _stacked(graph.steps(samples))
        own = _stacked(_stream_steps(target.held, start)) if small else exact
        changed = target.held is not target.model
        first = _stacked(_reference_steps(dequantize(target.model), start)) if changed else exact
        apart, rounding = {}, []
        for name, a in exact.items():
            b, c = stream[name][:along], onnx[name][:along]
            apart[name] = _largest(b - a, c - a, b - c, rounded[name] - a)
            if small:
                sums = [float(np.square(each).sum()) for each in (c - a, own[name] - a, c - first[name], a)]
                rounding.append(_rounding(name, sums, changed))
        plainly = _single_steps(plain, samples, onnx)
        peaks = {name: np.maximum(_largest(exact[name]), _largest(plainly[name]))[0] for name in exact}
        some = np.unique(np.linspace(0, len(samples) - 1, _BLOCK).astype(int))
        mine, few = _single_steps(plain, samples, stream), _single_steps(plain, samples, stream, some, np.float32)
        expected, compared = plainly, len(samples)
        if target.rounding is not None:
            expected, compared = _rounded_steps(target.rounding, plain.initial_state, samples, onnx)
        single = {
            name: np.concatenate(
                [
                    _largest(stream[name] - mine[name], onnx[name] - expected[name]),
                    _largest(few[name] - mine[name][some]),
                ]
            )
            for name in exact
        }
    return Comparison(peaks, apart, single, along, compared, exact["y"], onnx, tuple(rounding))


def differing_pairs(
    target: Target, graph: OnnxSteps, samples: F32, run: Comparison, allowed: Values
) -> tuple[list[str], int]:
    """Hold calls with two samples each against what two steps from the same states give.

    Where vectors are rounded to 8 bits, that is the reference that rounds the vectors of both to one range; longer
    calls would be no other test of the loop, and of more and more values nobody could tell how they are rounded.
    Otherwise it is what the graph itself gave, sample by sample.

    Returns
    -------
    The outputs and states that differ by more than is allowed, and how many calls were compared.
    """
    differ: set[str] = set()
    compared = 0
    for t in np.unique(np.linspace(1, len(samples) - 2, _PAIRS).astype(int)):
        both = samples[t : t + 2]
        begin = {name: values[t - 1] for name, values in run.values.items() if name != "y"}
        if target.rounding is not None:
            ys, states, toss_up = target.rounding.steps(both, begin)
            if toss_up:
                continue
        else:
            ys, states = run.values["y"][t : t + 2], {name: run.values[name][t + 1] for name in begin}
        compared += 1
        y, last = graph.whole(both, begin)
        for name, off in {"y": y - ys, **{name: last[name] - states[name] for name in last}}.items():
            if not (np.abs(off) <= allowed[name]).all():
                differ.add(name)
    return sorted(differ), compared


def _rounding(name: str, sums: Sequence[float], changed: bool) -> Rounding:
    onnx, stream, total = (relative_rms(each, sums[3]) for each in sums[:3])
    return Rounding(name, onnx, stream, total if changed else None)


def _largest(*differences: AnyArray) -> AnyArray:
    """Largest absolute values of each over the steps, ``(len(differences), channels)``; NaN where there is one."""
    return np.array([np.abs(each).max(axis=0, initial=0.0) for each in differences])


def _stacked(steps: Iterator[Values]) -> dict[str, AnyArray]:
    """Output and states, ``(steps, channels)`` each, of values step by step."""
    rows = list(steps)
    return {name: np.array([each[name] for each in rows]) for name in rows[0]}


def _single_steps(
    model: Model, samples: AnyArray, given: Values, places: AnyArray | None = None, computed: DTypeLike = np.float64
) -> dict[str, AnyArray]:
    """Output and states of the reference, each step from the states that another program had before it."""
    places = np.arange(len(samples)) if places is None else places
    begin = {name: np.concatenate([value[None], given[name][:-1]]) for name, value in model.initial_state.items()}
    found: list[Values] = []
    for first in range(0, len(places), _BLOCK):
        which = places[first : first + _BLOCK]
        before = {name: _finite(rows[which]) for name, rows in begin.items()}
        y, after = reference.single_steps(model, samples[which], before, computed)
        found.append({"y": y, **after})
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def _finite(states: AnyArray) -> AnyArray:
    """States to go on from; a program that has lost its own differs from the reference in the step before."""
    return np.where(np.isfinite(states), states, 0)


def _rounded_steps(
    rounding: RoundedReference, begin: Values, samples: AnyArray, onnx: Values
) -> tuple[dict[str, AnyArray], int]:
    """What onnxruntime should have given from its own states, what it gave where that is a toss-up; and in how many."""
    expected = {name: np.array(rows, np.float64) for name, rows in onnx.items()}
    before, compared = begin, 0
    for t, x in enumerate(samples):
        after = {name: rows[t] for name, rows in onnx.items()}
        ys, states, toss_up = rounding.steps(x[None], before, after)
        if not toss_up:
            for name, value in {"y": ys[0], **states}.items():
                expected[name][t] = value
        compared += not toss_up
        before = after
    return expected, compared


def _computed_steps(model: Model, samples: AnyArray, computed: DTypeLike) -> Iterator[dict[str, AnyArray]]:
    """Output and states of the reference after each step."""
    for y, state in reference.steps(model, samples, computed, computed):
        yield {"y": y, **state}


def _reference_steps(model: Model, samples: AnyArray) -> Iterator[dict[str, AnyArray]]:
    """The same in float64, found to be within float32's range."""
    for t, values in enumerate(_computed_steps(model, samples, np.float64)):
        if not all(np.abs(each).max() <= np.finfo(np.float32).max for each in values.values()):
            raise _beyond(model, t)
        yield values


def _beyond(model: Model, step: int) -> InputError:
    return InputError(
        f"verify: the values of {model!r} leave the range of float32 at step {step} of these samples; hand a recording "
        f"over as xs."
    )


def _stream_steps(model: Model, samples: AnyArray) -> Iterator[dict[str, AnyArray]]:
    from edge_rnn.streams.stream import Stream

    stream = Stream(model)
    for t, x in enumerate(samples):
        try:
            y = stream.step(x)
        except InputError:  # samples are finite, so it is what the network makes of them that is not
            raise _beyond(model, t) from None
        yield {"y": y.copy(), **stream.state}
