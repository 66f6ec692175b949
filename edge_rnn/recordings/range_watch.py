"""Detection of samples that stay far outside the range of the training data."""

from __future__ import annotations

import numpy as np

from edge_rnn.layers import Standardize
from edge_rnn.model import Model
from edge_rnn.recordings.elapsed import elapsed_place
from edge_rnn.typing import F32

__all__ = ["RangeMonitor"]

_BLOCK = 512
_FEWEST = 128
_FAR = 3.0
_SHARE, _SHARE_OF_FEW = 0.2, 1 / 3


class RangeMonitor:
    """Counts samples beyond mean ± 3 scales of a model's ``Standardize``, per channel, in blocks of 512.

    If more than a fifth of a block is beyond, the channel differs from the training data: another unit, another
    position of the sensor, gravity that had been removed. (With the mean and deviation of the training data, at most a
    ninth can be beyond in the long run, by Chebyshev's inequality.) Values that are too small are no evidence: a sensor
    at rest has them too. Each sample costs one copy; a block is evaluated when it is full.

    Parameters
    ----------
    model
        Nothing is counted unless a ``Standardize`` reads the model's input directly, nor for the time since the last
        sample.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        found = [
            layer
            for layer, reads in zip(model.layers, model.sources, strict=True)
            if isinstance(layer, Standardize) and reads == (-1,)
        ]
        self.active = bool(found)
        self._count = 0
        if found:
            self._mean, self._scale = found[0].mean, np.abs(found[0].scale)
            if (place := elapsed_place(model.input_names)) is not None:  # a time is no sensor's value
                self._scale[place] = np.inf
            self._block = np.empty((_BLOCK, model.input_size), np.float32)

    def add(self, x: F32) -> str:
        """Add a sample ``(input_size,)``; return a warning once, if a channel stays outside its range, else ``""``."""
        self._block[self._count] = x
        self._count += 1
        return self._judge(_SHARE) if self._count == _BLOCK else ""

    def finish(self) -> str:
        """Evaluate the incomplete last block, if it has enough samples; return a warning or an empty text."""
        return self._judge(_SHARE_OF_FEW) if self.active and self._count >= _FEWEST else ""

    def _judge(self, most: float) -> str:
        rows = self._block[: self._count]
        with np.errstate(all="ignore"):
            beyond = np.abs(rows - self._mean) > _FAR * self._scale
        shares = beyond.mean(axis=0)
        self._count = 0
        worst = int(shares.argmax())
        if shares[worst] <= most:
            return ""
        self.active = False  # warn only once
        return self._spell(worst, float(shares[worst]), rows[:, worst])

    def _spell(self, place: int, share: float, values: F32) -> str:
        model = self._model
        name = model.input_names[place] if model.input_names else f"channel {place + 1}"
        unit = f" {model.input_units[place]}" if model.input_units and model.input_units[place] else ""
        mean, scale = float(self._mean[place]), float(self._scale[place])
        low, high = mean - _FAR * scale, mean + _FAR * scale
        finite = values[np.isfinite(values)]
        seen = f", here {finite.min():.4g} to {finite.max():.4g}" if len(finite) else ""
        return (
            f"{share:.0%} of {len(values)} samples of {name} are outside {low:.4g} to {high:.4g}{unit}, the range of "
            f"the training data{seen}; check that unit, sensor and column order match the model."
        )
