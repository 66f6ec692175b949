"""Check that an exported graph computes what the model does: reference, Stream and onnxruntime on the same samples."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.arrays import plain_array
from edge_rnn.checks import whole
from edge_rnn.errors import InputError
from edge_rnn.model import Model
from edge_rnn.recordings.random_samples import random_samples
from edge_rnn.sampling import generate
from edge_rnn.sampling.symbols import alphabet
from edge_rnn.sampling.symbols import samples as as_samples
from edge_rnn.spelling import counted
from edge_rnn.streams.stream import Stream
from edge_rnn.typing import F32, AnyArray
from edge_rnn_export.verification.comparison import Comparison, Target, compare, differing_pairs
from edge_rnn_export.verification.graph_steps import OnnxSteps
from edge_rnn_export.verification.magnitudes import magnitudes
from edge_rnn_export.verification.report import Deviation, Report
from edge_rnn_export.writers.onnx.metadata import mismatches, precision_of
from edge_rnn_export.writers.onnx.precision import has_ranges
from edge_rnn_export.writers.onnx.spec import ExportSpec

__all__ = ["DRIFT_FACTOR", "TOLERANCE", "TOLERANCE_LIMIT", "verify"]


TOLERANCE = 1e-5
"""Maximum difference of a step from the same states, relative to the magnitude of each output or unit.

:mod:`edge_rnn_export.verification.magnitudes` defines the magnitude: at least the channel's own largest value; for a
sum, the magnitudes of its terms.

Float32 rounding is 6e-8 of a value. A misplaced gate, a missing bias or a dropped option shows at 1e-3 and above. 1e-5
lies in between. Runs of many steps may differ by that too, or by more if float32 itself does: an ordinary network's
loop forgets the rounding of each step, and such networks stay within 3e-6 of float64 for any number of steps, but a
network at the edge of chaos amplifies a difference of 1e-7 to 1 within a few dozen steps.
"""

TOLERANCE_LIMIT = 1e-3
"""Upper limit of the step tolerance for a network that amplifies rounding within one step."""

DRIFT_FACTOR = 16
"""Allowed ratio of another float32 program's drift to that of the reference computed in float32.

