"""Archives of ``torch.export.save``: the weights, and the chain that the graph is, without PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import torch_archive
from edge_rnn.errors import EdgeRnnError, FileError, UnsupportedError
from edge_rnn_export import from_torch
from edge_rnn_export.readers.by_file_name import import_file

RNG = np.random.default_rng(1964)
HEAD = {"head.weight": RNG.standard_normal((2, 4)).astype("f4"), "head.bias": RNG.standard_normal(2).astype("f4")}


def tensor(name: str) -> dict[str, Any]:
    return {"as_tensor": {"name": name}}


def node(target: str, output: str, *given: Any) -> dict[str, Any]:
    inputs = [{"name": "", "arg": each, "kind": 1} for each in given]
    return {"target": f"torch.ops.aten.{target}", "inputs": inputs, "outputs": [tensor(output)]}


LINEAR = node("linear.default", "y", tensor("x"), tensor("w"), tensor("b"))


def graph(*nodes: dict[str, Any], output: str = "z", axes: int = 2, **changed: Any) -> dict[str, str]:
    specs: list[Any] = [
        {"parameter": {"arg": {"name": short}, "parameter_name": f"head.{name}"}}
        for short, name in (("w", "weight"), ("b", "bias"))
    ]
    signature = {
        "input_specs": [*specs, {"user_input": {"arg": tensor("x")}}],
        "output_specs": [{"user_output": {"arg": tensor(output)}}],
    }
    values = {"x": {"dtype": 7, "sizes": [{"as_int": 4}] * axes}}
    module = {"graph": {"nodes": nodes, "tensor_values": values}, "signature": signature, **changed}
    return {"models/model.json": json.dumps({"graph_module": module})}


def written(folder: Path, data: bytes) -> Path:
    path = folder / "net.pt2"
    path.write_bytes(data)
    return path


def test_weights_without_a_graph(tmp_path: Path) -> None:
    path = written(tmp_path, torch_archive.exported(HEAD))
    (layer,) = from_torch(path, modules=["head"], activations={"head": "tanh"}).layers
    assert np.array_equal(layer.arrays["weight"], HEAD["head.weight"])
    assert import_file(path, modules=["head"], activations={"head": "tanh"}).kind == "PyTorch state_dict"


@pytest.mark.parametrize("dtype", ["f2", "f8"])
def test_weights_of_other_types(dtype: str, tmp_path: Path) -> None:
    arrays = {name: array.astype(dtype) for name, array in HEAD.items()}
    (layer,) = from_torch(
        written(tmp_path, torch_archive.exported(arrays)), activations={"head": "none"}, modules=["head"]
    ).layers
    assert np.array_equal(layer.arrays["weight"], arrays["head.weight"].astype("f4"))


def test_graph_is_followed(tmp_path: Path) -> None:
    nodes = [LINEAR, node("leaky_relu.default", "z", tensor("y"), {"as_float": 0.3})]
    (layer,) = from_torch(written(tmp_path, torch_archive.exported(HEAD, graph(*nodes)))).layers
    assert layer.options["activation"] == "leaky_relu:0.3"


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "a sum": (graph(LINEAR, node("add.Tensor", "z", tensor("x"), tensor("y"))), r"it joins values by torch\.add"),
    "an unknown operator": (graph(LINEAR, node("mish.default", "z", tensor("y"))), r"it calls torch\.mish"),
    "an operator of others": (graph(LINEAR | {"target": "torch.ops.mine.linear.default"}), r"calls torch\.ops\.mine"),
    "a value changed in place": (
        graph(LINEAR, node("relu_.default", "r", tensor("y")), node("tanh.default", "z", tensor("y"))), "in place"),
    "a parameter changed": (graph(node("mul_.Tensor", "v", tensor("w"), {"as_float": 2.0})), "changes a parameter by"),
    "a bias left out": (graph(node("linear.default", "z", tensor("x"), tensor("w"))), "leaves out the bias of 'head'"),
    "no output": (graph(LINEAR, output="q"), "forward returns 0 outputs"),
    "an input of five axes": (graph(LINEAR, axes=5), "its input has 5 axes"),
    "a graph of a list": ({"models/model.json": '{"graph_module": []}'}, "its graph is damaged"),
    "no signature": (graph(LINEAR, signature={}), r"its graph is damaged \(KeyError\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_graph_that_is_no_chain_is_refused_by_its_cause(case: str, tmp_path: Path) -> None:
    path = written(tmp_path, torch_archive.exported(HEAD, REFUSED[case][0]))
    with pytest.raises(UnsupportedError, match=f"cannot follow forward in this archive: .*{REFUSED[case][1]}"):
        from_torch(path)
    assert from_torch(path, modules=["head"], activations={"head": "none"}).output_size == 2


HOSTILE: dict[str, tuple[dict[str, Any], type[EdgeRnnError], str]] = {
    "one number, repeated": ({"sizes": [{"as_int": 2**14}] * 2, "strides": [{"as_int": 0}] * 2}, FileError, "would t"),
    "beyond its storage": ({"storage_offset": {"as_int": 10**6}}, FileError, r"ends at element \d+ of a storage of 8"),
    "a size that is a symbol": ({"sizes": [{"as_expr": "s0"}]}, FileError, "axes and|no counts"),
    "a negative stride": ({"strides": [{"as_int": -1}, {"as_int": 1}]}, FileError, "no counts"),
    "an unknown type": ({"dtype": 29}, UnsupportedError, "holds type 29, expected real numbers"),
    "a type that is a list": ({"dtype": []}, FileError, "is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile(case: str, tmp_path: Path) -> None:
    changed, kind, message = HOSTILE[case]
    arrays = {"head.weight": HEAD["head.weight"]}
    with pytest.raises(kind, match=message):
        from_torch(written(tmp_path, torch_archive.exported(arrays, **changed)))


def test_deep_json_is_refused(tmp_path: Path) -> None:
    for name in ("models/model.json", "data/weights/model_weights_config.json"):
        path = written(tmp_path, torch_archive.exported(HEAD, {name: "[" * 10**5}))
        with pytest.raises(EdgeRnnError, match="damaged"):
            from_torch(path)
