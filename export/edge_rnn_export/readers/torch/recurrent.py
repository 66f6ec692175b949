"""Write PyTorch's recurrent operators as ONNX's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.torch.writer import Traced, Writer

__all__ = ["CELLS", "RECURRENT"]

# PyTorch's order of the gates (in, out): RNN h; GRU r z n; LSTM i f g o. ONNX's: GRU z r h; LSTM i o f c.
_ORDER: Mapping[str, tuple[int, ...]] = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)}


def _arranged(kind: str, array: AnyArray) -> AnyArray:
    parts = np.split(array, len(_ORDER[kind]))
    return np.concatenate([parts[place] for place in _ORDER[kind]])


def _layer(
    writer: Writer,
    kind: str,
    x: Traced,
    states: Sequence[Traced | AnyArray],
    weights: Sequence[AnyArray],
    name: str,
    **attributes: Any,
) -> tuple[Traced, list[Traced]]:
    """Write one layer for ``x``, ``(time, batch, I)``, and states ``(1, batch, H)``; return y and the last states."""
    for array in weights:
        if isinstance(array, Traced):
            raise writer.refuse("its weights are computed from samples.")
    w_ih, w_hh, *biases = weights
    projection = biases.pop() if len(biases) % 2 else None  # of an LSTM with proj_size
    hidden = len(w_ih) // len(_ORDER[kind])
    w, r = (_arranged(kind, array)[None] for array in (w_ih, w_hh))
    b = np.concatenate([_arranged(kind, array) for array in biases])[None] if biases else None
    steps, batch = x.shape[:2]
    if kind == "GRU":
        attributes["linear_before_reset"] = 1
    size = hidden if projection is None else len(projection)
    shapes = [(steps, 1, batch, size), (1, batch, size), (1, batch, hidden)][: 1 + len(states)]
    inputs, beyond = [x, w, r, b, None, *states], {}
    if projection is not None:
        inputs, beyond = [*inputs, None, projection], {"weight_hr": 8}
    y, *last = writer.emit_all(kind, *inputs, shapes=shapes, name=name, beyond=beyond, hidden_size=hidden, **attributes)
    return writer.emit("Squeeze", y, np.array([1]), shape=(steps, batch, size)), last


def _turned(writer: Writer, value: Traced) -> Traced:
    """Value with its first two axes exchanged."""
    shape = (value.shape[1], value.shape[0], *value.shape[2:])
    return writer.emit("Transpose", value, perm=[1, 0, *range(2, len(shape))], shape=shape)


def _part(writer: Writer, value: Traced | AnyArray, place: int) -> Traced | AnyArray:
    """Layer's share of stacked states, with its axis."""
    if not isinstance(value, Traced):
        return np.array(value[place : place + 1])
    if value.shape[0] == 1:
        return value
    return writer.emit("Gather", value, np.array([place]), axis=0, shape=(1, *value.shape[1:]))


def _stacked(kind: str, **attributes: Any) -> Callable[[Writer, Any], list[Traced]]:
    def write(writer: Writer, a: Any) -> list[Traced]:
        if not hasattr(a, "input") or not hasattr(a, "batch_first"):
            raise writer.refuse(
                "it reads packed sequences, which have lengths of their own; a stream has none. Pass padded sequences, "
                "or the network without pack_padded_sequence."
            )
        if a.bidirectional:
            raise writer.refuse(
                "bidirectional=True, and the backward half needs samples that a stream has not seen yet."
            )
        if not isinstance(a.input, Traced):
            raise writer.refuse("what it reads does not depend on the samples.")
        states = list(a.hx) if kind == "LSTM" else [a.hx]
        each = len(a.params) // a.num_layers
        x = _turned(writer, a.input) if a.batch_first else a.input
        path = writer.path.replace(".", "_")
        last: list[list[Traced]] = []
        for layer in range(a.num_layers):
            name = f"{path}_l{layer}".lstrip("_") if a.num_layers > 1 else path
            mine = [_part(writer, state, layer) for state in states]
            x, ends = _layer(writer, kind, x, mine, a.params[each * layer : each * (layer + 1)], name, **attributes)
            last.append(ends)
        y = _turned(writer, x) if a.batch_first else x
        writer.aliases[writer.path] = y
        writer.recurrent.add(writer.path)
        stacks = zip(*last, strict=True)
        joined = [parts[0] if len(parts) == 1 else _joined(writer, parts) for parts in stacks]
        return [y, *joined]

    return write


def _joined(writer: Writer, parts: Sequence[Traced]) -> Traced:
    shape = (len(parts), *parts[0].shape[1:])
    return writer.emit("Concat", *parts, axis=0, shape=shape)


