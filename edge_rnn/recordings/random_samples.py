"""Random samples in the range that a model expects."""

from __future__ import annotations

import numpy as np

from edge_rnn.layers import Cell, Dense, Embedding, Standardize
from edge_rnn.model import Model
from edge_rnn.typing import F32

__all__ = ["random_samples"]


def random_samples(model: Model, steps: int, seed: int = 0) -> F32:
    """Draw samples ``(steps, input_size)``.

    They are normally distributed, around the mean and by the scale of a Standardize that reads the input, so that they
    are in the sensor's units; numbers of symbols, each as likely as another, where an Embedding reads the input. Times
    since the last sample, which a cell reads, are above zero, and about one period of the model's sample rate.
    """
    generator = np.random.default_rng(seed)
    drawn = generator.standard_normal((steps, model.input_size))
    times = sorted(_time_channels(model))
    seconds = np.abs(drawn[:, times]) / (model.sample_rate_hz or 1.0)
    for layer, reads in zip(model.layers, model.sources, strict=True):
        if isinstance(layer, Standardize) and reads == (-1,):
            drawn = layer.mean + layer.scale * drawn
            break
        if isinstance(layer, Embedding) and reads == (-1,):
            return generator.integers(0, len(layer.weight), drawn.shape).astype(np.float32)
    drawn[:, times] = seconds
    return drawn.astype(np.float32)


def _time_channels(model: Model) -> set[int]:
    """Channels of the input that a cell takes for the time since the last sample."""
    found = set()
    for layer, reads, sizes in zip(model.layers, model.sources, model.read_sizes, strict=True):
        if isinstance(layer, Cell) and layer.reads_time:
            channel = _channel(model, reads[-1], sizes[-1] - 1)
            found |= set() if channel is None else {channel}
    return found


def _channel(model: Model, source: int, place: int) -> int | None:
    """Return the channel of the input that a layer hands on as a value of its output; None if it does not."""
    while source >= 0:
        layer = model.layers[source]
        if isinstance(layer, Dense):
            picked = np.flatnonzero(np.asarray(layer.weight)[place])
            if len(picked) != 1:
                return None
            place = int(picked[0])
        elif not isinstance(layer, Standardize):
            return None
        ends = np.cumsum(model.read_sizes[source])
        which = int(np.searchsorted(ends, place, side="right"))
        source, place = model.sources[source][which], place - int(ends[which - 1] if which else 0)
    return place
