"""Calibrate a model: statistics of the vectors that its matrices multiply in a recording, and drift of other models.

The recording goes through the compiled model block by block. The size of the result depends on the model, not on the
length of the recording: sums of the vectors that each matrix multiplies and of their products, a sample of the hidden
states, and the model's outputs over the 10,000 steps on which rounding methods are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edge_rnn.arrays import float32_array
from edge_rnn.errors import InputError
from edge_rnn.layers import INPUT, Layer, Standardize
from edge_rnn.model import Model
from edge_rnn.quantization.moments import Kept, Meets, Probes, Sums
from edge_rnn.recordings.stretches import spread
from edge_rnn.streams.stream import Stream
from edge_rnn.typing import F32

__all__ = ["JUDGED_STEPS", "Calibration", "Meets", "Yardstick", "calibrate", "drift", "relative_rms", "repeated"]

JUDGED_STEPS = 10_000
"""Steps, with the state carried along, over which rounding methods are compared: a shorter recording is repeated, of a
longer one stretches are taken that are spread over all of it."""

_TRACED_WORK = 3 * 10**10
"""Most multiply-adds of a pass through the recording, some seconds; of a longer recording, stretches are taken."""

_LEAST_TRACED = 10_000
"""Least number of steps, regardless of their multiply-adds."""

_BLOCK_FLOATS = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class Yardstick:
    """Outputs and end state of a model on some samples, to compare other models with.

    Parameters
    ----------
    rows
        ``(steps, input_size)`` float32.
    ys
        ``(steps, output_size)`` float32.
    state
        State after the last row, by ``"layer.state"``.
    """

    rows: F32
    ys: F32
    state: Mapping[str, F32]

    @classmethod
    def of(cls, model: Model, rows: F32) -> Yardstick:
        """Run a model over some samples."""
        stream = Stream(model)
        return cls(rows, stream.run(rows), stream.state)

    def drift(self, other: Model) -> float:
        """Root mean square of the difference in outputs and end states, relative to that of the model's own values."""
        stream = Stream(other)
        pairs = [(stream.run(self.rows), self.ys)] + [(stream.state[name], mine) for name, mine in self.state.items()]
        off = own = 0.0
        for theirs, mine in pairs:
            off += float(np.square(theirs.astype(np.float64) - mine).sum())
            own += float(np.square(mine.astype(np.float64)).sum())
        return relative_rms(off, own)


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Statistics of the vectors that a model's matrices multiply in a recording.

    Parameters
    ----------
    fingerprint
        Fingerprint of the model.
    xs
        ``(time, input_size)`` float32: the recording.
    meets
        Statistics of the vectors that each matrix multiplies, by ``"layer.field"``.
    yardstick
        The model over 10,000 steps of the recording.
    rounded
        Cache of quantized matrices: a search asks for the same one many times.
    """

    fingerprint: str
    xs: F32
    meets: Mapping[str, Meets]
    yardstick: Yardstick
    rounded: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)


def calibrate(model: Model, recording: ArrayLike) -> Calibration:
    """Run a recording through the model and collect statistics of the vectors that each matrix multiplies.

    Parameters
    ----------
    recording
        ``(time, input_size)``, in the sensor's units; one sequence. All samples are used, unless that would take more
        than 3e10 multiply-adds: then stretches of 1000 samples are taken, half of them spread over time and half over
        the loudest parts (:mod:`edge_rnn.recordings.stretches`).

    Raises
    ------
    InputError
        The recording is empty, has the wrong number of channels, or holds a value that is not finite; or a value of the
        model leaves the range of float32 in it.
    """
    xs = _checked(model, recording)
    steps = max(_LEAST_TRACED, _TRACED_WORK // max(1, _work(model)))
    meets = _traced(model, spread(xs, steps))
    rows = spread(xs, JUDGED_STEPS)
    return Calibration(model.fingerprint, xs, meets, Yardstick.of(model, repeated(rows)))


def drift(model: Model, other: Model, xs: F32, steps: int = JUDGED_STEPS) -> float:
    """Root mean square of the difference in outputs and end states, relative to that of the model's own values.

    ``xs`` is repeated to the given number of steps, with the state carried along; all outputs count, and the states at
    the end.
    """
    return Yardstick.of(model, repeated(xs, steps)).drift(other)


def relative_rms(off: float, own: float) -> float:
    """Relative root mean square of a difference, from the sums of squares of the difference and of the values.

    If all values are zero, the root of the difference's sum of squares.
    """
    return float(np.sqrt(off / own if own > 0 else off))


def repeated(xs: F32, steps: int = JUDGED_STEPS) -> F32:
    """Repeat the samples to the given number of steps; return them unchanged if there are as many or more."""
    return xs if len(xs) >= steps else np.ascontiguousarray(np.resize(xs, (steps, xs.shape[1])))


def _checked(model: Model, recording: ArrayLike) -> F32:
    xs = float32_array("calibration", "recording", recording)
    if xs.ndim != 2 or xs.shape[1] != model.input_size:
        raise InputError(
            f"calibration got shape {xs.shape}, expected (time, {model.input_size}), a row for each sample."
        )
    if not len(xs):
        raise InputError("calibration got no samples, expected some seconds of what the sensor delivers.")
    if not np.isfinite(xs).all():
        t, channel = (int(i) for i in np.argwhere(~np.isfinite(xs))[0])
        raise InputError(
            f"calibration got {xs[t, channel]} in sample {t}, channel {channel}; expected finite values: leave such "
            f"samples out."
        )
    return xs


def _work(model: Model) -> int:
    """Multiply-adds per sample: those of a step, and those of the sums of products."""
    shapes: list[tuple[int, int]] = [getattr(layer, name).shape for layer in model.layers for name in layer.matrices]
    return model.multiply_adds + sum(columns**2 for _, columns in shapes)


def _traced(model: Model, xs: F32) -> dict[str, Meets]:
    """Statistics of the vectors that each matrix multiplies, over all samples from the initial state."""
    reading = {layer.name: reads for layer, reads in zip(model.layers, model.sources, strict=True) if layer.matrices}
    probes = Probes.of(model)
    recurrent = [
        place
        for place, layer in enumerate(model.layers)
        if any(
            reads == layer.emits and f"{layer.name}.{name}" not in probes.places
            for name, reads in layer.matrices.items()
        )
    ]
    # The last row waits: a recurrent matrix multiplies all rows but this one, a layer that reads them this one too.
    sums = {reads: Sums() for reads in {*reading.values(), *((place,) for place in recurrent)}}
    kept = {place: Kept(len(xs), model.output_sizes[place]) for place in recurrent}
    waiting: list[F32] = []
    for values in _values(model, probes, xs):
        probes.add(values, len(xs))
        if waiting:
            values = [np.concatenate([last, block]) for last, block in zip(waiting, values, strict=True)]
        waiting = [block[-1:] for block in values]
        for reads, own in sums.items():
            own.add(np.concatenate([values[place][:-1] for place in reads], axis=1))
        for place in recurrent:
            kept[place].add(values[place][:-1])
    found = {}
    for place, (layer, reads) in enumerate(zip(model.layers, model.sources, strict=True)):
        for name in layer.matrices:
            if f"{layer.name}.{name}" in probes.places:
                found[f"{layer.name}.{name}"] = probes.found(f"{layer.name}.{name}")
                continue
            is_state = layer.matrices[name] != INPUT
            last = _first(layer) if is_state else np.concatenate([waiting[each] for each in reads], axis=1)
            some = kept[place].found(last) if is_state else None
            found[f"{layer.name}.{name}"] = sums[(place,) if is_state else reads].and_then(last).found(some)
    return found


def _first(layer: Layer) -> F32:
    return np.asarray(layer.initial_state[layer.emits], np.float32)[None]


def _values(model: Model, probes: Probes, xs: F32) -> Iterator[list[F32]]:
    """Yield, block by block, the outputs of each layer and each probe; the samples come last, so that -1 finds them."""
    model = Model([*model.layers, *probes.layers], input_size=model.input_size)
    size = sum(model.output_sizes)
    zeros, ones = np.zeros(size, np.float32), np.ones(size, np.float32)
    everything = Standardize(zeros, ones, inputs=tuple(layer.name for layer in model.layers))
    stream = Stream(Model([*model.layers, everything], input_size=model.input_size))
    length = max(64, _BLOCK_FLOATS // (size + model.input_size))
    ends = np.cumsum(model.output_sizes)[:-1]
    for start in range(0, len(xs), length):
        block = xs[start : start + length]
        try:
            outputs = stream.run(block)
        except InputError:
            raise InputError(
                f"calibration: the values of {model!r} leave the range of float32 between samples {start} and "
                f"{start + len(block)}; expected a recording of what the model is for."
            ) from None
        yield [*np.split(outputs, ends, axis=1), block]
