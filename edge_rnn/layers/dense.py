"""Stateless layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from edge_rnn.activation import ACTIVATIONS, bound_of
from edge_rnn.errors import ModelError
from edge_rnn.layers.layer import INPUT, Layer, Weight, products
from edge_rnn.typing import F32

__all__ = ["Add", "Dense", "Embedding", "Standardize"]


@dataclass(frozen=True, slots=True, eq=False)
class Dense(Layer):
    """Fully connected layer, PyTorch's ``nn.Linear`` with an activation: ``y = activation(W x + b)``.

    Parameters
    ----------
    weight
        ``(O, I)``; float32, or in another format of :mod:`edge_rnn.formats`.
    bias
        ``(O,)``, or None for no bias.
    activation
        ``"none"``, ``"tanh"``, ``"sigmoid"``, ``"relu"``, ``"softmax"`` or another of
        :mod:`edge_rnn.activation`.

    Raises
    ------
    ModelError
        A shape does not fit, a value is not finite, or the activation is unknown.

    Examples
    --------
    >>> from edge_rnn import Dense, Model, Stream
    >>> head = Dense([[1.0, 0.0], [0.0, 2.0]], [0.5, -9.0], activation="relu")
    >>> Stream(Model([head])).step([1.0, 2.0])
    array([1.5, 0. ], dtype=float32)
    """

    ACTIVATIONS: ClassVar[tuple[str, ...]] = (*ACTIVATIONS, "softmax")
    """Names of activations; parameters may follow."""
    usual: ClassVar[Mapping[str, tuple[Any, ...]]] = MappingProxyType(
        {"activation": ("none", "tanh", "sigmoid", "relu", "softmax")}
    )

    matrices: ClassVar[Mapping[str, str]] = MappingProxyType({"weight": INPUT})

    weight: Weight
    bias: F32 | None = None
    activation: str = field(default="none", kw_only=True)

    def __post_init__(self) -> None:
        Layer.__post_init__(self)
        shape = self._set_array("weight", self.weight, ("O", "I"))
        if self.bias is not None:
            self._set_array("bias", self.bias, shape[:1])
        self._check_activation("activation", "softmax")

    @property
    def input_size(self) -> int:
        """Number of values read per step, I."""
        return int(self.weight.shape[1])

    @property
    def multiply_adds(self) -> int:
        return products(self.weight)

    @property
    def output_bound(self) -> float | None:
        return 1.0 if self.activation == "softmax" else bound_of(self.activation)

    def output_size(self, input_sizes: Sequence[int]) -> int:
        self._check_input_size(self.input_size, input_sizes)
        return int(self.weight.shape[0])


@dataclass(frozen=True, slots=True, eq=False)
class Standardize(Layer):
    """Scaling per channel, ``y = (x - mean) / scale``, so that samples can stay in the sensor's units.

    Parameters
    ----------
    mean
        ``(I,)`` in the sensor's units.
    scale
        ``(I,)`` in the sensor's units, for instance the standard deviation; no zeros.

    Raises
    ------
    ModelError
        A shape does not fit, a value is not finite, or a scale is zero or too small for float32.

    Examples
    --------
    >>> from edge_rnn import Model, Standardize, Stream
    >>> Stream(Model([Standardize([20.0, 50.0], [5.0, 25.0])])).step([30.0, 0.0])
    array([ 2., -2.], dtype=float32)
    """

    mean: F32
    scale: F32

    def __post_init__(self) -> None:
        Layer.__post_init__(self)
        shape = self._set_array("mean", self.mean, ("I",))
        self._set_array("scale", self.scale, shape)
        if not np.all(np.abs(self.scale) >= np.finfo(np.float32).tiny):
            raise ModelError(
                f"{self.title} scale holds a zero or a value below {np.finfo(np.float32).tiny:.3g}; use 1 for a "
                f"channel that never changes."
            )

    @property
    def input_size(self) -> int:
        """Number of channels, I."""
        return int(self.mean.shape[0])

    @property
    def multiply_adds(self) -> int:
        return self.mean.size

    def output_size(self, input_sizes: Sequence[int]) -> int:
        self._check_input_size(self.input_size, input_sizes)
        return self.input_size


@dataclass(frozen=True, slots=True, eq=False)
class Add(Layer):
    """Sum of two or more inputs of the same length, for skip connections: ``Add(inputs=("input", "dense3"))``.

    Examples
    --------
    >>> from edge_rnn import Dense, Model, Stream
    >>> from edge_rnn.layers import Add
    >>> Stream(Model([Dense([[2.0]]), Add(inputs=("input", "dense1"))])).step(5.0)
    15.0
    """

    def __post_init__(self) -> None:
        Layer.__post_init__(self)
        if len(self.inputs) < 2:
            raise ModelError(f"{self.title} inputs got {self.inputs!r}, expected the names of two or more layers.")

    def output_size(self, input_sizes: Sequence[int]) -> int:
        if len(set(input_sizes)) != 1:
            raise ModelError(
                f"{self.title} reads {' and '.join(map(str, input_sizes))} values; all must have the same length."
            )
        return input_sizes[0]


@dataclass(frozen=True, slots=True, eq=False)
class Embedding(Layer):
    """Row of a table, PyTorch's ``nn.Embedding``: ``y = weight[x]``, where ``x`` is one integer.

    A network whose first layer is an Embedding takes integers, as ints or integer arrays. Other numbers are rounded to
    the nearest integer, and numbers outside the table select its nearest row.

    Parameters
    ----------
    weight
        ``(N, E)``: one row per symbol.

    Raises
    ------
    ModelError
        The shape does not fit, a value is not finite, or there are more symbols than float32 can count.

    Examples
    --------
    >>> from edge_rnn import Embedding, Model, Stream
    >>> stream = Stream(Model([Embedding([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])]))
    >>> stream.step(2)
    array([4., 5.], dtype=float32)
    >>> stream.run([[0], [1]])
    array([[0., 1.],
           [2., 3.]], dtype=float32)
    """

    weight: F32

    def __post_init__(self) -> None:
        Layer.__post_init__(self)
        count, _ = self._set_array("weight", self.weight, ("N", "E"))
        if count > 2**22:
            raise ModelError(
                f"{self.title} has {count} rows, expected at most {2**22}: float32 cannot count much further."
            )

    @property
    def input_size(self) -> int:
        """1: the id of a symbol."""
        return 1

    @property
    def output_bound(self) -> float | None:
        return float(np.abs(self.weight).max())

    @property
    def rounding_bound(self) -> float | None:
        # A row with a large value would leave too few steps for the other rows.
        least = float(np.abs(self.weight).max(axis=1).min())
        return self.output_bound if 2 * least >= np.abs(self.weight).max() else None

    def output_size(self, input_sizes: Sequence[int]) -> int:
        self._check_input_size(1, input_sizes)
        return int(self.weight.shape[1])
