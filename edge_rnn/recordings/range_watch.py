"""Samples that lie far outside of what a network was trained on, for long."""

from __future__ import annotations

import numpy as np

from edge_rnn.layers import Standardize
from edge_rnn.model import Model
from edge_rnn.typing import F32

__all__ = ["RangeMonitor"]

_BLOCK = 512
_FEWEST = 128
_FAR = 3.0
_SHARE, _SHARE_OF_FEW = 0.2, 1 / 3


class RangeMonitor:
    """Counts samples beyond mean ± 3 scales of a model's ``Standardize``, channel by channel, in blocks of 512.

    Where more than a fifth of a block is beyond, the channel is not what the network was trained on: another unit,
    another sensor's place, gravity that had been taken out. (With the mean and deviation of the training no channel can
    have more than a ninth there in the long run, by Chebyshev's inequality.) Values that are too small are no sign: a
    sensor at rest has them too. A sample costs one copy; a block is looked at when it is full.

    Parameters
    ----------
    model
        Without a ``Standardize`` that reads the input itself nothing is counted.
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
            self._block = np.empty((_BLOCK, model.input_size), np.float32)

    def add(self, x: F32) -> str:
        """A sample ``(input_size,)`` more; a warning where a channel is beyond its range for long, once; else empty."""
        self._block[self._count] = x
        self._count += 1
        return self._judge(_SHARE) if self._count == _BLOCK else ""

    def finish(self) -> str:
        """The same of what has come since, if it is enough to say something."""
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
        self.active = False  # said once
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
            f"{share:.0%} of {len(values)} samples of {name} lie outside of {low:.4g} to {high:.4g}{unit}, the range "
            f"that the network was trained on{seen}; see whether unit, sensor and order of the columns are the model's."
        )
