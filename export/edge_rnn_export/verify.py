"""That an exported graph computes what the model says: reference, Stream and onnxruntime on the same samples."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_rnn import reference
from edge_rnn.errors import InputError
from edge_rnn.layers import Standardize
from edge_rnn.model import Model
from edge_rnn.sampling import generate
from edge_rnn.sampling.symbols import alphabet
from edge_rnn.sampling.symbols import samples as as_samples
from edge_rnn.stream import Stream
from edge_rnn_export.magnitudes import magnitudes
from edge_rnn_export.onnx_metadata import METADATA_KEY, mismatches
from edge_rnn_export.onnx_output import NEXT, SYMBOL, Head, head_of, symbols_of, with_head
from edge_rnn_export.ort import session
from edge_rnn_export.report import Deviation, Report

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
        The file cannot be read, or onnxruntime does not take it.
    UnsupportedError
        onnxruntime is not installed, or the model has no such output as the graph says that it gives.

    Notes
    -----
    The tolerance starts from what the network itself does with rounding: a second reference runs along whose state is
    rounded to float32 after each step. It is relative to each output and unit alone, so that large ones do not hide
    small ones. See :data:`TOLERANCE`, :data:`TOLERANCE_LIMIT` and :data:`DRIFT_FACTOR`.
    """
    loaded = session(path)
    head = head_of(loaded.get_modelmeta().custom_metadata_map, METADATA_KEY)
    computed = with_head(model, head, "verify")
    left = "" if computed is model else f"The graph's y are {_SPELLED[head]}; the model was compared so."
    model = computed
    samples = _samples(model, steps, xs, seed, symbols=head == "greedy")
    graph = _OnnxSteps(model, path, loaded, head)
    names = ["y", *model.initial_state]
    outputs: list[Array] = []
    # Per channel: largest absolute value, then largest differences: Stream, onnxruntime, the two, rounded reference.
    most = {name: np.zeros((5, 1)) for name in names}
    with np.errstate(over="ignore", invalid="ignore"):
        for exact, stream, onnx, rounded in zip(
            _reference_steps(model, samples, np.float64),
            _stream_steps(model, samples),
            graph.steps(samples),
            _reference_steps(model, samples, np.float32),
            strict=True,
        ):
            outputs.append(onnx["y"])
            for name in names:
                a, b, c, d = exact[name], stream[name], onnx[name], rounded[name]
                most[name] = np.maximum(most[name], np.abs([a, a - b, a - c, b - c, a - d]))
    scales = magnitudes(model, samples, {name: peaks[0] for name, peaks in most.items()})
    drift = max(float((most[name][4] / scales[name]).max()) for name in names)
    tolerance = float(np.clip(DRIFT_FACTOR * drift, TOLERANCE, TOLERANCE_LIMIT))
    deviations = tuple(_deviation(name, most[name], tolerance * scales[name]) for name in names)
    wrong, notes = mismatches(model, graph.metadata)
    wrong, notes = (*wrong, *graph.wrong_choices), (*notes, *([left] if left else []))
    if graph.takes_sequences:
        ys, last = graph.whole(samples)
        stepped = {"y": np.array(outputs), **{name: onnx[name] for name in last}}
        for name, values in {"y": ys, **last}.items():
            if not (np.abs(values - stepped[name]) <= tolerance * scales[name]).all():
                wrong += (f"All samples in one call give another {name} than one by one.",)
    return Report(len(samples), deviations, drift, tolerance, wrong, notes)


def _deviation(name: str, most: Array, allowed: Array) -> Deviation:
    """What was found in one output or state, given what each of its channels may differ by."""
    shares = most[1:4].max(axis=0) / allowed
    worst = int(np.argmax(shares))  # a NaN counts as the largest
    peak, stream, onnx, both = (float(values.max()) for values in most[:4])
    return Deviation(name, peak, float(allowed[worst]), stream, onnx, both, float(shares[worst]), worst)


def _samples(model: Model, steps: int, xs: ArrayLike | None, seed: int, symbols: bool) -> NDArray[np.float32]:
    if steps < 1:
        raise InputError(f"verify steps got {steps}, expected 1 or more.")
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


