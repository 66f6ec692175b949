"""That an exported graph computes what the model says: reference, Stream and onnxruntime on the same samples."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_rnn.errors import InputError
from edge_rnn.layers import Standardize
from edge_rnn.model import Model
from edge_rnn.sampling import generate
from edge_rnn.sampling.symbols import alphabet
from edge_rnn.sampling.symbols import samples as as_samples
from edge_rnn.spelling import counted
from edge_rnn.stream import Stream
from edge_rnn_export.comparison import Comparison, Target, compare, differing_pairs
from edge_rnn_export.magnitudes import magnitudes
from edge_rnn_export.onnx_metadata import mismatches, precision_of
from edge_rnn_export.onnx_output import with_head
from edge_rnn_export.onnx_steps import OnnxSteps
from edge_rnn_export.precision import has_ranges
from edge_rnn_export.report import Deviation, Report
from edge_rnn_export.rounded import RoundedReference

__all__ = ["DRIFT_FACTOR", "TOLERANCE", "TOLERANCE_LIMIT", "verify"]

Array = NDArray[Any]

TOLERANCE = 1e-5
"""What any two of the three may differ by in an output or unit, times what its values are made of.

What that is says :mod:`edge_rnn_export.magnitudes`: at least the channel's own largest value; of a sum, its terms.

Float32 rounds by 6e-8 of a value, and what a step adds the loop of an ordinary network forgets again: such networks
stay within 3e-6 of float64 for any number of steps. A gate in the wrong place, a bias left out or an option dropped is
seen at 1e-3 and above. 1e-5 lies between.
"""

TOLERANCE_LIMIT = 1e-4
"""As far as the tolerance is raised for a network that amplifies rounding.

Trained networks of high gain drift by up to 6e-5 in PyTorch's own float32.
"""

DRIFT_FACTOR = 64
"""How much further than a state's rounding alone a step in float32 may go.

Beside the state the sums that lead to a gate are rounded, and tanh is approximated (3e-7). Measured: 3 times the drift
at H = 8, 36 times at H = 256, the same for networks that forget fast and for those that amplify.
"""

_SPELLED = {"logits": "scores, without the model's softmax", "probabilities": "probabilities, by a softmax of its own"}


def verify(
    model: Model,
    path: str | PathLike[str],
    *,
    steps: int = 1000,
    xs: ArrayLike | None = None,
    seed: int = 0,
) -> Report:
    """Compare reference (float64), Stream and onnxruntime on the same samples, state carried, every state compared.

    Parameters
    ----------
    path
        ``.onnx`` file that :func:`~edge_rnn_export.to_onnx` wrote for the model. Where it says that it gives scores or
        probabilities in place of the model's own output, these are compared; and of a greedy graph, which is run on
        symbols, each choice has to be the first of its largest outputs.
    steps
        How many steps at least.
    xs
        ``(time, input_size)`` recorded samples, repeated from the start where there are fewer than ``steps``. None:
        normally distributed ones, around the mean and by the scale of the Standardize layer that reads the input; for
        a greedy graph, what the network writes by itself.
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
    The tolerance starts from what the network itself does with rounding: a second reference runs along whose state is
    rounded to float32 after each step. It is relative to each output and unit alone, so that large ones do not hide
    small ones. See :data:`TOLERANCE`, :data:`TOLERANCE_LIMIT` and :data:`DRIFT_FACTOR`.

    A graph of smaller formats is compared with the same weights, as the float32 numbers that they stand for, in
    reference and Stream. Where it rounds vectors to 8 bits, each of its steps is held, within :data:`TOLERANCE`,
    against a step of the reference from the same states that rounds them likewise (:mod:`edge_rnn_export.rounded`); how
    far rounding carries it from the reference over all steps is told in ``report.rounding``, and for the user to judge.
    """
    with closing(OnnxSteps(model, path)) as graph:
        return _verified(model, graph, steps, xs, seed)


def _verified(model: Model, graph: OnnxSteps, steps: int, xs: ArrayLike | None, seed: int) -> Report:
    computed = with_head(model, graph.head, "verify")
    told = f"The graph's y are {_SPELLED[graph.head]}; the model was compared so." if computed is not model else ""
    model = computed
    samples = _samples(model, steps, xs, seed, symbols=graph.head == "greedy")
    target = Target.of(model, precision_of(graph.metadata))
    run = compare(target, graph, samples)
    scales = magnitudes(target.plain, samples, {name: most[0] for name, most in run.most.items()})
    drift = max(float((most[4] / scales[name]).max()) for name, most in run.most.items())
    tolerance = float(np.clip(DRIFT_FACTOR * drift, TOLERANCE, TOLERANCE_LIMIT))
    # A step that is compared by itself has no drift.
    single = None if target.rounding is None else TOLERANCE
    deviations = tuple(_deviation(name, most, tolerance, scales[name], single) for name, most in run.most.items())
    wrong, missing = mismatches(model, graph.metadata)
    notes = (*missing, *([told] if told else []))
    if has_ranges(target.held):
        notes += ("The model states ranges beyond which Stream clips vectors; the graph clips none, each has its own.",)
    if target.rounding is not None:
        found = _compared_with_rounding(target.rounding, graph, samples, run, scales)
        wrong, notes = wrong + found[0], notes + found[1]
    elif graph.takes_sequences:
        ys, last = graph.whole(samples)
        stepped = {"y": run.values["y"], **{name: run.values[name][-1] for name in last}}
        for name, values in {"y": ys, **last}.items():
            if not (np.abs(values - stepped[name]) <= tolerance * scales[name]).all():
                wrong += (f"All samples in one call give another {name} than one by one.",)
    if graph.chose_otherwise:
        wrong += ("The graph's next_symbol is not the place of the largest of its outputs y.",)
    return Report(len(samples), deviations, drift, tolerance, wrong, notes, run.rounding, single is not None)


def _compared_with_rounding(
    rounding: RoundedReference,
    graph: OnnxSteps,
    samples: NDArray[np.float32],
    run: Comparison,
    scales: Mapping[str, Array],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is wrong, and notes, of a graph that rounds vectors to 8 bits."""
    wrong: list[str] = []
    notes = [
        "ONNX rounds vectors to 8 bits: each step is held against the reference that does so from the same states."
    ]
    if run.compared < len(samples):
        notes.append(
            f"In {counted(len(samples) - run.compared, 'step')} a value stood at a toss-up of rounding: not compared."
        )
    if not run.compared:
        wrong.append("No step could be compared, each had a value at a toss-up of rounding; take more steps.")
    if graph.takes_sequences and len(samples) > 2:
        allowed = {name: TOLERANCE * scale for name, scale in scales.items()}
        differ, compared = differing_pairs(rounding, graph, samples, run, allowed)
        if differ or not compared:
            what = f"another {' and '.join(differ)} than they should" if differ else "nothing that could be compared"
            wrong.append(f"Two samples in one call give {what}.")
        ys, _ = graph.whole(samples)
        off, own = np.square(ys - run.exact).sum(), np.square(run.exact).sum()
        notes.append(
            f"All samples in one call share one range: y is off by {np.sqrt(off / own if own > 0 else off):.1e} then."
        )
    return tuple(wrong), tuple(notes)


