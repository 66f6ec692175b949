"""The layers of a model: frozen dataclasses that check their shapes and say what is wrong.

Weights carry PyTorch's names and shapes; every other convention is converted once, in its reader. Arrays are float32,
C-contiguous, finite and read-only copies of what was given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_rnn.errors import ModelError
from edge_rnn.formats import Matrix, Sparse

__all__ = [
    "GRU",
    "INPUT",
    "LAYER_TYPES",
    "LSTM",
    "Add",
    "Dense",
    "Elman",
    "Layer",
    "Recurrent",
    "Standardize",
    "Weight",
]

Array = NDArray[np.float32]

Weight = Array | Matrix
"""A layer's matrix: float32, or in a format of :mod:`edge_rnn.formats`."""

INPUT = "input"
"""The name by which a layer's ``inputs`` refer to the model's own input."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Layer:
    """What every layer has: a name, and the names of the layers that it reads.

    Parameters
    ----------
    name
        Unique in the model: a letter or ``_``, then up to 63 letters, digits, ``_`` or ``-``. Left empty, the model
        calls it after its kind and place: ``gru1``.
    inputs
        Names of earlier layers, or ``"input"``. Empty: the layer before this one.

    Notes
    -----
    A further kind of layer is a frozen dataclass with array fields and plain options (str, bool, int, float). Files,
    fingerprints and parameter counts follow from its fields; reference, kernel and ONNX form are found by its name.
    """

    matrices: ClassVar[tuple[str, ...]] = ()
    """Fields that may be in another format than float32."""

    name: str = ""
    inputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or (self.name and not _NAME.fullmatch(self.name)) or self.name == INPUT:
            raise ModelError(
                f"{self.kind} got the name {self.name!r}; expected a letter or _ followed by up to 63 letters, digits, "
                f"_ or -, and not {INPUT!r}."
            )
        inputs = (self.inputs,) if isinstance(self.inputs, str) else self.inputs
        if not isinstance(inputs, Sequence) or not all(isinstance(name, str) for name in inputs):
            raise ModelError(f"{self.title} inputs got {self.inputs!r}, expected names of layers.")
        object.__setattr__(self, "inputs", tuple(inputs))

    @property
    def kind(self) -> str:
        """Name of the class: ``"LSTM"``."""
        return type(self).__name__

    @property
    def title(self) -> str:
        """Kind and name, for messages: ``LSTM 'rnn'``."""
        return f"{self.kind} {self.name!r}" if self.name else self.kind

    @property
    def arrays(self) -> dict[str, Array]:
        """Arrays that are set, by field name, in the order of definition."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    @property
    def formats(self) -> dict[str, Matrix]:
        """Matrices in another format than float32, by field name, in the order of definition."""
        values = {name: getattr(self, name) for name in self.matrices}
        return {name: value for name, value in values.items() if isinstance(value, Matrix)}

    @property
    def options(self) -> dict[str, Any]:
        """The other fields that are set, but for ``name`` and ``inputs``: plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        skip = {"name", "inputs", *self.arrays, *self.formats}
        return {name: value for name, value in values.items() if name not in skip and value is not None}

    @property
    def parameters(self) -> int:
        """How many numbers the arrays and matrices hold."""
        return sum(a.size for a in self.arrays.values()) + sum(m.size for m in self.formats.values())

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one step in the layer's matrices and scalings (activations are not counted)."""
        return 0

    @property
    def initial_state(self) -> dict[str, Array]:
        """State at the start of a stream, by name; each float32 ``(size,)``. Empty for a layer without memory."""
        return {}

    @property
    def bounded_state(self) -> bool:
        """Whether the state stays finite as long as what the layer reads is finite."""
        return True

    @property
    def output_bound(self) -> float | None:
        """What no output is larger than in size, whatever the layer reads; None where there is no such number."""
        return None

    def output_size(self, input_sizes: Sequence[int]) -> int:
        """Length of the layer's output, given the lengths of what it reads; ModelError where they do not fit."""
        raise NotImplementedError

    def _set_array(self, name: str, value: ArrayLike | Matrix, shape: tuple[int | str, ...]) -> tuple[int, ...]:
        """Store ``value`` as a checked float32 copy; ``shape`` holds lengths, or a letter where any length will do."""
        array = self._checked(name, value)
        expected = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
        fits = len(shape) == len(array.shape) and all(
            got > 0 if isinstance(want, str) else got == want for got, want in zip(array.shape, shape, strict=True)
        )
        if not fits:
            raise ModelError(f"{self.title} {name} got shape {array.shape}, expected {expected}.")
        object.__setattr__(self, name, array)
        return array.shape

    def _checked(self, name: str, value: ArrayLike | Matrix) -> Weight:
        """A read-only float32 copy of ``value``; itself if it is in another format and may be."""
        if isinstance(value, Matrix) and name in self.matrices:
            gates = len(getattr(self, "gates", "y"))
            if isinstance(value, Sparse) and value.values.shape[2] != gates:
                raise ModelError(f"{self.title} {name} got blocks of {value.values.shape[2]} gates, expected {gates}.")
            return value
        return _float32(self.title, name, value)

    def _check_option(self, name: str, allowed: Sequence[Any]) -> None:
        value = getattr(self, name)
        if not any(value is option or (isinstance(option, str) and value == option) for option in allowed):
            raise ModelError(f"{self.title} {name} got {value!r}, expected one of {', '.join(map(repr, allowed))}.")

    def _check_input_size(self, expected: int, input_sizes: Sequence[int]) -> None:
        got = sum(input_sizes)
        if got != expected:
            parts = " + ".join(map(str, input_sizes)) + " = " if len(input_sizes) > 1 else ""
            raise ModelError(f"{self.title} reads {parts}{got} values, expected {expected}, as its weights say.")