def _cell(kind: str, **attributes: Any) -> Callable[[Writer, Any], list[Traced] | Traced]:
    """Write one step of a cell: as an operator, or one of many steps by its equation."""

    def write(writer: Writer, a: Any) -> list[Traced] | Traced:
        states = list(a.hx) if kind == "LSTM" else [a.hx]
        weights = [array for array in (a.w_ih, a.w_hh, a.b_ih, a.b_hh) if array is not None]
        if any(isinstance(array, Traced) for array in weights) or not isinstance(a.input, Traced):
            raise writer.refuse("its weights are computed from samples, or its input is not.")
        if writer.repeated or len(a.input.shape) != 2:
            written: list[Traced] | Traced = _EQUATIONS[kind](writer, a, attributes)
            return written
        x = writer.reshaped(a.input, (1, *a.input.shape))
        mine = [
            writer.reshaped(state, (1, *state.shape)) if isinstance(state, Traced) else state[None] for state in states
        ]
        _, last = _layer(writer, kind, x, mine, weights, writer.path.replace(".", "_"), **attributes)
        found = [writer.reshaped(each, each.shape[1:]) for each in last]
        return found if kind == "LSTM" else found[0]

    return write


def _products(writer: Writer, a: Any) -> list[Traced | AnyArray]:
    """Matrices times the input and times the hidden state, with biases."""
    hidden = a.hx[0] if isinstance(a.hx, list) else a.hx
    found: list[Traced | AnyArray] = []
    for value, weight, bias in ((a.input, a.w_ih, a.b_ih), (hidden, a.w_hh, a.b_hh)):
        if isinstance(value, Traced):
            product = writer.emit("MatMul", value, weight.T, shape=(*value.shape[:-1], len(weight)))
            found.append(product if bias is None else writer.emit("Add", product, bias, shape=product.shape))
        else:  # the state before the first step
            found.append(np.asarray(value @ weight.T if bias is None else value @ weight.T + bias, np.float32))
    return found


def _gates(writer: Writer, value: Traced | AnyArray, count: int) -> list[Any]:
    if not isinstance(value, Traced):
        return list(np.split(value, count, -1))
    size = value.shape[-1] // count
    shape = (*value.shape[:-1], size)
    return writer.emit_all("Split", value, np.full(count, size), shapes=[shape] * count, axis=len(shape) - 1)


def _elman_step(writer: Writer, a: Any, attributes: Mapping[str, Any]) -> Traced:
    kind = attributes.get("activations", ["Tanh"])[0]
    return writer.emit(kind, writer.emit("Add", *_products(writer, a)))


def _gru_step(writer: Writer, a: Any, attributes: Mapping[str, Any]) -> Traced:
    """Write ``r, z = sigmoid(Wx + Uh); n = tanh(Wx + r Uh); (1 - z) n + z h``."""
    of_x, of_h = (_gates(writer, value, 3) for value in _products(writer, a))
    r, z = (writer.emit("Sigmoid", writer.emit("Add", of_x[gate], of_h[gate])) for gate in range(2))
    n = writer.emit("Tanh", writer.emit("Add", of_x[2], writer.emit("Mul", r, of_h[2])))
    kept = writer.emit("Mul", writer.emit("Sub", np.float32(1), z), n)
    return writer.emit("Add", kept, writer.emit("Mul", z, a.hx))


def _lstm_step(writer: Writer, a: Any, attributes: Mapping[str, Any]) -> list[Traced]:
    """Write ``i, f, g, o = Wx + Uh; c = f c + i g; o tanh(c)``."""
    of_x, of_h = _products(writer, a)
    assert isinstance(of_x, Traced)
    i, f, g, o = _gates(writer, writer.emit("Add", of_x, of_h, shape=of_x.shape), 4)
    i, f, o = (writer.emit("Sigmoid", gate) for gate in (i, f, o))
    g = writer.emit("Tanh", g)
    c = writer.emit("Add", writer.emit("Mul", f, a.hx[1]), writer.emit("Mul", i, g))
    return [writer.emit("Mul", o, writer.emit("Tanh", c)), c]


_EQUATIONS: Mapping[str, Callable[[Writer, Any, Mapping[str, Any]], Any]] = {
    "GRU": _gru_step,
    "LSTM": _lstm_step,
    "RNN": _elman_step,
}


RECURRENT: dict[str, Callable[[Writer, Any], Any]] = {
    "gru": _stacked("GRU"),
    "gru_cell": _cell("GRU"),
    "lstm": _stacked("LSTM"),
    "lstm_cell": _cell("LSTM"),
    "rnn_relu": _stacked("RNN", activations=["Relu"]),
    "rnn_relu_cell": _cell("RNN", activations=["Relu"]),
    "rnn_tanh": _stacked("RNN"),
    "rnn_tanh_cell": _cell("RNN"),
}
"""Functions that write PyTorch's recurrent operators."""

CELLS = frozenset(name for name in RECURRENT if name.endswith("_cell"))
"""Names of those that compute one step."""
