"""Helpers of readers tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import needs
from edge_rnn.model import Model
from edge_rnn_export.readers.tflite.reader import from_tflite
from tflite_files import Net, T, const, uniform

tflite: Any = needs.package("tflite")

STEPS, IN, H, P, OUT = 12, 5, 7, 4, 3


def lstm_net(
    *,
    coupled: bool = False,
    peephole: bool = False,
    projected: bool = False,
    sequence: bool = True,
    time_major: bool = False,
    activation: int = 4,
    cell_clip: float = 0.0,
    proj_clip: float = 0.0,
    seed: int = 0,
    wrap: Callable[[Net, np.ndarray], T | int] | None = None,
    change: Callable[[list[Any]], None] | None = None,
    **options: Any,
) -> Net:
    """LSTM network; ``wrap`` changes the storage of weights, ``change`` spoils the inputs."""
    rng, out = np.random.default_rng(seed), P if projected else H
    net = Net(T([1, IN] if not sequence else [STEPS, 1, IN] if time_major else [1, STEPS, IN], name="x"))
    store = wrap or (lambda _, array: const(array))
    absent = (lambda tensor: None) if coupled else (lambda tensor: tensor)
    ih, hh = [uniform(rng, H, IN) for _ in range(4)], [uniform(rng, H, out) for _ in range(4)]
    peepholes, biases = [uniform(rng, H) for _ in range(3)], [uniform(rng, H) for _ in range(4)]
    inputs: list[Any] = [store(net, array) for array in (*ih, *hh)]
    inputs[0], inputs[4] = absent(inputs[0]), absent(inputs[4])
    inputs += [const(array) for array in peepholes] if peephole else [None] * 3
    inputs += [const(array) for array in biases]
    inputs[8], inputs[11] = absent(inputs[8]), absent(inputs[11])
    inputs += [const(uniform(rng, P, H)) if projected else None, None]
    inputs += [T([1, out], variable=True), T([1, H], variable=True), None, None, None, None]
    if change:
        change(inputs)
    title = "UnidirectionalSequenceLSTMOptions" if sequence else "LSTMOptions"
    options |= {"FusedActivationFunction": activation, "CellClip": cell_clip, "ProjClip": proj_clip}
    if sequence:
        options["TimeMajor"] = time_major
    shape = [*net.x.shape[:-1], out]
    return net.add(
        "UNIDIRECTIONAL_SEQUENCE_LSTM" if sequence else "LSTM", inputs, T(shape, name="lstm"), title, **options
    )


def dense(net: Net, outputs: int, activation: int = 0, seed: int = 5, inputs: int | None = None) -> Net:
    rng = np.random.default_rng(seed)
    before = net.tensors[net.outputs[0]].shape
    inputs = inputs or before[-1]
    weights = [const(uniform(rng, outputs, inputs)), const(uniform(rng, outputs))]
    shape = [int(np.prod(before)) // inputs, outputs]
    options = {"FusedActivationFunction": activation}
    return net.add("FULLY_CONNECTED", weights, T(shape, name="dense"), "FullyConnectedOptions", **options)


def read(net: Net | bytes, folder: Path, **options: Any) -> Model:
    path = folder / "net.tflite"
    path.write_bytes(net if isinstance(net, bytes) else net.bytes())
    return from_tflite(path, **options)


def litert(data: bytes, *samples: np.ndarray) -> list[np.ndarray]:
    """Outputs of LiteRT, sample by sample."""
    runtime = needs.package("ai-edge-litert")
    loaded = runtime.Interpreter(model_content=data, num_threads=1)
    loaded.allocate_tensors()
    (x,), (y,) = loaded.get_input_details(), loaded.get_output_details()
    found = []
    for sample in samples:
        loaded.set_tensor(x["index"], sample.reshape(x["shape"]).astype(x["dtype"]))
        loaded.invoke()
        found.append(loaded.get_tensor(y["index"]))
    return found


def last_step(net: Net, begin: int = -1, shrink: bool = True) -> Net:
    size = net.tensors[net.outputs[0]].shape[-1]
    ends = [const(np.int32([0, begin, 0])), const(np.int32([0, 0, 0])), const(np.int32([1, 1, 1]))]
    masks = {"BeginMask": 5, "EndMask": 5 if shrink else 7, "ShrinkAxisMask": 2 if shrink else 0}
    shape = [1, size] if shrink else [1, 1, size]
    return net.add("STRIDED_SLICE", ends, T(shape, name="last"), "StridedSliceOptions", **masks)


def in_int8(_: Net, array: np.ndarray) -> T:
    scale = np.float32(np.abs(array).max() / 127)
    return const(np.rint(array / scale).astype(np.int8), scale=[scale])


def flat(net: Net, *shape: int) -> Net:
    return net.add("RESHAPE", [const(np.int32(shape))], T(shape))