@dataclass(frozen=True, slots=True, eq=False)
class Recurrent(Layer):
    """What recurrent cells share: matrices of ``G`` gates by ``H`` units, biases, and a state that starts at ``h0``.

    Parameters
    ----------
    weight_ih
        ``(G*H, I)`` from the input, gates in PyTorch's order; float32, or in another format of
        :mod:`edge_rnn.formats`.
    weight_hh
        ``(G*H, H)`` from the hidden state, likewise.
    bias_ih, bias_hh
        ``(G*H,)`` each, or None for none.
    h0
        ``(H,)`` trained initial hidden state, or None for zeros.

    Raises
    ------
    ModelError
        A shape does not fit, a value is not finite, an option is unknown.
    """

    gates: ClassVar[str]

    matrices: ClassVar[tuple[str, ...]] = ("weight_ih", "weight_hh")

    weight_ih: Weight
    weight_hh: Weight
    bias_ih: Array | None = None
    bias_hh: Array | None = None
    h0: Array | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        Layer.__post_init__(self)
        gates = len(self.gates)
        shape = self._checked("weight_hh", self.weight_hh).shape
        if len(shape) != 2 or shape[1] == 0 or shape[0] != gates * shape[1]:
            wanted = "(H, H)" if gates == 1 else f"({gates}*H, H), {gates} gates of H units each"
            raise ModelError(f"{self.title} weight_hh got shape {shape}, expected {wanted}.")
        hidden = shape[1]
        self._set_array("weight_hh", self.weight_hh, shape)
        self._set_array("weight_ih", self.weight_ih, (gates * hidden, "I"))
        lengths = {"bias_ih": gates * hidden, "bias_hh": gates * hidden, "h0": hidden, "c0": hidden}
        for name, length in lengths.items():
            value = getattr(self, name, None)
            if value is not None:
                self._set_array(name, value, (length,))

    @property
    def hidden_size(self) -> int:
        """Number of units, H."""
        return int(self.weight_hh.shape[1])

    @property
    def input_size(self) -> int:
        """Number of values that one step reads, I."""
        return int(self.weight_ih.shape[1])

    @property
    def multiply_adds(self) -> int:
        return _products(self.weight_ih) + _products(self.weight_hh)

    @property
    def output_bound(self) -> float | None:
        """1, or the largest initial state: the new state is a mean of the old one and a tanh, or less."""
        return max(1.0, float(np.abs(self.initial_state["h"]).max()))

    @property
    def initial_state(self) -> dict[str, Array]:
        return {"h": _or_zeros(self.h0, self.hidden_size)}

    def output_size(self, input_sizes: Sequence[int]) -> int:
        self._check_input_size(self.input_size, input_sizes)
        return self.hidden_size


