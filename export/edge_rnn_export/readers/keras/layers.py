"""Convert Keras's layers, one function per kind, to edge_rnn layers and the flows between them."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.layers import INPUT, Dense, Embedding
from edge_rnn_export.readers.keras.cells import CELLS, array_names, cell_of, check_shape
from edge_rnn_export.readers.keras.graph import Node, nodes_of, shape_of, sublayer
from edge_rnn_export.readers.keras.options import activation_of, flag_of, layer_activation
from edge_rnn_export.readers.keras.reading import Reading, check_axis
from edge_rnn_export.readers.keras.scaling import batch_normalization, normalization
from edge_rnn_export.readers.keras.wiring import Flow

__all__ = ["read_layers"]

Read = Callable[[Reading, Node, Flow], Flow]

_ACTIVATIONS = ("Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "ThresholdedReLU")
_IDENTITIES = (  # active in training, identity in inference
    "Dropout",
    "SpatialDropout1D",
    "GaussianDropout",
    "GaussianNoise",
    "AlphaDropout",
    "ActivityRegularization",
)
_PER_STEP = ("Dense", *_ACTIVATIONS, *_IDENTITIES)
"""Layers that TimeDistributed may wrap."""


def read_layers(reading: Reading) -> None:
    """Read all layers of a network.

    Raises
    ------
    FileError, UnsupportedError
        See :func:`edge_rnn_export.readers.keras.reader.from_keras`.
    """
    first, *nodes = nodes_of(reading.source.document, _READERS.keys() | {"InputLayer"})
    shape = first.config.get("batch_shape", first.config.get("batch_input_shape"))
    flow = Flow((INPUT,), shape_of(first.title, shape), shared=first.readers > 1)
    reading.input_size = flow.size
    flows = {first.name: flow}
    for node in nodes:
        reads = [flows[name] for name in node.reads]
        if node.kind in ("Concatenate", "Add"):
            flow = _merged(reading, node, reads)
        elif len(reads) == 1:
            flow = _READERS[node.kind](reading, node, reads[0])
        else:
            raise UnsupportedError(f"{node.title} reads {len(reads)} outputs, expected one (no initial_state).")
        flows[node.name] = replace(flow, shared=flow.shared or node.readers > 1)
    last = nodes[-1] if nodes else first
    if not reading.wiring.layers and flow.gain is None:
        raise UnsupportedError("there is no layer with weights between input and output.")
    reading.wiring.finished(last.title, last.name, flow)


def _merged(reading: Reading, node: Node, flows: Sequence[Flow]) -> Flow:
    if node.kind == "Add":
        if len(flows) < 2:
            raise UnsupportedError(f"{node.title} reads {len(flows)} outputs, expected two or more.")
        return reading.wiring.added(node.title, node.name, flows)
    check_axis(node, node.config.get("axis", -1), flows[0])
    return reading.wiring.joined(node.title, flows)


def _recurrent(reading: Reading, node: Node, flow: Flow) -> Flow:
    title, config = node.title, node.config
    cell = sublayer(node, "cell", [f"{kind}Cell" for kind in CELLS]) if node.kind == "RNN" else node
    if flag_of(title, config, "go_backwards", False):
        raise UnsupportedError(
            f"{title} has go_backwards=True: it starts with samples that a stream has not seen yet. If it is the whole "
            f"network and was trained on sequences that were turned round, build it without."
        )
    if flag_of(title, config, "time_major", False):
        raise UnsupportedError(f"{title} has time_major=True, expected a batch of sequences.")
    if flow.last or len(flow.shape) != 2:
        raise UnsupportedError(
            f"{title} reads {'only the last step of a sequence' if flow.last else f'the shape {flow.shape}'}, "
            f"expected steps; build the layer before it with return_sequences=True."
        )
    node = replace(cell, inner=cell.inner or ("cell",)) if cell.kind not in ("CuDNNGRU", "CuDNNLSTM") else cell
    arrays = reading.arrays(node, *array_names(node))
    place = reading.wiring.place(node.name, flow)
    layer, weight_ih = cell_of(node, arrays, flow.size, reading.source.version, **place)
    if flow.gain is not None:
        bias = None if layer.bias_ih is None else np.asarray(layer.bias_ih, np.float64)
        weight, bias = reading.wiring.folded(weight_ih, bias, flow)
        layer = replace(layer, weight_ih=weight, bias_ih=bias)  # type: ignore[arg-type]
    given = reading.wiring.append(layer, flow, layer.hidden_size)
    if flag_of(title, config, "return_sequences", False):
        return given
    return replace(given, shape=given.shape[1:], last=flow.shape[0] != 1)


def _dense(reading: Reading, node: Node, flow: Flow) -> Flow:
    units = node.config.get("units")
    if type(units) is not int or units <= 0:
        raise FileError(f"{node.title} units got {reprlib.repr(units)}, expected a positive whole number.")
    names = ("kernel", "bias") if flag_of(node.title, node.config, "use_bias", True) else ("kernel",)
    arrays = reading.arrays(node, *names)
    for name, array, shape in zip(names, arrays, ((flow.size, units), (units,)), strict=False):
        check_shape(node.title, name, array, shape)
    weight, bias = reading.wiring.folded(arrays[0].T, arrays[1] if len(arrays) == 2 else None, flow)
    activation = activation_of(node.title, node.config, "activation", reading.source.version)
    make: Any = Dense
    layer = make(weight, bias, activation=activation, **reading.wiring.place(node.name, flow))
    return reading.wiring.append(layer, flow, units)


def _embedding(reading: Reading, node: Node, flow: Flow) -> Flow:
    if flag_of(node.title, node.config, "mask_zero", False):
        _masking(reading, node, flow)
    if flow.reads != (INPUT,) or flow.gain is not None or len(flow.shape) > 1:
        raise UnsupportedError(f"{node.title} reads the shape {flow.shape}, expected symbol ids as the input.")
    reading.symbols = True
    (table,) = reading.arrays(node, "embeddings")
    rows, size = node.config.get("input_dim"), node.config.get("output_dim")
    if type(rows) is not int or type(size) is not int:
        raise FileError(f"{node.title} input_dim or output_dim is no whole number.")
    check_shape(node.title, "embeddings", table, (rows, size))
    make: Any = Embedding
    layer = make(table, **reading.wiring.place(node.name, flow))
    return reading.wiring.append(layer, replace(flow, shape=(*flow.shape, 1)), size)


def _time_distributed(reading: Reading, node: Node, flow: Flow) -> Flow:
    if len(flow.shape) < 2:
        raise UnsupportedError(f"{node.title} reads the shape {flow.shape}, expected steps.")
    inner = sublayer(node, "layer", _PER_STEP)
    return _READERS[inner.kind](reading, inner, flow)


def _activation(reading: Reading, node: Node, flow: Flow) -> Flow:
    activation = layer_activation(node.title, node.kind, node.config, reading.source.version)
    return reading.wiring.activated(node.title, node.name, flow, activation)


def _identity(reading: Reading, node: Node, flow: Flow) -> Flow:
    return flow


def _masking(reading: Reading, node: Node, flow: Flow) -> Flow:
    if not reading.unpadded:
        raise UnsupportedError(
            f"{node.title} skips padding steps (Masking, mask_zero). A stream has no padding; if no "
            f"real step looks like padding, say so with unpadded=True, and it is ignored."
        )
    return flow


def _reshape(reading: Reading, node: Node, flow: Flow) -> Flow:
    """Convert Flatten and Reshape if each step stays a step."""
    target = node.config.get("target_shape", [-1])
    if not isinstance(target, list) or not all(type(n) is int or n is None for n in target):
        raise FileError(f"{node.title} target_shape got {reprlib.repr(target)}, expected whole numbers.")
    shape = tuple(-1 if n is None else n for n in target)
    wholly = None not in flow.shape
    if shape.count(-1) == 1 and wholly:
        rest = abs(prod(n for n in shape if n != -1)) or 1
        shape = tuple(prod(n or 0 for n in flow.shape) // rest if n == -1 else n for n in shape)
    same: list[tuple[int | None, ...]] = [flow.shape]
    if not wholly:
        same = [(-1, flow.size)]
    elif prod(n or 0 for n in flow.shape[:-1]) == 1:
        same = [(flow.size,), (1, flow.size)]
    if not flow.size or shape not in same:
        raise UnsupportedError(
            f"{node.title} makes {tuple(target)} of {flow.shape}, which mixes steps of a sequence and features. A head "
            f"over a whole window is no step of a stream; end the model before it: keras.Model(model.inputs, "
            f"model.get_layer(...).output)."
        )
    return replace(flow, shape=shape if wholly else flow.shape)


_READERS: Mapping[str, Read] = MappingProxyType(
    {
        **dict.fromkeys((*CELLS, "RNN"), _recurrent),
        **dict.fromkeys(_ACTIVATIONS, _activation),
        **dict.fromkeys(_IDENTITIES, _identity),
        **dict.fromkeys(("Flatten", "Reshape"), _reshape),
        "Dense": _dense,
        "TimeDistributed": _time_distributed,
        "Embedding": _embedding,
        "BatchNormalization": batch_normalization,
        "Normalization": normalization,
        "Masking": _masking,
        "Concatenate": lambda reading, node, flow: _merged(reading, node, [flow]),
        "Add": lambda reading, node, flow: _merged(reading, node, [flow]),
    }
)
