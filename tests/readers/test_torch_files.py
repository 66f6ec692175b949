"""``from_torch`` without torch: state_dicts as arrays and files, against PyTorch's outputs in the golden file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save, save_file

import edge_rnn
from edge_rnn import reference
from edge_rnn.errors import EdgeRnnError, FileError, InputError, ModelError, ReadingWarning, UnsupportedError
from edge_rnn.model import Model
from edge_rnn_export import from_torch

GOLDEN = Path(__file__).parents[1] / "golden" / "torch_state.safetensors"
TOLERANCE = 1e-12  # both computed in float64 from the same float32 weights

# What the names and shapes of a state_dict do not tell.
NETWORKS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "gru": (("rnn", "head"), {"head": "softmax"}),
    "lstm": (("rnn", "head"), {"head": "none"}),
    "elman": (("encoder", "head"), {"encoder": "relu", "head": "tanh"}),
    "cells": (("a", "b", "c", "head"), {"c": "tanh", "head": "none"}),
    "dense": (("0", "2", "4"), {"0": "relu", "2": "sigmoid", "4": "none"}),
}


def golden_state(network: str) -> dict[str, np.ndarray]:
    found = load_file(GOLDEN)
    return {name.partition("/")[2]: found[name] for name in sorted(found) if name.startswith(f"{network}/")}


def golden_error(model: Model, network: str) -> float:
    with np.load(GOLDEN.with_suffix(".npz")) as expected:
        ys, _ = reference.run(model, expected[f"{network}/x"])
        return float(np.abs(ys - expected[f"{network}/y"]).max())


@pytest.mark.parametrize("network", NETWORKS)
def test_state_dict_of_arrays(network: str) -> None:
    modules, activations = NETWORKS[network]
    model = from_torch(golden_state(network), modules=modules, activations=activations)
    assert golden_error(model, network) <= TOLERANCE


@pytest.mark.parametrize("network", NETWORKS)
def test_state_dict_of_lists(network: str) -> None:
    modules, activations = NETWORKS[network]
    state = {name: array.tolist() for name, array in golden_state(network).items()}
    assert golden_error(from_torch(state, modules=modules, activations=activations), network) <= TOLERANCE


@pytest.mark.parametrize("network", [network for network in NETWORKS if network != "dense"])
def test_safetensors_file_finds_the_order_by_itself(network: str, tmp_path: Path) -> None:
    modules, activations = NETWORKS[network]
    path = tmp_path / "state.safetensors"
    save_file(golden_state(network), path)
    kinds = {"head": "Linear"} if network == "lstm" else None
    with pytest.warns(ReadingWarning, match=f"assumed: '{modules[0]}'.* in this order"):
        model = from_torch(path, activations=activations, kinds=kinds)
    assert model.fingerprint == from_torch(str(path), modules=modules, activations=activations).fingerprint
    assert golden_error(model, network) <= TOLERANCE


def test_order_of_definition_makes_no_difference() -> None:
    state = golden_state("gru")
    turned = {name: state[name] for name in sorted(state, reverse=True)}
    with pytest.warns(ReadingWarning):
        assert [layer.name for layer in from_torch(turned).layers] == ["rnn_l0", "rnn_l1", "head"]


def test_names_of_layers() -> None:
    linear = {"weight": np.zeros((3, 3)), "bias": np.zeros(3)}

    def names(*paths: str) -> list[str]:
        state = {f"{path}.{key}".lstrip("."): value for path in paths for key, value in linear.items()}
        model = from_torch(state, modules=paths, activations=dict.fromkeys(paths, "none"))
        return [layer.name for layer in model.layers]

    assert names("0", "1") == ["dense1", "dense2"]
    assert names("net.0", "net.1") == ["net_0", "net_1"]
    assert names("a.b", "a_b", "input") == ["a_b", "a_b_2", "input_2"]
    assert names("") == ["dense1"]


def test_numbered_modules_go_by_number_not_by_alphabet(tmp_path: Path) -> None:
    sizes = [3] * 12 + [2]
    state = {f"net.{k}.weight": np.full((sizes[k + 1], sizes[k]), k, np.float32) for k in range(12)}
    state |= {f"net.12.{name}": np.float32(array) for name, array in rnn(inputs=2).items()}
    save_file(state, tmp_path / "state.safetensors")
    with pytest.warns(ReadingWarning, match=r"'net\.0', 'net\.1', .* and 1 more in this order"):
        model = from_torch(tmp_path / "state.safetensors", activations={f"net.{k}": "none" for k in range(12)})
    assert [layer.name for layer in model.layers] == [f"net_{k}" for k in range(13)]


@pytest.mark.parametrize("activation", ["tanh", "none"])
def test_gap_between_numbers_is_resolved_by_the_activation_before_it(activation: str) -> None:
    model = from_torch(numbered(0, 2), modules=["0", "2"], activations={"0": activation, "2": "none"})
    assert [layer.options["activation"] for layer in model.layers] == [activation, "none"]


def test_gap_that_follows_no_linear_is_resolved_by_naming_the_modules() -> None:
    state = {f"rnn.{key}": value for key, value in rnn(hidden=3).items()} | numbered(1, head="head")
    assert len(from_torch(state, modules=["rnn", "head.1"], activations={"head.1": "none"}).layers) == 2
    gru = {f"0.{key}": value for key, value in rnn(hidden=3).items()} | numbered(2)
    assert len(from_torch(gru, modules=["0", "2"], activations={"2": "none"}).layers) == 2
    assert len(from_torch(numbered(0, 2), modules=["0"], activations={"0": "none"}, ignore=["2"]).layers) == 1


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_floating_types_of_a_file(dtype: str, tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((2, 3)).astype(dtype)
    save_file({"weight": weight}, tmp_path / "state.safetensors")
    layer = from_torch(tmp_path / "state.safetensors", activations={"": "none"}).layers[0]
    assert np.array_equal(layer.arrays["weight"], weight.astype(np.float32))


def test_bfloat16_in_a_file(tmp_path: Path) -> None:
    weight = np.float32([[1, -2.5, 0.15625], [3e38, 1e-30, 0]])
    upper = np.ascontiguousarray(weight.view(np.uint32) >> 16).astype("<u2")
    header = json.dumps({"weight": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}}).encode()
    path = tmp_path / "state.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + upper.tobytes())
    expected = (upper.astype(np.uint32) << 16).view(np.float32)
    assert np.array_equal(from_torch(path, activations={"": "none"}).layers[0].arrays["weight"], expected)
    assert expected[0].tolist() == [1, -2.5, 0.15625]


def rnn(gates: int = 3, suffix: str = "_l0", hidden: int = 4, inputs: int = 3) -> dict[str, Any]:
    return {
        f"weight_ih{suffix}": np.zeros((gates * hidden, inputs)),
        f"weight_hh{suffix}": np.zeros((gates * hidden, hidden)),
    }


def without(state: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key != name}


def numbered(*numbers: int, head: str = "") -> dict[str, Any]:
    return {f"{head}.{number}.weight".lstrip("."): np.zeros((3, 3)) for number in numbers}


LINEAR = {"activations": {"": "none"}}
BATCH_NORM = {name: np.zeros(4) for name in ("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")}
REFUSED: list[tuple[Any, dict[str, Any], type[EdgeRnnError], str]] = [
    (rnn() | rnn(suffix="_l0_reverse"), {}, UnsupportedError, r"the state_dict: it is bidirectional"),
    (
        {"a.weight_hr_l0": np.zeros((2, 4)), "a.weight_ih_l0": np.zeros((16, 3))},
        {},
        UnsupportedError,
        r"'a'.*there is no weight_hh_l0",
    ),
    (rnn(gates=4) | {"weight_hr_l0": np.zeros((2, 4))}, {}, ModelError, r"weight_hh got shape"),
    ({"9" * 5000 + ".weight": np.zeros((1, 1)), "b.weight": np.zeros((2, 2))}, {}, InputError, "no bias, is an Emb"),
    (rnn(gates=2), {}, UnsupportedError, r"weight_hh_l0 got shape \(8, 4\), expected \(H, H\), \(3\*H, H\) or"),
    (rnn(suffix="_l1"), {}, UnsupportedError, r"it has the layers _l1, expected _l0 without gaps"),
    (rnn() | rnn(suffix="_l2"), {}, UnsupportedError, r"it has the layers _l0, _l2, expected _l0, _l1"),
    (without(rnn(), "weight_ih_l0"), {}, ModelError, r"found no 'weight_ih_l0'"),
    (without(rnn(), "weight_hh_l0"), {}, UnsupportedError, r"there is no weight_hh_l0, only weight_ih_l0"),
    (rnn() | {"bias_ih_l0": np.zeros(12)}, {}, ModelError, r"found 'bias_ih_l0' but no 'bias_hh_l0'; PyTorch has both"),
    (rnn() | {"bias_hh_l0": np.zeros(12)}, {}, ModelError, r"found 'bias_hh_l0' but no 'bias_ih_l0'"),
    (numbered(0, 2), {"modules": ["0", "2"], "activations": {"2": "none"}}, InputError, r"kinds={'0': 'Embedding'}"),
    (numbered(1) | rnn(), {"kinds": {"1": "Linear"}}, InputError, r"was at '0', before '1', .*name the modules in"),
    (
        rnn() | {"bias_ih_l0": np.zeros(11), "bias_hh_l0": np.zeros(12)},
        {},
        ModelError,
        r"GRU bias_ih got shape \(11,\), expected \(12,\)",
    ),
    (
        rnn() | {"h0": np.zeros(4)},
        {},
        UnsupportedError,
        r"to no supported layer: h0 \(4,\). Name them in ignore=",
    ),
    (BATCH_NORM, {}, UnsupportedError, r"'bn': it holds weight \(4,\), bias \(4,\), running_mean"),
    ({"conv.weight": np.zeros((4, 3, 5))}, {}, UnsupportedError, r"'conv': it holds weight \(4, 3, 5\)"),
    ({"weight": np.full((2, 2), np.nan)}, LINEAR, ModelError, r"weight holds nan at \(0, 0\)"),
    (
        {"weight": np.zeros((2, 3), np.int8)},
        LINEAR,
        UnsupportedError,
        r"weight got dtype int8, expected floating point",
    ),
    ({"weight": [[1.0, 2.0], [3.0]]}, {}, UnsupportedError, r"weight is not an array of numbers"),
    ({"weight": "many"}, {}, UnsupportedError, r"expected floating point|supported are"),
    ({}, {}, ModelError, r"no layers"),
    (rnn(), {"activations": {"": "relu"}}, InputError, r"expected one of none"),
    (rnn(1), {"activations": {"": "softmax"}}, InputError, r"got 'softmax' for '', expected one of tanh, relu"),
    (rnn(), {"ignore": "weight_ih_l0"}, InputError, r"'weight_ih_l0' is used"),
    (rnn(), {"modules": ["gru"]}, InputError, r"'gru', which does not exist"),
    (rnn(), {"standardize": ([0.0, 0.0], [1.0, 1.0])}, ModelError, r"reads 2 values, expected 3"),
    (rnn(), {"labels": ["rest"]}, ModelError, r"labels got 1 text, expected 4"),
    (
        "model.onnx",
        {},
        InputError,
        r"'model\.onnx'; expected a state_dict: \.pt, \.pth, \.ckpt, \.bin, \.pt2, \.safetensors",
    ),
    ("absent.safetensors", {}, FileError, r"absent\.safetensors: cannot be read: No such file"),
    ([1, 2], {}, InputError, r"got list, expected an nn\.Module"),
    ({1: np.zeros((2, 2))}, {}, InputError, r"got dict, expected an nn\.Module"),
]


@pytest.mark.parametrize(("source", "options", "kind", "message"), REFUSED)
def test_refused(source: Any, options: dict[str, Any], kind: type[EdgeRnnError], message: str) -> None:
    with pytest.raises(kind, match=message):
        from_torch(source, **options)


def test_integers_in_a_file_are_named(tmp_path: Path) -> None:
    save_file({"weight": np.zeros((2, 2), np.float32), "seen": np.zeros(1, np.int64)}, tmp_path / "a.safetensors")
    with pytest.raises(UnsupportedError, match=r"that belong to no supported layer: seen \(1,\)"):
        from_torch(tmp_path / "a.safetensors", activations={"": "none"}, ignore=())
    assert from_torch(tmp_path / "a.safetensors", activations={"": "none"}, ignore=["seen"]).output_size == 2


def test_own_model_file_is_refused(tmp_path: Path) -> None:
    edge_rnn.save(from_torch(rnn()), tmp_path / "model.safetensors")
    with pytest.raises(FileError, match=r"is an edge_rnn model already; read it with edge_rnn\.load"):
        from_torch(tmp_path / "model.safetensors")


WHOLE = save({f"head.{name}": np.ones(shape, np.float32) for name, shape in (("weight", (2, 3)), ("bias", (2,)))})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    length=st.integers(0, len(WHOLE)),
    place=st.integers(0, len(WHOLE) - 1),
    value=st.integers(0, 255),
)
def test_damaged_safetensors_gives_one_error_of_ours(length: int, place: int, value: int, tmp_path: Path) -> None:
    data = bytearray(WHOLE)
    data[place] = value
    (tmp_path / "state.safetensors").write_bytes(data[: length or None])
    try:
        model = from_torch(tmp_path / "state.safetensors", modules=["head"], activations={"head": "none"})
    except EdgeRnnError as error:
        assert str(error)
    else:  # a weight or a name has changed, which nothing can tell
        assert model.input_size * model.output_size <= 6
