"""Comparison of reference, Stream and onnxruntime on the same samples, in single steps and in whole runs.

Single steps decide: from the states that Stream had, and from those that onnxruntime had, the reference takes the same
step. If each step is right, the run is too, however far the amplification of rounding carries it from float64. The
drift of a float32 program is measured on the reference, computed in float32.
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
from edge_rnn_export.writers.onnx.precision import rounded_vectors
from edge_rnn_export.writers.onnx.spec import ResolvedExport

__all__ = ["Comparison", "Target", "compare", "differing_pairs"]

Values = Mapping[str, AnyArray]

_PAIRS = 100
"""Number of calls with two samples, from states along the run, that check a sequence graph."""

_ALONG_WORK = 5 * 10**8
"""Multiply-adds (about a second) for which the reference runs along; later, only single steps are compared."""

_LEAST_ALONG = 100

_BLOCK = 256
"""Steps of the reference per matrix product."""


@dataclass(frozen=True, slots=True)
class Target:
    """Model that a graph represents.

    Parameters
    ----------
    model
        The model as given.
    held
        The model with its matrices in the formats that the graph stores.
    plain
        ``held`` with its matrices dequantized to float32.
    rounding
        Reference that rounds vectors to 8 bits as the graph does; None if the graph does not round.
    """

    model: Model
    held: Model
    plain: Model
    rounding: RoundedReference | None

    @classmethod
    def of(cls, export: ResolvedExport) -> Target:
        """Return the target of a graph."""
        held = export.weights
        plain, rounded = dequantize(held), rounded_vectors(held, export.spec.precision)
        return cls(export.computed, held, plain, RoundedReference(plain, rounded) if rounded else None)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Results of a run of many steps.

    Parameters
    ----------
    peaks
        For the output and each state, the largest absolute values of the reference, ``(channels,)``.
    apart
        Likewise, largest differences over the steps in which the reference ran along: of Stream and of onnxruntime from
        the reference, between the two, and of the float32 reference from the float64 one; ``(4, channels)``.
    single
        Likewise, for single steps from the same states: of Stream, of onnxruntime, and of the float32 reference; ``(3,
        channels)``. If the graph rounds vectors to 8 bits, onnxruntime is compared with a reference that does too.
    along
        Number of steps from the start in which the reference ran along.
    compared
        Number of steps in which onnxruntime was compared from its own states: with rounded vectors, those without ties.
    exact
        Outputs of the reference, ``(along, output_size)``.
    values
        Outputs and states of onnxruntime, ``(steps, channels)`` float32.
    rounding
        Effect of rounding on outputs and states over the run; empty for a graph of a float32 model.
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
    """Run all three over the samples with carried state; then compare single steps."""
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
    """Compare calls with two samples with two steps from the same states.

    If vectors are rounded to 8 bits, the expected values come from a reference that rounds the vectors of both samples
    to one range; longer calls would not test the loop any further, and would contain more and more values at rounding
    ties. Otherwise, they are the graph's own, sample by sample.

    Returns
    -------
    Names of outputs and states that differ by more than allowed, and the number of calls compared.
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
    """Largest absolute value of each array over the steps, ``(len(differences), channels)``; NaN if there is one."""
    return np.array([np.abs(each).max(axis=0, initial=0.0) for each in differences])


def _stacked(steps: Iterator[Values]) -> dict[str, AnyArray]:
    """Stack outputs and states of single steps to ``(steps, channels)`` each."""
    rows = list(steps)
    return {name: np.array([each[name] for each in rows]) for name in rows[0]}


def _single_steps(
    model: Model, samples: AnyArray, given: Values, places: AnyArray | None = None, computed: DTypeLike = np.float64
) -> dict[str, AnyArray]:
    """Outputs and states of the reference, each step from the states that another program had before it."""
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
    """Replace non-finite states; the step that produced them is already reported as different."""
    return np.where(np.isfinite(states), states, 0)


def _rounded_steps(
    rounding: RoundedReference, begin: Values, samples: AnyArray, onnx: Values
) -> tuple[dict[str, AnyArray], int]:
    """Expected values of onnxruntime from its own states, or its actual values at ties; number of steps compared."""
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
    """Yield output and states of the reference after each step."""
    for y, state in reference.steps(model, samples, computed, computed):
        yield {"y": y, **state}


def _reference_steps(model: Model, samples: AnyArray) -> Iterator[dict[str, AnyArray]]:
    """Yield the same in float64; raise InputError on float32 overflow."""
    for t, values in enumerate(_computed_steps(model, samples, np.float64)):
        if not all(np.abs(each).max() <= np.finfo(np.float32).max for each in values.values()):
            raise _beyond(model, t)
        yield values


def _beyond(model: Model, step: int) -> InputError:
    return InputError(
        f"verify: the values of {model!r} overflow float32 at step {step} of these samples; pass a recording as xs."
    )


def _stream_steps(model: Model, samples: AnyArray) -> Iterator[dict[str, AnyArray]]:
    from edge_rnn.streams.stream import Stream

    stream = Stream(model)
    for t, x in enumerate(samples):
        try:
            y = stream.step(x)
        except InputError:  # samples are finite, so the network's own values overflowed
            raise _beyond(model, t) from None
        yield {"y": y.copy(), **stream.state}
