"""That an exported graph computes what the model says: reference, Stream and onnxruntime on the same samples."""

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
from edge_rnn_export.writers.onnx.head import with_head
from edge_rnn_export.writers.onnx.metadata import mismatches, precision_of
from edge_rnn_export.writers.onnx.precision import has_ranges

__all__ = ["DRIFT_FACTOR", "TOLERANCE", "TOLERANCE_LIMIT", "verify"]


TOLERANCE = 1e-5
"""What a step from the same states may differ by in an output or unit, times what its values are made of.

What that is says :mod:`edge_rnn_export.verification.magnitudes`: at least the channel's own largest value; of a sum,
its terms.

Float32 rounds by 6e-8 of a value. A gate in the wrong place, a bias left out or an option dropped is seen at 1e-3 and
above. 1e-5 lies between. Runs of many steps may differ by that too, and by more where float32 itself does: what a step
adds the loop of an ordinary network forgets again, and such networks stay within 3e-6 of float64 for any number of
steps, but one on the edge of chaos makes a difference of 1e-7 one of 1 within some dozens.
"""

TOLERANCE_LIMIT = 1e-3
"""As far as the tolerance of a step is raised for a network that amplifies rounding within one step."""

DRIFT_FACTOR = 16
"""How much further than the reference computed in float32 another program in float32 may go.

They add in another order, and approximate tanh (3e-7).
"""

_STEPS = 1000
"""Steps that are compared where nothing is said, at least."""

_SPELLED = {"logits": "scores, without the model's softmax", "probabilities": "probabilities, by a softmax of its own"}


def verify(
    model: Model,
    path: str | PathLike[str],
    *,
    steps: int | None = None,
    xs: ArrayLike | None = None,
    seed: int = 0,
) -> Report:
    """Compare reference (float64), Stream and onnxruntime on the same samples, every state compared.

    Parameters
    ----------
    path
        ``.onnx`` file that :func:`~edge_rnn_export.to_onnx` wrote for the model. Where it says that it gives scores or
        probabilities in place of the model's own output, these are compared; and of a greedy graph, which is run on
        symbols, each choice has to be the first of its largest outputs.
    steps
        How many steps. None: 1000, or as many as there are ``xs`` where these are more.
    xs
        ``(time, input_size)`` recorded samples, from the start: of more than ``steps`` the first ones are taken, fewer
        are repeated. None: normally distributed ones, around the mean and by the scale of the Standardize layer that
        reads the input; for a greedy graph, what the network writes by itself.
    seed
        Of the random samples.

    Returns
    -------
    Report
        ``report.passed`` says whether the file may be used; ``print(report)`` shows a table. A file that says that it
        was written for another model, or for other initial states, has not passed whatever the figures are.

    Raises
    ------
    InputError
        ``steps`` or ``xs`` do not fit, the model's values leave the range of float32 on these samples, or the graph's
        inputs or outputs are not the model's.
    FileError
        The file cannot be read, or onnxruntime does not take it, or came to no end with it: it runs in a process of its
        own, with limits of time and memory.
    UnsupportedError
        onnxruntime is not installed, or the model has no such output as the graph says that it gives.

    Notes
    -----
    Each step of Stream and of onnxruntime is held against a step of the reference from the same states. Then runs are
    compared, state carried, within what a program in float32 drifts by: the reference computed in float32, which is
    measured and told (``report.drift``). Networks on the edge of chaos drift by as much as there is; of their runs
    nothing can be asked, of each step as much as of any other network. Tolerances are relative to each output and unit
    alone, so that large ones do not hide small ones. See :data:`TOLERANCE` and :data:`DRIFT_FACTOR`.

    The reference runs along for 5e8 multiply-adds: for 1000 steps of up to half a million weights. Of larger networks
    runs are compared over fewer steps (``report.along``), and single ones to the end.

    A graph of smaller formats is compared with the same weights, as the float32 numbers that they stand for, in
    reference and Stream. Where it rounds vectors to 8 bits, the reference that takes single steps rounds them likewise
    (:mod:`edge_rnn_export.verification.rounded_reference`); how far rounding carries the graph over all steps is told
    in ``report.rounding``, and for the user to judge.
    """
    with closing(OnnxSteps(model, path)) as graph:
        return _verified(model, graph, steps, xs, seed)


def _verified(model: Model, graph: OnnxSteps, steps: int | None, xs: ArrayLike | None, seed: int) -> Report:
    computed = with_head(model, graph.head, "verify")
    told = f"The graph's y are {_SPELLED[graph.head]}; the model was compared so." if computed is not model else ""
    model = computed
    samples = _samples(model, steps, xs, seed, symbols=graph.head == "greedy")
    target = Target.of(model, precision_of(graph.metadata))
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
        notes += ("The model states ranges beyond which Stream clips vectors; the graph clips none, each has its own.",)
    allowed = {name: step_tolerance * scale for name, scale in scales.items()}
    if target.rounding is not None:
        notes += (
            "ONNX rounds vectors to 8 bits: each step is held against the reference that does so from the same states.",
        )
        if run.compared < len(samples):
            missed = counted(len(samples) - run.compared, "step")
            notes += (f"In {missed} a value stood at a toss-up of rounding: not compared.",)
        if not run.compared:
            wrong += ("No step could be compared, each had a value at a toss-up of rounding; take more steps.",)
    if graph.takes_sequences:
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite differs
            found = _compared_whole(target, graph, samples, run, allowed, {n: tolerance * s for n, s in scales.items()})
        wrong, notes = wrong + found[0], notes + found[1]
    if graph.chose_otherwise:
        wrong += ("The graph's next_symbol is not the place of the largest of its outputs y.",)
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
    """What is wrong, and notes, of calls with many samples."""
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
    """What was found in one output or state, given what its channels' values are made of.

    ``limits``: of runs and of steps. ``by_steps``: runs of onnxruntime are not judged, as rounding carries them away.
    """
    apart, single = run.apart[name][:3], run.single[name][:2]
    over_runs, over_steps = limits
    shares = np.concatenate([(apart[:1] if by_steps else apart) / (over_runs * scale), single / (over_steps * scale)])
    worst = int(np.argmax(shares.max(axis=0)))  # a NaN counts as the largest
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
        # What the network writes by itself is what it will read; among symbols at random, trained ones lose their way.
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
        raise InputError(f"verify xs got shape {recorded.shape}, expected (time, {model.input_size}), time 1 or more.")
    if not np.isfinite(recorded).all():
        raise InputError("verify xs holds values that are not finite in float32; leave those samples out.")
    if least_of_recording and len(recorded) > steps:
        return recorded
    return np.resize(recorded, (steps, model.input_size))
