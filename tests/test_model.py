"""Models and layers: checks, sizes, names, wiring and fingerprints."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import edge_rnn.layers
from edge_rnn.errors import EdgeRnnError, ModelError
from edge_rnn.layers import GRU, INPUT, LAYER_TYPES, LSTM, Add, Dense, Elman, Layer, Standardize
from edge_rnn.model import Model

MakeModel = Callable[..., Model]
zeros = np.zeros

# What is wrong, what builds it, and what the message must say.
WRONG_LAYERS: list[tuple[str, Callable[[], Layer], str]] = [
    (
        "gru rows",
        lambda: GRU(zeros((6, 3)), zeros((7, 2))),
        "GRU weight_hh got shape (7, 2), expected (3*H, H), 3 gates",
    ),
    ("lstm rows", lambda: LSTM(zeros((8, 3)), zeros((6, 2))), "LSTM weight_hh got shape (6, 2), expected (4*H, H)"),
    ("elman rows", lambda: Elman(zeros((2, 3)), zeros((2, 3))), "Elman weight_hh got shape (2, 3), expected (H, H)"),
    ("no units", lambda: GRU(zeros((0, 3)), zeros((0, 0))), "GRU weight_hh got shape (0, 0), expected (3*H, H)"),
    ("flat", lambda: GRU(zeros((6, 3)), zeros(12)), "GRU weight_hh got shape (12,), expected (3*H, H)"),
    ("ih rows", lambda: GRU(zeros((7, 3)), zeros((6, 2))), "GRU weight_ih got shape (7, 3), expected (6, I)"),
    ("ih columns", lambda: GRU(zeros((6, 0)), zeros((6, 2))), "GRU weight_ih got shape (6, 0), expected (6, I)"),
    ("bias", lambda: LSTM(zeros((8, 3)), zeros((8, 2)), zeros(6)), "LSTM bias_ih got shape (6,), expected (8,)"),
    (
        "bias_hh",
        lambda: LSTM(zeros((8, 3)), zeros((8, 2)), None, zeros(6)),
        "LSTM bias_hh got shape (6,), expected (8,)",
    ),
    ("h0", lambda: GRU(zeros((6, 3)), zeros((6, 2)), h0=zeros(6)), "GRU h0 got shape (6,), expected (2,)"),
    ("c0", lambda: LSTM(zeros((8, 3)), zeros((8, 2)), c0=zeros((1, 2))), "LSTM c0 got shape (1, 2), expected (2,)"),
    (
        "activation",
        lambda: Elman(zeros((2, 3)), zeros((2, 2)), activation="swish"),
        "Elman activation got 'swish', expected one of 'none', 'tanh', 'sigmoid', 'relu', 'hard_sigmoid'",
    ),
    (
        "parameters",
        lambda: Elman(zeros((2, 3)), zeros((2, 2)), activation="elu:1:2"),
        "Elman activation got 'elu:1:2', elu takes 1 parameter",
    ),
    (
        "gate clip",
        lambda: LSTM(zeros((8, 3)), zeros((8, 2)), gate_clip=0),
        "LSTM gate_clip got 0, expected a positive number or None",
    ),
    (
        "coupled",
        lambda: LSTM(zeros((8, 3)), zeros((8, 2)), coupled="both"),  # type: ignore[arg-type]
        "LSTM coupled got 'both', expected one of 'none', 'input', 'forget'",
    ),
    (
        "peephole",
        lambda: LSTM(zeros((8, 3)), zeros((8, 2)), peephole=zeros(8)),
        "LSTM peephole got shape (8,), expected (6,)",
    ),
    (
        "projection",
        lambda: LSTM(zeros((8, 3)), zeros((8, 2)), weight_hr=zeros((3, 2))),
        "LSTM weight_hh got shape (8, 2), expected (8, 3)",
    ),
    (
        "projection clip",
        lambda: LSTM(zeros((8, 3)), zeros((8, 2)), projection_clip=1.0),
        "LSTM has a projection_clip, but no projection weight_hr",
    ),
    (
        "reset_after",
        lambda: GRU(zeros((6, 3)), zeros((6, 2)), reset_after=1),  # type: ignore[arg-type]
        "GRU reset_after got 1, expected one of True, False",
    ),
    ("nan", lambda: Dense([[1, np.nan]]), "Dense weight holds nan at (0, 1); expected finite float32"),
    ("inf", lambda: GRU(zeros((6, 1)), zeros((6, 2)), [0, 0, np.inf, 0, 0, 0]), "GRU bias_ih holds inf at (2,)"),
    ("too large", lambda: Dense([[1e39]]), "Dense weight holds 1e+39 at (0, 0); expected finite float32"),
    ("text", lambda: Dense([["a"]]), "Dense weight got dtype <U1, expected numbers"),  # type: ignore[list-item]
    ("complex", lambda: Dense([[1j]]), "Dense weight got dtype complex128, expected numbers"),
    ("bool", lambda: Dense([[True]]), "Dense weight got dtype bool, expected numbers"),
    ("none", lambda: Dense(None), "Dense weight got dtype object, expected numbers"),  # type: ignore[arg-type]
    ("ragged", lambda: Dense([[1], [1, 2]]), "Dense weight is not an array"),  # type: ignore[list-item]
    ("dense", lambda: Dense(zeros(3)), "Dense weight got shape (3,), expected (O, I)"),
    ("dense bias", lambda: Dense(zeros((2, 3)), zeros(3)), "Dense bias got shape (3,), expected (2,)"),
    (
        "dense activation",
        lambda: Dense([[1]], activation=["relu"]),  # type: ignore[arg-type]
        "Dense activation got ['relu'], expected one of 'none', 'tanh', 'sigmoid', 'relu', 'hard_sigmoid'",
    ),
    ("mean", lambda: Standardize([[1]], [1]), "Standardize mean got shape (1, 1), expected (I,)"),
    ("scale", lambda: Standardize([1, 2], [1]), "Standardize scale got shape (1,), expected (2,)"),
    (
        "zero scale",
        lambda: Standardize([1, 2], [1, 0]),
        "Standardize scale holds a zero or a value below 1.18e-38; use 1",
    ),
    ("tiny scale", lambda: Standardize([1], [1e-40], name="s"), "Standardize 's' scale holds a zero"),
    ("add", lambda: Add(inputs=("input",)), "Add inputs got ('input',), expected the names of two or more layers"),
    ("name", lambda: Dense([[1]], name="1st"), "Dense got the name '1st'; expected a letter or _"),
    ("dot", lambda: Dense([[1]], name="a.b"), "Dense got the name 'a.b'; expected a letter or _"),
    ("newline", lambda: Dense([[1]], name="a\n"), "Dense got the name 'a\\n'; expected a letter or _"),
    ("long name", lambda: Dense([[1]], name="a" * 65), "followed by up to 63 letters"),
    ("input", lambda: Dense([[1]], name="input"), "Dense got the name 'input'"),
    ("no text", lambda: Dense([[1]], name=3), "Dense got the name 3; expected a letter"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "message"), [row[1:] for row in WRONG_LAYERS], ids=[row[0] for row in WRONG_LAYERS])
def test_layer_refuses(make: Callable[[], Layer], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        make()
    assert message in str(caught.value)
    assert isinstance(caught.value, EdgeRnnError)
    assert isinstance(caught.value, ValueError)


GRU_3_2 = GRU(zeros((6, 3)), zeros((6, 2)))
DENSE_4_2 = Dense(zeros((4, 2)))

WRONG_MODELS: list[tuple[str, Callable[[], Model], str]] = [
    ("empty", lambda: Model([]), "Model got no layers; expected at least one"),
    ("not a layer", lambda: Model([GRU_3_2, "dense"]), "Model layers[1] got str, expected a layer"),  # type: ignore[list-item]
    ("misfit", lambda: Model([GRU_3_2, GRU_3_2]), "GRU 'gru2' reads 2 values, expected 3, from its weights"),
    ("input", lambda: Model([GRU_3_2], input_size=4), "GRU 'gru1' reads 4 values, expected 3"),
    (
        "concatenation",
        lambda: Model([GRU_3_2, Dense(zeros((4, 3)), inputs=("gru1", "input"))]),
        "Dense 'dense2' reads 2 + 3 = 5 values, expected 3",
    ),
    (
        "sum",
        lambda: Model([GRU_3_2, Add(inputs=("gru1", "input"))]),
        "Add 'add2' reads 2 and 3 values; all must have the same length",
    ),
    (
        "unknown",
        lambda: Model([GRU_3_2, Dense(zeros((4, 2)), inputs=("gru2",))]),
        "Dense 'dense2' inputs name 'gru2', which no earlier layer has; expected one of 'input', 'gru1'",
    ),
    (
        "itself",
        lambda: Model([GRU_3_2, Dense(zeros((2, 2)), name="d", inputs="d")]),  # type: ignore[arg-type]
        "Dense 'd' inputs name 'd', which no earlier layer has",
    ),
    (
        "twice",
        lambda: Model([Dense([[1]], name="a"), Dense([[1]], name="a")]),
        "Model has 2 layers called 'a'; give each a different name",
    ),
    (
        "taken",
        lambda: Model([Dense([[1]], name="dense2"), Dense([[1]])]),
        "Model layer 2 would be called 'dense2', which another layer is",
    ),
    ("no size", lambda: Model([Add(inputs=("input", "input"))]), "input_size does not follow from the layers; pass it"),
    (
        "labels",
        lambda: Model([GRU_3_2], labels=("a",)),
        "Model labels got 1 text, expected 2, one for each of the model's",
    ),
    (
        "one label",
        lambda: Model([GRU_3_2], labels="ab"),
        "Model labels got 'ab', expected a sequence of 2 texts",
    ),
    (
        "escape codes",
        lambda: Model([GRU_3_2], labels=("a", "\x1b[31m")),
        "Model labels got '\\x1b[31m', expected a text",
    ),
    ("escaped name", lambda: Model([GRU_3_2], name="a\nb"), "Model name got 'a\\nb', expected a text"),
    ("half a surrogate", lambda: Model([GRU_3_2], name="\ud800"), "Model name got '\\ud800', expected a text"),
    ("no labels", lambda: Model([GRU_3_2], labels=5), "Model labels got 5, expected a sequence of 2 texts"),  # type: ignore[arg-type]
    ("one layer", lambda: Model(DENSE_4_2), "Model layers got Dense, expected a list of layers"),  # type: ignore[arg-type]
    ("text rate", lambda: Model([GRU_3_2], sample_rate_hz="abc"), "sample_rate_hz got 'abc', expected"),  # type: ignore[arg-type]
    ("negative", lambda: Model([GRU_3_2], input_size=-2), "Model input_size got -2, expected a positive int"),
    ("fraction", lambda: Model([GRU_3_2], input_size=1.5), "Model input_size got 1.5, expected a positive int"),  # type: ignore[arg-type]
    ("inputs", lambda: Add(inputs=3), "Add inputs got 3, expected names of layers"),  # type: ignore[arg-type]
    ("nested inputs", lambda: Add(inputs=([], [])), "Add inputs got ([], []), expected names"),  # type: ignore[arg-type]
    ("ragged", lambda: Elman([[1]], [[1], [1, 2]]), "Elman weight_hh is not an array"),  # type: ignore[arg-type,list-item]
    ("names", lambda: Model([GRU_3_2], input_names=("a", "b")), "Model input_names got 2 texts, expected 3"),
    ("units", lambda: Model([GRU_3_2], input_units=["g"]), "Model input_units got 1 text, expected 3"),
    (
        "zero rate",
        lambda: Model([GRU_3_2], sample_rate_hz=0),
        "sample_rate_hz got 0, expected a positive number or None",
    ),
    ("nan rate", lambda: Model([GRU_3_2], sample_rate_hz=float("nan")), "sample_rate_hz got nan, expected a positive"),
    ("inf rate", lambda: Model([GRU_3_2], sample_rate_hz=float("inf")), "sample_rate_hz got inf, expected a positive"),
]


@pytest.mark.parametrize(("make", "message"), [row[1:] for row in WRONG_MODELS], ids=[row[0] for row in WRONG_MODELS])
def test_model_refuses(make: Callable[[], Model], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "inputs", "outputs", "parameters", "multiply_adds", "states"),
    [
        (Elman(zeros((5, 3)), zeros((5, 5))), [3], 5, 40, 40, {"h": 5}),
        (GRU(zeros((15, 3)), zeros((15, 5)), zeros(15), zeros(15)), [1, 2], 5, 150, 120, {"h": 5}),
        (LSTM(zeros((20, 3)), zeros((20, 5)), zeros(20)), [3], 5, 180, 160, {"h": 5, "c": 5}),
        (LSTM(zeros((4, 1)), zeros((4, 1)), h0=[1.0], c0=[2.0]), [1], 1, 10, 8, {"h": 1, "c": 1}),
        (Dense(zeros((2, 7)), zeros(2)), [3, 4], 2, 16, 14, {}),
        (Standardize(zeros(4), [1, 2, 3, 4]), [4], 4, 8, 4, {}),
        (Add(inputs=("a", "b", "c")), [6, 6, 6], 6, 0, 0, {}),
    ],
    ids=lambda value: value.kind if isinstance(value, Layer) else "",
)
def test_sizes(
    layer: Layer, inputs: list[int], outputs: int, parameters: int, multiply_adds: int, states: dict[str, int]
) -> None:
    assert layer.output_size(inputs) == outputs
    assert layer.num_parameters == parameters
    assert layer.multiply_adds == multiply_adds
    assert {name: value.size for name, value in layer.initial_state.items()} == states
    assert all(value.dtype == np.float32 for value in layer.initial_state.values())


@pytest.mark.parametrize("given", [np.float64, np.float16, np.int32, np.uint8, ">f4"])
def test_arrays_are_frozen_float32_copies(given: Any) -> None:
    weight = np.arange(6).reshape(2, 3).astype(given)
    layer = Dense(weight.T, name="d")
    assert layer.weight.dtype == np.float32
    assert layer.weight.dtype.isnative
    assert layer.weight.flags.c_contiguous
    np.testing.assert_array_equal(layer.weight, [[0, 3], [1, 4], [2, 5]])
    weight[:] = 9
    assert layer.weight.max() == 5
    with pytest.raises(ValueError, match="read-only"):
        layer.weight[0, 0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        layer.bias = None  # type: ignore[misc]


def test_arrays_and_options_follow_the_fields() -> None:
    layer = LSTM(zeros((8, 3)), zeros((8, 2)), None, zeros(8), c0=[1, 2], name="rnn", inputs="input")  # type: ignore[arg-type]
    assert list(layer.arrays) == ["weight_ih", "weight_hh", "bias_hh", "c0"]
    assert layer.options == {}
    assert layer.inputs == (INPUT,)
    assert layer.title == "LSTM 'rnn'"
    assert GRU_3_2.options == {"reset_after": True}
    assert Elman([[1]], [[1]], activation="relu").options == {"activation": "relu"}
    assert DENSE_4_2.options == {"activation": "none"}


def test_every_kind_is_listed_under_its_name() -> None:
    kinds = {
        name for name, value in vars(edge_rnn.layers).items() if isinstance(value, type) and issubclass(value, Layer)
    }
    assert kinds - {"Layer", "Recurrent", "Cell"} == set(LAYER_TYPES)
    assert all(name == cls.__name__ for name, cls in LAYER_TYPES.items())


def test_model_names_and_wires_its_layers() -> None:
    model = Model(
        [
            Standardize(zeros(3), np.ones(3)),
            GRU_3_2,
            Dense(zeros((3, 5)), name="mix", inputs=("gru2", "input")),
            Add(inputs=("mix", "standardize1", "input")),
        ],
        name="wrist",
        labels=["a", "b", "c"],
        sample_rate_hz=10,
        input_names=("x", "y", "z"),
        input_units=("g", "g", "g"),
    )
    assert [layer.name for layer in model.layers] == ["standardize1", "gru2", "mix", "add4"]
    assert model.sources == ((-1,), (0,), (1, -1), (2, 0, -1))
    assert model.output_sizes == (3, 2, 3, 3)
    assert model.read_sizes == ((3,), (3,), (2, 3), (3, 3, 3))
    assert (model.input_size, model.output_size) == (3, 3)
    assert model.num_parameters == 6 + 30 + 15
    assert model.multiply_adds == 3 + 30 + 15
    assert model.labels == ("a", "b", "c")
    assert model.sample_rate_hz == 10.0
    assert repr(model) == "<Model wrist: input(3) > standardize1(3) > gru2(2) > mix(3) > add4(3)>"
    assert GRU_3_2.name == ""  # a layer belongs to no model
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.name = "other"  # type: ignore[misc]


def test_sizes_that_do_not_follow_from_weights() -> None:
    model = Model([Add(inputs=("input", "input")), Dense(zeros((2, 5)))], input_size=5)
    assert model.output_sizes == (5, 2)
    with pytest.raises(ModelError, match=re.escape("Dense 'dense2' reads 4 values, expected 5")):
        Model([Add(inputs=("input", "input")), Dense(zeros((2, 5)))], input_size=4)


def test_initial_state_is_named_by_layer(make_model: MakeModel) -> None:
    model = make_model("lstm", 3, 5, layers=2, initial=True)
    assert list(model.initial_state) == ["lstm1.h", "lstm1.c", "lstm2.h", "lstm2.c"]
    first = model.layers[0]
    assert isinstance(first, LSTM)
    assert first.h0 is not None
    np.testing.assert_array_equal(model.initial_state["lstm1.h"], first.h0)
    assert not make_model("gru", 3, 5).initial_state["gru1.h"].any()


def test_fingerprint_covers_what_is_computed(make_model: MakeModel) -> None:
    base = make_model("gru", 3, 5)
    same = make_model("gru", 3, 5, name="other", labels=list("abcd"), sample_rate_hz=4)
    assert re.fullmatch(r"[0-9a-f]{64}", base.fingerprint)
    assert same.fingerprint == base.fingerprint
    gru, head = base.layers
    assert isinstance(gru, GRU)
    assert isinstance(head, Dense)
    nudged = gru.weight_hh.copy()
    nudged[0, 0] = np.nextafter(nudged[0, 0], np.float32(2))
    others = {
        "weight": [dataclasses.replace(gru, weight_hh=nudged), head],
        "option": [dataclasses.replace(gru, reset_after=False), head],
        "bias": [dataclasses.replace(gru, bias_ih=None), head],
        "biases swapped": [dataclasses.replace(gru, bias_ih=gru.bias_hh, bias_hh=gru.bias_ih), head],
        "start": [dataclasses.replace(gru, h0=zeros(5)), head],
        "name": [dataclasses.replace(gru, name="rnn"), head],
        "end": [gru],
        "wiring": [gru, dataclasses.replace(head, weight=np.hstack([head.weight] * 2), inputs=("gru1", "gru1"))],
    }
    prints = {what: Model(layers).fingerprint for what, layers in others.items()} | {"base": base.fingerprint}
    assert len(set(prints.values())) == len(prints)


def test_random_models_of_the_fixture(make_model: MakeModel) -> None:
    for cell in ("elman_tanh", "elman_relu", "gru", "gru_reset_before", "lstm"):
        model = make_model(cell, 3, 16, layers=2, seed=5)
        assert model.output_sizes == (16, 16, 4)
        weights = np.concatenate([array.ravel() for layer in model.layers for array in layer.arrays.values()])
        assert 0.2 < np.abs(weights).max() <= 0.25
        assert model.fingerprint == make_model(cell, 3, 16, layers=2, seed=5).fingerprint
        assert model.fingerprint != make_model(cell, 3, 16, layers=2, seed=6).fingerprint