@dataclass(frozen=True, slots=True, eq=False)
class Elman(Recurrent):
    """Elman network, PyTorch's ``nn.RNN`` [1]_: ``h' = activation(W_ih x + b_ih + W_hh h + b_hh)``.

    Parameters
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh, h0
        See :class:`Recurrent`; one gate.
    activation
        ``"tanh"`` or ``"relu"``.

    References
    ----------
    .. [1] J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990), doi:10.1207/s15516709cog1402_1.
    """

    gates: ClassVar[str] = "h"

    activation: Literal["tanh", "relu"] = field(default="tanh", kw_only=True)

    def __post_init__(self) -> None:
        Recurrent.__post_init__(self)
        self._check_option("activation", ("tanh", "relu"))

    @property
    def bounded_state(self) -> bool:
        return self.activation != "relu"

    @property
    def output_bound(self) -> float | None:
        return Recurrent.output_bound.__get__(self) if self.bounded_state else None


@dataclass(frozen=True, slots=True, eq=False)
class LSTM(Recurrent):
    """Long short-term memory with forget gate [1]_ [2]_, gates in the order i f g o.

    ``c' = sigmoid(f) c + sigmoid(i) tanh(g)``, ``h' = sigmoid(o) tanh(c')``; i f g o are the parts of
    ``W_ih x + b_ih + W_hh h + b_hh``.

    Parameters
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh, h0
        See :class:`Recurrent`; four gates.
    c0
        ``(H,)`` trained initial cell state, or None for zeros.

    References
    ----------
    .. [1] S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997),
       doi:10.1162/neco.1997.9.8.1735.
    .. [2] F. A. Gers, J. Schmidhuber, F. Cummins, "Learning to forget", Neural Computation 12 (2000),
       doi:10.1162/089976600300015015.
    """

    gates: ClassVar[str] = "ifgo"

    c0: Array | None = field(default=None, kw_only=True)

    @property
    def initial_state(self) -> dict[str, Array]:
        return {"h": _or_zeros(self.h0, self.hidden_size), "c": _or_zeros(self.c0, self.hidden_size)}


@dataclass(frozen=True, slots=True, eq=False)
class GRU(Recurrent):
    """Gated recurrent unit [1]_, gates in the order r z n: ``h' = (1 - z) n + z h``.

    Parameters
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh, h0
        See :class:`Recurrent`; three gates.
    reset_after
        True: ``n = tanh(W_in x + b_in + r (W_hn h + b_hn))``, as PyTorch, cuDNN and Keras (``reset_after=True``) do;
        ONNX's ``linear_before_reset=1``. False: ``n = tanh(W_in x + b_in + W_hn (r h) + b_hn)``, as in the paper.

    References
    ----------
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
       translation", EMNLP 2014, doi:10.3115/v1/D14-1179.
    """

    gates: ClassVar[str] = "rzn"

    reset_after: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        Recurrent.__post_init__(self)
        self._check_option("reset_after", (True, False))


