"""Random samples in the range that a model expects."""

from __future__ import annotations

import numpy as np

from edge_rnn.layers import Embedding, Standardize
from edge_rnn.model import Model
from edge_rnn.typing import F32

__all__ = ["random_samples"]


def random_samples(model: Model, steps: int, seed: int = 0) -> F32:
    """Draw samples ``(steps, input_size)``.

    They are normally distributed, around the mean and by the scale of a Standardize that reads the input, so that they
    are in the sensor's units; numbers of symbols, each as likely as another, where an Embedding reads the input.
    """
    generator = np.random.default_rng(seed)
    drawn = generator.standard_normal((steps, model.input_size))
    for layer, reads in zip(model.layers, model.sources, strict=True):
        if isinstance(layer, Standardize) and reads == (-1,):
            return (layer.mean + layer.scale * drawn).astype(np.float32)
        if isinstance(layer, Embedding) and reads == (-1,):
            return generator.integers(0, len(layer.weight), drawn.shape).astype(np.float32)
    return drawn.astype(np.float32)
