"""Statistics of the vectors that matrices multiply: sums, and a sample; and probes that make cells output them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_rnn.layers import INPUT, Layer
from edge_rnn.model import Model
from edge_rnn.typing import F32, F64

__all__ = ["Kept", "Meets", "Probes", "Sums"]

_KEPT_VALUES = 1 << 22
"""Most values of a layer's hidden states in the sample."""


@dataclass(frozen=True, slots=True, eq=False)
class Meets:
    """Statistics of the vectors that a matrix ``(R, K)`` multiplies.

    Parameters
    ----------
    mean
        ``(K,)`` float64.
    moving
        ``(K, K)`` float64: covariance.
    some
        ``(n, K)`` float32: a sample of the vectors, spread over the recording, including the one with the largest
        value. Only for states; None for other vectors.
    """

    mean: F64
    moving: F64
    some: F32 | None

    @property
    def moments(self) -> F64:
        """Second moments, ``(K, K)`` float64."""
        return np.asarray(self.moving + np.outer(self.mean, self.mean))


@dataclass(slots=True)
class Sums:
    """Sums of vectors and of their products, relative to the first vector, so that a large mean costs no precision."""

    count: int = 0
    origin: Any = None
    sums: Any = None
    products: Any = None

    def add(self, rows: F32) -> None:
        if not len(rows):
            return
        if self.origin is None:
            size = rows.shape[1]
            self.origin, self.sums, self.products = rows[0].astype(np.float64), np.zeros(size), np.zeros((size, size))
        off = rows - self.origin
        self.count += len(off)
        self.sums += off.sum(axis=0)
        self.products += off.T @ off

    def and_then(self, rows: F32) -> Sums:
        """Copy with some more vectors added."""
        found = Sums()
        if self.origin is not None:
            found = Sums(self.count, self.origin, self.sums.copy(), self.products.copy())
        found.add(rows)
        return found

    def found(self, some: F32 | None) -> Meets:
        mean = self.sums / self.count
        return Meets(self.origin + mean, self.products / self.count - np.outer(mean, mean), some)


@dataclass(slots=True)
class Kept:
    """Sample of very many vectors: one from each of many equal parts, and the one with the largest value."""

    steps: int
    size: int
    seen: int = 0
    rows: list[F32] = field(default_factory=list)
    largest: Any = None
    places: Any = None

    def __post_init__(self) -> None:
        most = max(1, _KEPT_VALUES // self.size)
        bounds = np.linspace(0, self.steps, min(self.steps, most) + 1).astype(np.int64)
        inside = np.random.default_rng(0).random(len(bounds) - 1)  # so that no period of the recording aliases
        self.places = bounds[:-1] + (inside * np.diff(bounds)).astype(np.int64)

    def add(self, rows: F32) -> None:
        if not len(rows):
            return
        first, end = np.searchsorted(self.places, (self.seen, self.seen + len(rows)))
        self.rows.append(rows[self.places[first:end] - self.seen])
        self.seen += len(rows)
        row = rows[np.abs(rows).max(axis=1).argmax()]
        if self.largest is None or np.abs(row).max() > np.abs(self.largest).max():
            self.largest = row.copy()

    def found(self, more: F32) -> F32:
        rows = np.concatenate([*self.rows, more])
        if self.largest is None or np.abs(self.largest).max() <= np.abs(rows).max():
            return rows
        return np.concatenate([rows, self.largest[None]])


@dataclass(slots=True)
class Probes:
    """Copies of a model's cells that output the vectors their matrices multiply, except the input.

    Parameters
    ----------
    layers
        The copies, to be appended to the layers of the model.
    places
        By ``"layer.field"``: index of the layer that then outputs the vector, and the vector's slice of that output.
    """

    layers: list[Layer]
    places: dict[str, tuple[int, slice]]
    sums: dict[str, Sums] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model) -> Probes:
        layers: list[Layer] = []
        places: dict[str, tuple[int, slice]] = {}
        for layer, reads in zip(model.layers, model.sources, strict=True):
            if set(layer.matrices.values()) - {INPUT, layer.emits or INPUT}:
                probe, parts = layer.probe()
                inputs = tuple(INPUT if i < 0 else model.layers[i].name for i in reads)
                places |= {
                    f"{layer.name}.{name}": (len(model.layers) + len(layers), part) for name, part in parts.items()
                }
                layers.append(probe.replaced(name=f"_probe{len(layers)}", inputs=inputs))
        return cls(layers, places)

    def add(self, values: list[F32], steps: int) -> None:
        for name, (place, part) in self.places.items():
            rows = np.ascontiguousarray(values[place][:, part])
            self.sums.setdefault(name, Sums()).add(rows)
            self.kept.setdefault(name, Kept(steps, rows.shape[1])).add(rows)

    def found(self, name: str) -> Meets:
        return self.sums[name].found(self.kept[name].found(np.empty((0, self.kept[name].size), np.float32)))