@dataclass(frozen=True, slots=True, eq=False)
class Dense(Layer):
    """Fully connected layer, PyTorch's ``nn.Linear`` and an activation: ``y = activation(W x + b)``.

    Parameters
    ----------
    weight
        ``(O, I)``; float32, or in another format of :mod:`edge_rnn.formats`.
    bias
        ``(O,)``, or None for none.
    activation
        ``"none"``, ``"tanh"``, ``"sigmoid"``, ``"relu"`` or ``"softmax"``.

    Raises
    ------
    ModelError
        A shape does not fit, a value is not finite, the activation is unknown.
    """

    ACTIVATIONS: ClassVar[tuple[str, ...]] = ("none", "tanh", "sigmoid", "relu", "softmax")

    matrices: ClassVar[tuple[str, ...]] = ("weight",)

    weight: Weight
    bias: Array | None = None
    activation: Literal["none", "tanh", "sigmoid", "relu", "softmax"] = field(default="none", kw_only=True)

    def __post_init__(self) -> None:
        Layer.__post_init__(self)
        shape = self._set_array("weight", self.weight, ("O", "I"))
        if self.bias is not None:
            self._set_array("bias", self.bias, shape[:1])
        self._check_option("activation", self.ACTIVATIONS)

    @property
    def input_size(self) -> int:
        """Number of values that one step reads, I."""
        return int(self.weight.shape[1])

    @property
    def multiply_adds(self) -> int:
        return _products(self.weight)

    @property
    def output_bound(self) -> float | None:
        return None if self.activation in ("none", "relu") else 1.0

    def output_size(self, input_sizes: Sequence[int]) -> int:
        self._check_input_size(self.input_size, input_sizes)
        return int(self.weight.shape[0])


@dataclass(frozen=True, slots=True, eq=False)
class Standardize(Layer):
    """Scaling per channel, ``y = (x - mean) / scale``, so that a sensor's own units go in.

    Parameters
    ----------
    mean
        ``(I,)`` in the sensor's units.
    scale
        ``(I,)`` in the sensor's units, for instance the standard deviation; no zeros.

    Raises
    ------
    ModelError
        A shape does not fit, a value is not finite, a scale is zero or too small for float32.
    """

    mean: Array
    scale: Array

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
    """Sum of two or more equally long inputs, for skip connections: ``Add(inputs=("input", "dense3"))``."""

    def __post_init__(self) -> None:
        Layer.__post_init__(self)
        if len(self.inputs) < 2:
            raise ModelError(f"{self.title} inputs got {self.inputs!r}, expected the names of two or more layers.")

    def output_size(self, input_sizes: Sequence[int]) -> int:
        if len(set(input_sizes)) != 1:
            raise ModelError(f"{self.title} reads {' and '.join(map(str, input_sizes))} values; all must be as long.")
        return input_sizes[0]


LAYER_TYPES: Mapping[str, type[Layer]] = MappingProxyType(
    {cls.__name__: cls for cls in (Elman, LSTM, GRU, Dense, Standardize, Add)}
)
"""Layer classes by name, as files and other formats refer to them."""


def _float32(owner: str, name: str, value: ArrayLike) -> Array:
    """A read-only float32 copy of ``value``, every number finite."""
    try:
        given = np.asarray(value)
    except ValueError as error:
        raise ModelError(f"{owner} {name} is not an array: {error}.") from None
    if given.dtype.kind not in "fiu":
        raise ModelError(f"{owner} {name} got dtype {given.dtype}, expected numbers that fit float32.")
    with np.errstate(over="ignore"):
        array = np.array(given, dtype=np.float32, order="C")
    if not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ModelError(f"{owner} {name} holds {given[place]} at {place}; expected finite float32 values.")
    array.setflags(write=False)
    return array


def _products(weight: Weight) -> int:
    """Multiply-adds of a product with a vector."""
    return weight.multiply_adds if isinstance(weight, Matrix) else weight.size


def _or_zeros(array: Array | None, size: int) -> Array:
    return np.zeros(size, np.float32) if array is None else array
