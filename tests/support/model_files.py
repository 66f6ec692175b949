"""Helpers of storage tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_rnn.layers import GRU, LSTM, Add, Dense, Elman, Layer, Standardize
from edge_rnn.model import Model
from edge_rnn.printable import is_printable

MakeModel = Callable[..., Model]

METADATA = (
    "name", "labels", "sample_rate_hz", "input_names", "input_units", "input_size", "vocabulary", "sources",
    "output_sizes",
)  # fmt: skip


def assert_same(got: Model, want: Model) -> None:
    """Equal to the last bit: layers, arrays, options, metadata."""
    for name in METADATA:
        assert getattr(got, name) == getattr(want, name), name
    assert len(got.layers) == len(want.layers)
    for a, b in zip(got.layers, want.layers, strict=True):
        assert type(a) is type(b)
        assert (a.name, a.inputs, a.options, list(a.arrays)) == (b.name, b.inputs, b.options, list(b.arrays))
        for key, array in a.arrays.items():
            assert array.dtype == b.arrays[key].dtype
            assert array.shape == b.arrays[key].shape
            assert array.tobytes() == b.arrays[key].tobytes(), key
            assert not array.flags.writeable
    assert got.fingerprint == want.fingerprint


# Models to store: every kind of layer, options, absent arrays, skips, any text.

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")).filter(is_printable), max_size=8)
symbols = st.text(st.characters(exclude_categories=("Cc", "Cs")) | st.sampled_from("\t\n"), min_size=1, max_size=3)


@st.composite
def arrays(draw: st.DrawFn, *shape: int) -> NDArray[np.float32]:
    """Any float32 numbers, negative zeros and subnormal ones among them."""
    few = draw(st.lists(finite, min_size=1, max_size=6))
    return np.resize(np.array(few, np.float32), shape)


@st.composite
def recurrent_layers(draw: st.DrawFn, size: int) -> Layer:
    units = draw(st.integers(1, 5))
    cls, gates = draw(st.sampled_from([(Elman, 1), (GRU, 3), (LSTM, 4)]))
    rows = gates * units
    some = {"bias_ih": (rows,), "bias_hh": (rows,), "h0": (units,)}
    if cls is LSTM:
        some["c0"] = (units,)
    kept: dict[str, Any] = {key: draw(arrays(*shape)) for key, shape in some.items() if draw(st.booleans())}
    if cls is Elman:
        kept["activation"] = draw(st.sampled_from(["tanh", "relu"]))
    if cls is GRU:
        kept["reset_after"] = draw(st.booleans())
    return cls(draw(arrays(rows, size)), draw(arrays(rows, units)), **kept)


@st.composite
def models(draw: st.DrawFn) -> Model:
    size = width = draw(st.integers(1, 5))
    layers: list[Layer] = []
    if draw(st.booleans()):
        layers.append(Standardize(draw(arrays(size)), np.full(size, draw(st.floats(0.25, 4, width=32))), name="scaled"))
    for _ in range(draw(st.integers(0, 3))):
        layers.append(draw(recurrent_layers(width)))
        width = layers[-1].output_size([width])
    activation = draw(st.sampled_from(Dense.ACTIVATIONS))
    bias = draw(st.none() | arrays(size))
    layers.append(Dense(draw(arrays(size, width)), bias, activation=activation, name="head"))  # type: ignore[arg-type]
    if draw(st.booleans()):
        layers.append(Add(inputs=("input", "head"), name="skip"))
    return Model(
        layers,
        name=draw(texts),
        labels=draw(st.just([]) | st.lists(texts, min_size=size, max_size=size)),
        sample_rate_hz=draw(st.none() | st.floats(1e-300, 1e300)),
        input_names=draw(st.just([]) | st.lists(texts, min_size=size, max_size=size)),
        input_units=draw(st.just([]) | st.lists(texts, min_size=size, max_size=size)),
        vocabulary=draw(st.just([]) | st.lists(symbols, min_size=size, max_size=size, unique=True)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Shifted(Layer):
    """Kind of layer that model_file.py does not know, with an unusual dtype."""

    shift: NDArray[np.int8]
    spare: NDArray[np.float64] | None = None
    mode: Literal["up", "down"] = field(default="up", kw_only=True)
    gain: float = field(default=1.0, kw_only=True)
    times: int = field(default=2, kw_only=True)
    note: str | None = field(default=None, kw_only=True)

    def output_size(self, input_sizes: Any) -> int:
        return len(self.shift)


HUGE = 10**30


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
) | st.sampled_from([2**63, -(2**63), 2**64, HUGE, [2**40], "gru1", "weight_ih", "GRU", [[]], {}, -0.0])
