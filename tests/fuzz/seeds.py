"""Small valid files, made by code, to be damaged."""

from __future__ import annotations

import io
import json
import wave
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import edge_rnn
from edge_rnn import GRU, LSTM, Dense, Elman, Model, Standardize, quantize
from edge_rnn.equations import concat, exp, largest, softmax, split, tanh, total
from edge_rnn.layers import Add, Embedding

__all__ = ["begin_again", "describe_keras", "graphs", "json_files", "members", "models", "numpy_files"]
__all__ += ["tflite_files", "torch_files", "weights_of_keras"]

RNG = np.random.default_rng(1966)


def begin_again() -> None:
    """Reset the random numbers, so that files are independent of each other."""
    RNG.bit_generator.state = np.random.default_rng(1966).bit_generator.state


def u(*shape: int) -> Any:
    """Weights."""
    return RNG.uniform(-0.6, 0.6, shape).astype(np.float32)


def cell(kind: Any, inputs: int, units: int, **options: Any) -> Any:
    """A recurrent layer with both biases."""
    rows = len(kind.gates) * units
    return kind(u(rows, inputs), u(rows, units), u(rows), u(rows), **options)


@edge_rnn.cell
def by_equation(p: Any, x: Any, h: Any, c: Any) -> Any:
    """A cell that has a bit of everything: parts, reductions, a number, states of other sizes."""
    first, second = split(p.w @ x + p.u @ h, 2)
    new = tanh(first * p.gain + p.b) / (1 + total(exp(-abs(second))))
    return softmax(new + largest(second)), {"h": new, "c": concat(c[1:2], x[0:1])}


@edge_rnn.cell
def without_states(p: Any, x: Any) -> Any:
    """A layer that has no states."""
    return softmax(p.w @ x[1:4]) / p.b, {}


def models() -> list[Model]:
    """A model of each kind of layer, option and format."""
    wide = Model([cell(LSTM, 5, 16), Dense(u(2, 16), u(2))])
    return [
        Model([Standardize(u(2), np.ones(2)), cell(GRU, 2, 4), Dense(u(3, 4), u(3), activation="softmax")],
              labels=("a", "b", "c"), input_names=("left", "right"), sample_rate_hz=20),
        Model([cell(LSTM, 3, 6, peephole=u(18), coupled="input", cell_clip=2.0, h0=u(6), c0=u(6)), Dense(u(1, 6))]),
        Model([LSTM(u(16, 2), u(16, 2), u(16), None, weight_hr=u(2, 4)), Dense(u(2, 2), activation="tanh")]),
        Model([cell(Elman, 2, 3, activation="relu"), Dense(u(2, 3), name="out"), Add(inputs=("input", "out"))]),
        Model([Embedding(u(5, 3)), cell(GRU, 3, 4, reset_after=False), Dense(u(5, 4))], vocabulary=tuple("vwxyz")),
        Model([by_equation(w=u(6, 4), u=u(6, 3), b=u(3), gain=0.5, h=u(3), c=2, input_size=4), Dense(u(2, 3))]),
        Model([without_states(w=u(3, 3), b=1 + u(3), input_size=5), Dense(u(2, 3))]),
        *(quantize(wide, {"lstm1": form}) for form in ("float16", "int8", "w8a8", "int4", "sparse:0.5", "rank:3")),
    ]  # fmt: skip


def graphs() -> list[bytes]:
    """ONNX graphs: by edge_rnn, and as others export them."""
    from onnx import TensorProto, helper, numpy_helper

    from graphs import graph_of

    found = [graph_of(model, form).SerializeToString() for model in models()[:7] for form in ("step", "sequence")]
    for kind, gates, options in (("RNN", 1, {}), ("GRU", 3, {"linear_before_reset": 1}), ("LSTM", 4, {})):
        numbers = {"w": u(1, 3 * gates, 2), "r": u(1, 3 * gates, 3), "b": u(1, 6 * gates), "m": u(3, 2), "n": u(2)}
        numbers["axis"] = np.array([1])
        nodes = [
            helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2]),
            helper.make_node(kind, ["turned", "w", "r", "b"], ["all"], hidden_size=3, **options),
            helper.make_node("Squeeze", ["all", "axis"], ["rows"]),
            helper.make_node("MatMul", ["rows", "m"], ["scores"]),
            helper.make_node("Add", ["scores", "n"], ["shifted"]),
            helper.make_node("Sigmoid", ["shifted"], ["y"]),
        ]
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "time" if kind == "GRU" else 4, 2])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        arrays = [numpy_helper.from_array(array, name) for name, array in numbers.items()]
        graph = helper.make_graph(nodes, "net", [x], [y], arrays)
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        found.append(proto.SerializeToString())
    return found