The programs differ in summation order and in their approximation of tanh (3e-7).
"""

_STEPS = 1000
"""Default number of steps, at least."""

_SPELLED = {"logits": "scores, without the model's softmax", "probabilities": "probabilities, with an added softmax"}


def verify(
    model: Model,
    path: str | PathLike[str],
    *,
    steps: int | None = None,
    xs: ArrayLike | None = None,
    seed: int = 0,
) -> Report:
    """Compare reference (float64), Stream and onnxruntime on the same samples, including every state.

    Parameters
    ----------
    path
        ``.onnx`` file that :func:`~edge_rnn_export.to_onnx` wrote for the model. If it declares that it outputs scores
        or probabilities instead of the model's own output, these are compared. A greedy graph is run on symbols, and
        each symbol that it chooses has to be the first of its largest outputs.
    steps
        Number of steps. None: 1000, or the length of ``xs`` if that is larger.
    xs
        ``(time, input_size)`` recorded samples, used from the start: cut to ``steps`` if longer, repeated if shorter.
        None: normally distributed samples with the mean and scale of the Standardize layer at the input; for a greedy
        graph, what the network generates itself.
    seed
        Seed of the random samples.

    Returns
    -------
    Report
        ``report.passed`` is True if the file may be used; ``print(report)`` shows a table. A file that declares another
        model or other initial states never passes.

    Raises
    ------
    InputError
        ``steps`` or ``xs`` are invalid, the model's values overflow float32 on these samples, or the graph's inputs or
        outputs are not the model's.
    FileError
        The file cannot be read, or onnxruntime rejects it or does not finish: it runs in a separate process with limits
        of time and memory.
    UnsupportedError
        onnxruntime is not installed, or the model has no output of the kind that the graph declares.

    Notes
    -----
    Each step of Stream and of onnxruntime is compared with a step of the reference from the same states. Then whole
    runs with carried state are compared, with the drift of a float32 program as tolerance: that of the reference
    computed in float32, which is measured and reported (``report.drift``). For networks at the edge of chaos the drift
    is unbounded; their runs cannot be judged, but each step can, as for any other network. Tolerances are relative to
    each output and unit separately, so that large ones do not hide small ones. See :data:`TOLERANCE` and
    :data:`DRIFT_FACTOR`.

    The reference runs along for 5e8 multiply-adds: 1000 steps of up to half a million weights. For larger networks,
    runs are compared over fewer steps (``report.along``), and single steps to the end.

    A graph in smaller formats is compared with the same weights, dequantized to float32, in reference and Stream. If it
    rounds vectors to 8 bits, the reference for single steps rounds them too
    (:mod:`edge_rnn_export.verification.rounded_reference`); the effect of rounding over all steps is reported in
    ``report.rounding`` for the user to judge.
    """
    with closing(OnnxSteps(model, path)) as graph:
        return _verified(model, graph, steps, xs, seed)


def _verified(model: Model, graph: OnnxSteps, steps: int | None, xs: ArrayLike | None, seed: int) -> Report:
    export = ExportSpec(precision=precision_of(graph.metadata), head=graph.head).resolve(model, "verify")
    changed = export.computed is not model
    told = f"The graph's y contains {_SPELLED[graph.head]}; the model was compared accordingly." if changed else ""
    model = export.computed
    samples = _samples(model, steps, xs, seed, symbols=graph.head == "greedy")
    target = Target.of(export)
    run = compare(target, graph, samples)
    scales = magnitudes(target.plain, samples, run.peaks)
    drift = max(float((run.apart[name][3] / scale).max()) for name, scale in scales.items())
    rounding = max(float((run.single[name][2] / scale).max()) for name, scale in scales.items())
    tolerance = max(DRIFT_FACTOR * drift, TOLERANCE)
    step_tolerance = float(np.clip(DRIFT_FACTOR * rounding, TOLERANCE, TOLERANCE_LIMIT))
    limits = (tolerance, step_tolerance)
    deviations = tuple(_deviation(name, run, limits, scales[name], target.rounding is not None) for name in scales)
    wrong, missing = mismatches(model, graph.metadata)
    notes = (*missing, *([told] if told else []))
    if run.along < len(samples):
        notes += (
            f"Runs were compared over the first {counted(run.along, 'step')}, single steps over all {len(samples)}.",
        )
    if has_ranges(target.held):
        notes += (
            "The model has ranges to which Stream clips vectors; the graph computes each vector's range instead.",
        )
    allowed = {name: step_tolerance * scale for name, scale in scales.items()}
    if target.rounding is not None:
        notes += (
            "ONNX rounds vectors to 8 bits; each step is compared with a reference that does so from the same states.",
        )
        if run.compared < len(samples):
            missed = counted(len(samples) - run.compared, "step")
            notes += (f"In {missed} a value was at a rounding tie; not compared.",)
        if not run.compared:
            wrong += ("No step could be compared, since each had a value at a rounding tie; take more steps.",)
    if graph.takes_sequences:
        with np.errstate(over="ignore", invalid="ignore"):  # a non-finite value counts as different
            found = _compared_whole(target, graph, samples, run, allowed, {n: tolerance * s for n, s in scales.items()})
        wrong, notes = wrong + found[0], notes + found[1]
    if graph.chose_otherwise:
        wrong += ("The graph's next_symbol is not the index of the largest of its outputs y.",)
    return Report(
        steps=len(samples),
        deviations=deviations,
        drift=drift,
        tolerance=tolerance,
        step_tolerance=step_tolerance,
        along=run.along,
        mismatches=wrong,
        notes=notes,
        rounding=run.rounding,
        single_steps=target.rounding is not None,
    )


def _compared_whole(
    target: Target,
    graph: OnnxSteps,
    samples: F32,
    run: Comparison,
    allowed: Mapping[str, AnyArray],
    over_runs: Mapping[str, AnyArray],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return problems and notes from calls with many samples."""
    wrong: tuple[str, ...] = ()
    if len(samples) > 2:
        differ, compared = differing_pairs(target, graph, samples, run, allowed)
        if differ or not compared:
            what = f"another {' and '.join(differ)} than they should" if differ else "nothing that could be compared"
            wrong += (f"Two samples in one call give {what}.",)
    start = samples[: run.along]
    ys, last = graph.whole(start)
    if target.rounding is not None:
        off, own = np.square(ys - run.exact).sum(), np.square(run.exact).sum()
        relative = np.sqrt(off / own if own > 0 else off)
        return wrong, (f"All samples in one call share one range: y is off by {relative:.1e} then.",)
    stepped = {
        name: values[: run.along] if name == "y" else values[run.along - 1] for name, values in run.values.items()
    }
    for name, values in {"y": ys, **last}.items():
        if not (np.abs(values - stepped[name]) <= over_runs[name]).all():
            wrong += (f"All samples in one call give another {name} than one by one.",)
    return wrong, ()


