"""Convert Keras's arrays to recurrent cells: the one place for its gate orders and biases.

Keras stores kernels as ``(inputs, gates * units)``, gates along the columns in the order i f c o (LSTM) and z r h
(GRU) [1]_. The first equals PyTorch's i f g o; the second is PyTorch's r z n with r and z swapped.

References
----------
.. [1] F. Chollet et al., Keras, ``keras/src/layers/rnn/{lstm,gru}.py``; CuDNN layers: ``_convert_rnn_weights`` in
   ``tensorflow/python/keras/saving/hdf5_format.py``.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.layers import GRU, LSTM, Elman, Recurrent
from edge_rnn.typing import F64
from edge_rnn_export.readers.keras.graph import Node
from edge_rnn_export.readers.keras.options import activation_of, flag_of

__all__ = ["CELLS", "CUDNN", "array_names", "cell_of", "check_shape"]


CELLS: Mapping[str, type[Recurrent]] = MappingProxyType(
    {"SimpleRNN": Elman, "GRU": GRU, "LSTM": LSTM, "CuDNNGRU": GRU, "CuDNNLSTM": LSTM}
)
"""Layer classes by Keras's names; the suffix ``Cell`` marks a cell inside an RNN layer."""

CUDNN = ("CuDNNGRU", "CuDNNLSTM")
"""GPU layers of Keras 2: two biases in one row, and kernels in cuDNN's layout."""


def array_names(node: Node) -> list[str]:
    """Keras's names of a cell's arrays, in its order."""
    bias = node.kind in CUDNN or flag_of(node.title, node.config, "use_bias", True)
    return ["kernel", "recurrent_kernel", *(["bias"] if bias else [])]


def cell_of(node: Node, arrays: Sequence[F64], input_size: int, version: int, **options: Any) -> tuple[Recurrent, F64]:
    """Return the cell of a layer, and its input matrix in float64.

    Parameters
    ----------
    node
        A SimpleRNN, GRU, LSTM, CuDNNGRU, CuDNNLSTM, or one of the first three's cells.
    arrays
        Kernel ``(I, G*H)``, recurrent kernel ``(H, G*H)``, and the bias if there is one: ``(G*H,)``, for a GRU with
        ``reset_after=True`` ``(2, G*H)``, for a CuDNN layer ``(2*G*H,)``.
    input_size
        I, the number of values that the layer reads.
    version
        Keras's major version.
    options
        Options ``name`` and ``inputs`` of the layer.

    Raises
    ------
    FileError
        An array has a wrong shape.
    UnsupportedError
        An activation has no counterpart.
    """
    kind = node.kind.removesuffix("Cell")
    cls = CELLS[kind]
    config, title, gates = node.config, node.title, len(cls.gates)
    units = config.get("units")
    if type(units) is not int or units <= 0:
        raise FileError(f"{title} units got {reprlib.repr(units)}, expected a positive whole number.")
    rows = gates * units
    reset_after = kind == "CuDNNGRU" or (kind == "GRU" and flag_of(title, config, "reset_after", False))
    check_shape(title, "kernel", arrays[0], (input_size, rows))
    check_shape(title, "recurrent_kernel", arrays[1], (units, rows))
    if len(arrays) == 3:
        check_shape(title, "bias", arrays[2], (2 * rows,) if kind in CUDNN else (2, rows) if reset_after else (rows,))
    # Gates stacked along the rows, each (H, I), as in PyTorch.
    kernels = [gate.T for gate in np.split(arrays[0], gates, axis=1)]
    recurrent = [gate.T for gate in np.split(arrays[1], gates, axis=1)]
    if kind in CUDNN:  # cuDNN's (H, I) matrix, flattened row by row and stored with shape (I, H)
        kernels = [gate.T.reshape(units, input_size) for gate in kernels]
        recurrent = [gate.T for gate in recurrent]
    biases = [] if len(arrays) < 3 else [np.split(row, gates) for row in arrays[2].reshape(-1, rows)]
    order = [1, 0, 2] if cls is GRU else range(gates)
    weight_ih, weight_hh, *given = (
        np.concatenate([parts[place] for place in order]) for parts in (kernels, recurrent, *biases)
    )
    if cls is not GRU and len(given) == 2:  # CuDNNLSTM: one sum
        given = [given[0] + given[1]]
    bias_ih, bias_hh = [*given, None, None][:2]
    options |= _activations(node, cls, version)
    if cls is GRU:
        options["reset_after"] = reset_after
    make: Any = cls
    return make(weight_ih, weight_hh, bias_ih, bias_hh, **options), weight_ih


def _activations(node: Node, cls: type[Recurrent], version: int) -> dict[str, str]:
    """Activations by the layer's field names."""
    title, config = node.title, node.config
    if node.kind in CUDNN:
        return {}
    activation = activation_of(title, {"activation": "tanh", **config}, "activation", version)
    if activation == "softmax":
        raise UnsupportedError(f"{title} activation is softmax, expected an elementwise activation.")
    if cls is Elman:
        return {"activation": activation}
    # The default was hard_sigmoid in Keras 2.0 to 2.2 and is sigmoid in tf.keras and Keras 3; each writes it to the
    # file.
    if "recurrent_activation" not in config:
        raise FileError(f"{title} has no recurrent_activation.")
    gate = activation_of(title, config, "recurrent_activation", version)
    if gate == "softmax":
        raise UnsupportedError(f"{title} recurrent_activation is softmax, expected an elementwise activation.")
    if cls is GRU:
        return {"gate_activation": gate, "candidate_activation": activation}
    return {"gate_activation": gate, "cell_activation": activation, "output_activation": activation}


def check_shape(title: str, name: str, array: F64, shape: tuple[int, ...]) -> None:
    """Check the shape of an array against the layer's options and input."""
    if array.shape != shape:
        raise FileError(f"{title} {name} got shape {array.shape}, expected {shape}, from its units and its input.")