def tflite_files() -> list[bytes]:
    """An LSTM, one of its kind with everything, and one in int8, each with a head."""
    import tflite_files as build

    found = []
    for extra, stored in (({}, "float32"), ({"CellClip": 1.5, "ProjClip": 1.0}, "float32"), ({}, "int8")):
        net = build.Net(build.T([1, 6, 2], name="x"))

        def weight(*shape: int, stored: str = stored) -> Any:
            values = u(*shape)
            if stored == "float32" or len(shape) < 2:
                return build.const(values)
            return build.const((values * 100).astype(np.int8), scale=[0.01], zero_point=[0])

        inputs: list[Any] = [weight(4, 2) for _ in range(4)] + [weight(4, 4) for _ in range(4)]
        inputs += [weight(4) for _ in range(3)] if extra else [None] * 3
        inputs += [weight(4) for _ in range(4)] + [None, None]
        inputs += [build.T([1, 4], variable=True), build.T([1, 4], variable=True), None, None, None, None]
        options = {"FusedActivationFunction": 4, "TimeMajor": False, "CellClip": 0.0, "ProjClip": 0.0} | extra
        kind = "UNIDIRECTIONAL_SEQUENCE_LSTM"
        net.add(kind, inputs, build.T([1, 6, 4], name="cell"), "UnidirectionalSequenceLSTMOptions", **options)
        head = {"FusedActivationFunction": 0}
        net.add(
            "FULLY_CONNECTED", [weight(3, 4), weight(3)], build.T([6, 3], name="y"), "FullyConnectedOptions", **head
        )
        found.append(net.bytes())
    return found


KERAS = (("GRU", 3, {"reset_after": True}), ("GRU", 3, {"reset_after": False}), ("LSTM", 4, {}), ("SimpleRNN", 1, {}))