def _deviation(name: str, run: Comparison, limits: tuple[float, float], scale: AnyArray, by_steps: bool) -> Deviation:
    """Summarize one output or state, given the magnitudes of its channels.

    ``limits``: tolerances of runs and of steps. ``by_steps``: if True, runs of onnxruntime are not judged, since
    rounding makes them diverge.
    """
    apart, single = run.apart[name][:3], run.single[name][:2]
    over_runs, over_steps = limits
    shares = np.concatenate([(apart[:1] if by_steps else apart) / (over_runs * scale), single / (over_steps * scale)])
    worst = int(np.argmax(shares.max(axis=0)))  # NaN counts as the largest
    stream, onnx, both, step_stream, step_onnx = (float(values.max()) for values in (*apart, *single))
    return Deviation(
        name=name,
        peak=float(run.peaks[name].max()),
        tolerance=float(over_runs * scale[worst]),
        reference_vs_stream=stream,
        reference_vs_onnx=step_onnx if by_steps else onnx,
        stream_vs_onnx=both,
        share=float(shares[:, worst].max()),
        channel=worst,
        step_stream=step_stream,
        step_onnx=step_onnx,
    )


def _samples(model: Model, steps: int | None, xs: ArrayLike | None, seed: int, symbols: bool) -> F32:
    least_of_recording, steps = steps is None, _STEPS if steps is None else steps
    whole("verify", "steps", steps, 1, 2**31 - 1)
    whole("verify", "seed", seed, 0, 2**64 - 1, expected="a whole number from 0 to 2**64 - 1")
    if xs is None and symbols:
        # Use generated text, which is what the network will read; random symbols drive a trained network off course.
        first = int(np.random.default_rng(seed).integers(model.vocabulary_size))
        written = generate(Stream(model), [first], max_length=steps, seed=seed).symbols
        return as_samples(alphabet(model, "verify"), written)
    if xs is None:
        return random_samples(model, steps, seed)
    try:
        with np.errstate(over="ignore"):
            recorded = np.asarray(plain_array(xs), dtype=np.float32)
    except (TypeError, ValueError):
        raise InputError(f"verify xs is not an array of numbers; expected (time, {model.input_size}).") from None
    if recorded.ndim != 2 or recorded.shape[1] != model.input_size or len(recorded) == 0:
        raise InputError(
            f"verify xs got shape {recorded.shape}, expected (time, {model.input_size}) with at least one row."
        )
    if not np.isfinite(recorded).all():
        raise InputError("verify xs has values that are not finite in float32; remove those samples.")
    if least_of_recording and len(recorded) > steps:
        return recorded
    return np.resize(recorded, (steps, model.input_size))