def _deviation(name: str, most: Array, tolerance: float, scale: Array, single: float | None) -> Deviation:
    """What was found in one output or state, given what its channels' values are made of.

    ``single``: the tolerance of single steps of onnxruntime, where these are what was compared.
    """
    limits = np.array([tolerance, single or tolerance, np.inf if single else tolerance])[:, None]
    shares = (most[1:4] / (limits * scale)).max(axis=0)
    worst = int(np.argmax(shares))  # a NaN counts as the largest
    peak, stream, onnx, both = (float(values.max()) for values in most[:4])
    return Deviation(name, peak, float(tolerance * scale[worst]), stream, onnx, both, float(shares[worst]), worst)


def _samples(model: Model, steps: int, xs: ArrayLike | None, seed: int, symbols: bool) -> NDArray[np.float32]:
    for name, value, least, most in (("steps", steps, 1, 2**31 - 1), ("seed", seed, 0, 2**64 - 1)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value > most:
            raise InputError(f"verify {name} got {value!r}, expected a whole number from {least} to {most}.")
        if value < least:
            raise InputError(f"verify {name} got {value}, expected {least} or more.")
    if xs is None and symbols:
        # What the network writes by itself is what it will read; among symbols at random, trained ones lose their way.
        first = int(np.random.default_rng(seed).integers(model.symbols))
        written = generate(Stream(model), [first], max_length=steps, seed=seed).symbols
        return as_samples(alphabet(model, "verify"), written)
    if xs is None:
        random = np.random.default_rng(seed).standard_normal((steps, model.input_size))
        for layer, sources in zip(model.layers, model.sources, strict=True):
            if isinstance(layer, Standardize) and sources == (-1,):
                random = layer.mean + layer.scale * random
                break
        return random.astype(np.float32)
    try:
        with np.errstate(over="ignore"):
            recorded = np.asarray(xs, dtype=np.float32)
    except (TypeError, ValueError):
        raise InputError(f"verify xs is not an array of numbers; expected (time, {model.input_size}).") from None
    if recorded.ndim != 2 or recorded.shape[1] != model.input_size or len(recorded) == 0:
        raise InputError(f"verify xs got shape {recorded.shape}, expected (time, {model.input_size}), time 1 or more.")
    if not np.isfinite(recorded).all():
        raise InputError("verify xs holds values that are not finite in float32; leave those samples out.")
    return np.tile(recorded, (-(-steps // len(recorded)), 1))