def describe_keras(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """The description of a Sequential network."""
    cell_of = {"name": "cell", "units": 3, "activation": "tanh", "use_bias": True, "return_sequences": True, **options}
    if kind != "SimpleRNN":
        cell_of["recurrent_activation"] = "sigmoid"
    layers = [
        ("InputLayer", {"name": "x", "batch_shape": [None, None, 2]}),
        (kind, cell_of),
        ("BatchNormalization", {"name": "norm", "axis": -1, "epsilon": 0.001}),
        ("Dense", {"name": "head", "units": 2, "activation": "sigmoid", "use_bias": True}),
    ]
    records = [{"class_name": name, "config": config} for name, config in layers]
    return {"class_name": "Sequential", "config": {"name": "net", "layers": records}}


def weights_of_keras(kind: str, gates: int, options: dict[str, Any], document: dict[str, Any] | None) -> bytes:
    """Its weights: as Keras 2's whole-model file where there is a document, else as Keras 3's."""
    import h5py

    bias = (2, 3 * gates) if options.get("reset_after") else (3 * gates,)
    arrays = {
        "cell": {"kernel": u(2, 3 * gates), "recurrent_kernel": u(3, 3 * gates), "bias": u(*bias)},
        "norm": {"gamma": u(3), "beta": u(3), "moving_mean": u(3), "moving_variance": u(3) + 1},
        "head": {"kernel": u(3, 2), "bias": u(2)},
    }
    groups = {
        "cell": {"SimpleRNN": "simple_rnn"}.get(kind, kind.lower()),
        "norm": "batch_normalization",
        "head": "dense",
    }
    file = io.BytesIO()
    with h5py.File(file, "w") as root:
        if document is not None:
            root.attrs["keras_version"], root.attrs["model_config"] = "2.15.0", json.dumps(document)
        for layer, own in arrays.items():
            inside = "cell/vars" if layer == "cell" else "vars"
            for place, (name, array) in enumerate(own.items()):
                new = f"layers/{groups[layer]}/{inside}/{place}"
                root[new if document is None else f"model_weights/{layer}/{layer}/{name}:0"] = array
    return file.getvalue()


def json_files() -> list[dict[str, Any]]:
    """RTNeural's, AIDA-X's, GuitarML's, Neural Amp Modeler's and a state_dict."""

    def w(*shape: int) -> Any:
        return u(*shape).round(3).tolist()

    gru = {"type": "gru", "activation": "tanh", "shape": [None, None, 3], "weights": [w(1, 9), w(3, 9), w(2, 9)]}
    lstm = {"type": "lstm", "activation": "tanh", "shape": [None, None, 2], "weights": [w(1, 8), w(2, 8), w(8)]}

    def dense(size: int) -> dict[str, Any]:
        return {"type": "dense", "activation": "", "shape": [None, None, 1], "weights": [w(size, 1), w(1)]}

    state = {"rec.weight_ih_l0": w(8, 1), "rec.weight_hh_l0": w(8, 2), "rec.bias_ih_l0": w(8), "rec.bias_hh_l0": w(8)}
    state |= {"lin.weight": w(1, 2), "lin.bias": w(1)}
    sizes = {"input_size": 1, "hidden_size": 2, "output_size": 1, "num_layers": 1}
    return [
        {"in_shape": [None, None, 1], "layers": [gru, dense(3)]},
        {"in_shape": [None, None, 1], "in_skip": 1, "in_gain": 2.0, "out_gain": -1.5, "layers": [lstm, dense(2)],
         "input_batch": w(9), "output_batch": w(9)},
        {"model_data": {"model": "SimpleRNN", "unit_type": "LSTM", "skip": 0, "bias_fl": True, **sizes},
         "state_dict": state},
        {"version": "0.5.1", "architecture": "LSTM", "sample_rate": 44100, "weights": w(4 * 2 * 3 + 8 + 2 + 2 + 2 + 1),
         "config": {"input_size": 1, "hidden_size": 2, "num_layers": 1}},
        state | {"lin.weight": w(3, 2), "lin.bias": w(3)},
    ]  # fmt: skip


def torch_files() -> list[bytes]:
    """State_dicts as ``torch.save`` writes them, now and before 1.6; one in a checkpoint, in half precision."""
    import torch

    torch.manual_seed(1966)
    found = []
    for module in (torch.nn.GRU(2, 3), torch.nn.LSTM(2, 3, 2, proj_size=2), torch.nn.GRU(2, 3, bias=False)):
        state = torch.nn.Sequential(module).state_dict()
        for value in (state, {"model": {key: each.half() for key, each in state.items()}, "epoch": 7}):
            for zipped in (True, False):
                file = io.BytesIO()
                torch.save(value, file, _use_new_zipfile_serialization=zipped)
                found.append(file.getvalue())
    return found


def numpy_files(folder: Path) -> list[tuple[str, bytes]]:
    """Recordings of two channels, by ending: NumPy's, text and sound."""
    x = RNG.standard_normal((7, 2)).astype(np.float32)
    found = []
    for save in (np.savez, np.savez_compressed):
        for labels in ({}, {"y": np.arange(7) % 3}, {"y": np.array(list("abcabca"))}):
            save(folder / "seed.npz", x=x, **labels)
            found.append((".npz", (folder / "seed.npz").read_bytes()))
    np.save(folder / "seed.npy", x)
    found.append((".npy", (folder / "seed.npy").read_bytes()))
    found.append((".csv", ("left,right\n" + "\n".join(f"{a:.4f},{b:.4f}" for a, b in x)).encode()))
    found.append((".jsonl", "\n".join(json.dumps({"x": row.tolist()}) for row in x).encode()))
    for width in (1, 2, 4):
        with wave.open(str(folder / "seed.wav"), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(width)
            file.setframerate(20)
            file.writeframes(bytes(range(80)) * width)
        found.append((".wav", (folder / "seed.wav").read_bytes()))
    return found


def members(data: bytes) -> dict[str, bytes]:
    """Files of an archive by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
