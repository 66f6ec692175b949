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

__all__ = [
    "begin_again",
    "describe_keras",
    "exported_files",
    "graphs",
    "json_files",
    "members",
    "models",
    "numpy_files",
]
__all__ += ["script_files", "tflite_files", "torch_files", "weights_of_keras"]

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
    """An LSTM, one of its kind with everything, and one in int8, each with a head; loops and a variable."""
    import tflite_files as build
    import tflite_loops as loops

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
    nets = loops.looped("concatenation"), loops.looped("list", fraction=0.25), loops.stateful()
    found += [net.bytes() for net in nets]
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
    """State_dicts as ``torch.save`` writes them, now and before 1.6; in a checkpoint, in half precision; a module."""
    import torch_archive as files

    def rnn(gates: int, layers: int = 1, biased: bool = True) -> dict[str, Any]:
        found = {}
        for layer in range(layers):
            found |= {f"weight_ih_l{layer}": u(3 * gates, 3 if layer else 2), f"weight_hh_l{layer}": u(3 * gates, 3)}
            found |= {f"bias_{role}_l{layer}": u(3 * gates) for role in ("ih", "hh") if biased}
        return found

    found = []
    for state in (rnn(3), rnn(4, 2), rnn(3, biased=False)):
        named = {f"0.{name}": array for name, array in state.items()}
        inner = files.Instance("torch.nn.modules.rnn.RNNBase", {"_parameters": state, "_modules": {}})
        module = files.Instance("torch.nn.modules.container.Sequential", {"_parameters": {}, "_modules": {"0": inner}})
        half = {"model": {key: each.astype("f2") for key, each in named.items()}, "epoch": 7}
        found += [write(value) for value in (named, half, {"net": module}) for write in (files.zipped, files.old)]
    normed = {"0.weight_g": u(4, 1), "0.weight_v": u(4, 3), "0.bias": u(4), "1.weight_ih_l0": u(9, 4)}
    return [*found, files.zipped(normed | {"1.weight_hh_l0": u(9, 3)})]


def rnnoise_files() -> list[str]:
    """Networks of RNNoise, small ones."""
    lines = ["rnnoise-nu model file version 1"]
    sizes = {"dense": (5, 3), "gru": (3, 2), "noise": (10, 4), "denoise": (11, 3), "gains": (3, 4), "vad": (2, 1)}
    for name, (inputs, units) in sizes.items():
        lines.append(f"{inputs} {units} {1 if name in ('gains', 'vad') else 2 if units > 2 else 0}")
        gates = 3 if name in ("gru", "noise", "denoise") else 1
        counts = (gates * inputs * units, *([3 * units * units] if gates == 3 else []), gates * units)
        lines += [" ".join(map(str, RNG.integers(-128, 128, count))) for count in counts]
    return ["\n".join(lines) + "\n"]


SCRIPT = """\
class Net(Module):
  __parameters__ = []
  __buffers__ = ["h", ]
  h : Tensor
  slope : Final[float] = 0.25
  rnn : __torch__.net.Part
  head : __torch__.net.Part
  def forward(self: __torch__.net.Net,
    x: Tensor) -> Tensor:
    rnn = self.rnn
    h = self.h
    _0 = [rnn.weight_ih_l0, rnn.weight_hh_l0]
    y, _1, = torch.gru(torch.unsqueeze(x, 0), h, _0, False, 1, 0., False, False, False)
    _2 = torch.copy_(torch.slice(h), _1)
    if torch.eq(torch.dim(y), 3):
      z = torch.squeeze(y, 0)
    else:
      ops.prim.RaiseException("no", "builtins.ValueError")
    head = self.head
    return torch.leaky_relu((head).forward(z, ), self.slope)
class Part(Module):
  __parameters__ = ["weight", "bias", ]
  def forward(self: __torch__.net.Part,
    x: Tensor) -> Tensor:
    return torch.linear(x, self.weight, self.bias)
"""


def script_files() -> list[bytes]:
    """A TorchScript archive: a step with its state in a buffer."""
    import torch_archive as files

    cell = files.Instance("__torch__.net.Part", {"weight_ih_l0": u(9, 2), "weight_hh_l0": u(9, 3)})
    head = files.Instance("__torch__.net.Part", {"weight": u(2, 3), "bias": u(2)})
    root = files.Instance("__torch__.net.Net", {"h": np.zeros((1, 1, 3), "f4"), "rnn": cell, "head": head})
    return [files.zipped(root, {"constants.pkl": "", "code/__torch__/net.py": SCRIPT})]


def exported_files() -> list[tuple[dict[str, Any], dict[str, Any], bytes]]:
    """Archives of torch.export, each with its list of tensors and its graph."""
    import torch_archive as files

    def tensor(name: str) -> dict[str, Any]:
        return {"as_tensor": {"name": name}}

    arrays = {"rnn.weight_ih_l0": u(9, 2), "rnn.weight_hh_l0": u(9, 3), "head.weight": u(2, 3), "head.bias": u(2)}
    short = dict(zip(arrays, "ijwb", strict=True))
    weights = {"as_tensors": [{"name": "i"}, {"name": "j"}]}
    cell = [tensor("x"), tensor("o"), weights, {"as_bool": False}, {"as_int": 1}, {"as_float": 0.0}]
    nodes = [
        ("zeros.default", [{"as_ints": [1, 1, 3]}], ["o"]),
        ("gru.input", [*cell, {"as_bool": False}, {"as_bool": False}, {"as_bool": True}], ["y", "h"]),
        ("select.int", [tensor("y"), {"as_int": 1}, {"as_int": -1}], ["z"]),
        ("linear.default", [tensor("z"), tensor("w"), tensor("b")], ["s"]),
        ("softmax.int", [tensor("s"), {"as_int": -1}], ["p"]),
    ]
    graph = {
        "nodes": [
            {"target": f"torch.ops.aten.{name}", "inputs": [{"name": "", "arg": each, "kind": 1} for each in given],
             "outputs": [tensor(each) for each in outputs]} for name, given, outputs in nodes
        ],
        "tensor_values": {"x": {"dtype": 7, "sizes": [{"as_int": size} for size in (1, 5, 2)]}},
    }  # fmt: skip
    specs = [{"parameter": {"arg": {"name": each}, "parameter_name": name}} for name, each in short.items()]
    signature = {"input_specs": [*specs, {"user_input": {"arg": tensor("x")}}],
                 "output_specs": [{"user_output": {"arg": tensor("p")}}]}  # fmt: skip
    document = {"graph_module": {"graph": graph, "signature": signature}}
    data = files.exported(arrays, {"models/model.json": json.dumps(document)})
    config = json.loads(members(data)["net/data/weights/model_weights_config.json"])
    return [(config, document, data)]


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