def _reference_steps(model: Model, samples: Array, state_dtype: type) -> Iterator[dict[str, Array]]:
    """Output and states of the reference after each step, the state carried in the given type."""
    state = reference.initial_state(model)
    for t, x in enumerate(samples):
        y, state = reference.step(model, x, state)
        if any(np.abs(values).max() > np.finfo(np.float32).max for values in (y, *state.values())):
            raise InputError(
                f"verify: the values of {model!r} leave the range of float32 at step {t} of these samples; hand a "
                f"recording over as xs."
            )
        state = {name: values.astype(state_dtype).astype(np.float64) for name, values in state.items()}
        yield {"y": y, **state}


def _stream_steps(model: Model, samples: Array) -> Iterator[dict[str, Array]]:
    stream = Stream(model)
    for x in samples:
        y = stream.step(x)
        yield {"y": y.astype(np.float64), **{name: h.astype(np.float64) for name, h in stream.state.items()}}


class _OnnxSteps:
    """A graph in onnxruntime, found to have the model's inputs and outputs."""

    def __init__(self, model: Model, path: str | PathLike[str], loaded: Any, head: Head) -> None:
        self._session, self._model, self._greedy = loaded, model, head == "greedy"
        self.wrong_choices: tuple[str, ...] = ()
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self._initial = {name: value[None, None] for name, value in model.initial_state.items()}
        sizes = {name: len(value) for name, value in model.initial_state.items()}
        read, chosen = ({SYMBOL: 0}, {NEXT: 0}) if self._greedy else ({"x": model.input_size}, {})
        self._check(path, "inputs", self._session.get_inputs(), read | sizes)
        outputs = chosen | {"y": model.output_size} | {f"{name}_out": size for name, size in sizes.items()}
        self._check(path, "outputs", self._session.get_outputs(), outputs)
        self._outputs = list(outputs)
        (time,) = (node.shape[0] for node in self._session.get_inputs() if node.name in read)
        self.takes_sequences = time != 1

    @staticmethod
    def _check(path: str | PathLike[str], what: str, nodes: Any, sizes: dict[str, int]) -> None:
        """Axes that the graph leaves open are as long as they have to be; symbols have no third one."""
        got = {node.name: tuple(node.shape) for node in nodes}
        expected = {name: (1, 1, size) if size else (1, 1) for name, size in sizes.items()}
        fits = got.keys() == expected.keys() and all(
            len(got[name]) == len(shape)
            and all(isinstance(a, str) or a == b for a, b in zip(got[name], shape, strict=True))
            for name, shape in expected.items()
        )
        if not fits:
            raise InputError(f"verify: {path} has the {what} {got}, expected {expected} as the model has them.")

    def steps(self, samples: Array) -> Iterator[dict[str, Array]]:
        """Output and states after each step; of a graph of sequences from calls with one sample each."""
        state = self._initial
        for read in self._reads(samples[:, None]):
            y, *states = self._run(read[None], state)
            state = dict(zip(state, states, strict=True))
            yield {"y": y[0, 0].astype(np.float64), **{n: h[0, 0].astype(np.float64) for n, h in state.items()}}

    def whole(self, samples: Array) -> tuple[Array, dict[str, Array]]:
        """Outputs ``(time, O)`` and last states of all samples in one call, each next to itself in a batch of two."""
        both = {name: np.repeat(value, 2, axis=1) for name, value in self._initial.items()}
        y, *states = self._run(np.concatenate([self._reads(samples[:, None])] * 2, axis=1), both)
        last = {name: h[0, 1].astype(np.float64) for name, h in zip(both, states, strict=True)}
        return y[:, 1].astype(np.float64), last

    def _reads(self, samples: Array) -> Array:
        """Samples ``(time, 1, I)`` as the graph reads them: of a greedy one symbols, ``(time, 1)``."""
        return symbols_of(self._model, samples[:, 0])[:, None] if self._greedy else samples

    def _run(self, read: Array, states: dict[str, Array]) -> list[Array]:
        """``y`` and states of one call; a choice that is not that of the largest output is noted."""
        found: list[Array] = self._session.run(self._outputs, {SYMBOL if self._greedy else "x": read, **states})
        if not self._greedy:
            return found
        chosen, y = found[:2]
        if not np.array_equal(chosen, y.argmax(axis=2)) and not self.wrong_choices:
            self.wrong_choices = ("The graph's next_symbol is not the place of the largest of its outputs y.",)
        return found[1:]
