"""Convert ONNX's RNN, GRU and LSTM operators to edge_rnn's cells.

Source: RNN-22, GRU-22, LSTM-22, https://onnx.ai/onnx/operators; where these are silent, as onnxruntime computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from edge_rnn.activation import ACTIVATIONS, Activation
from edge_rnn.layers import LAYER_TYPES, Recurrent
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.tracing.codes import Signal, Value
from edge_rnn_export.readers.tracing.drafts import Draft, Kind
from edge_rnn_export.readers.tracing.features import features
from edge_rnn_export.readers.tracing.functions import shortest
from edge_rnn_export.readers.tracing.node import Node
from edge_rnn_export.readers.tracing.spelled import spelled

__all__ = ["CELLS"]


# Gates in ONNX's order, by edge_rnn's letters, and in edge_rnn's order.
_GATES: Mapping[str, tuple[str, str]] = {"RNN": ("h", "h"), "GRU": ("zrn", "rzn"), "LSTM": ("iofg", "ifgo")}
_KINDS: Mapping[str, Kind] = {"RNN": "Elman", "GRU": "GRU", "LSTM": "LSTM"}
# Fields for the activations f, g and h, and the operator's defaults.
_USED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "RNN": (("activation", "tanh"),),
    "GRU": (("gate_activation", "sigmoid"), ("candidate_activation", "tanh")),
    "LSTM": (("gate_activation", "sigmoid"), ("cell_activation", "tanh"), ("output_activation", "tanh")),
}
_NAMES: Mapping[str, str] = {name.replace("_", ""): name for name in ACTIVATIONS if name != "none"}


def _cell(node: Node) -> list[Value]:
    """Read a recurrent operator; return Y, Y_h and, for an LSTM, Y_c."""
    batch_first = _layout(node)
    trace, kind = node.trace, node.kind
    x = node.signal(0)
    if x.codes.ndim != 3:
        raise node.damaged(f"reads a value of shape {x.codes.shape}, expected three axes.")
    codes = x.codes.swapaxes(0, 1) if batch_first else x.codes
    fields, sizes, inputs = _weights(node)
    if codes.shape[2] != inputs:
        raise node.damaged(f"reads {codes.shape[2]} values per step, expected {inputs}, from its weights.")
    fields |= _activations(node)
    clip = node.take("clip", None, float, int)
    if clip is not None:
        fields["gate_clip"] = shortest(clip)
    if kind == "GRU":
        fields["reset_after"] = bool(node.take("linear_before_reset", 0))
    if kind == "LSTM" and node.take("input_forget", 0):
        fields["coupled"] = "forget"
    fields |= {name: value for name, value in node.operator.beyond.items() if name != "weight_hr"}
    if len(codes) == 1 and any(_is_computed(node, node.input(5 + place)) for place in range(len(sizes))):
        return _step(node, fields, sizes, Signal(codes[0]), batch_first)
    reads, rows = features(trace, node.operator, Signal(codes))
    trace.settle_grid(node.operator, rows)
    _check_lengths(node, *rows.shape)
    draft = trace.draft(node.operator, _KINDS[kind], sizes["h"], reads, **fields)
    for place, key in enumerate(sizes):
        start = _initial(node, draft, key, node.input(5 + place), batch_first, rows.shape[1], sizes[key])
        if start is not None:
            draft.fields[f"{key}0"] = start
    every = trace.put_out(draft, rows).codes
    last = [trace.put_out(draft, rows[-1], key, size).codes for key, size in sizes.items()]
    if batch_first:
        return [Signal(every.swapaxes(0, 1)[:, :, None]), *(Signal(each[:, None]) for each in last)]
    return [Signal(every[:, None]), *(Signal(each[None]) for each in last)]


def _is_computed(node: Node, state: Value) -> bool:
    """True if an initial state is computed, or mixes the units of an input: the operator is one step of many."""
    if not isinstance(state, Signal):
        return False
    if node.trace.kinds(state) != {"port"} or node.trace.only_port(state) is None:
        return True
    steps = np.diff(state.codes, axis=-1)
    return bool((steps != 1).any())


def _step(
    node: Node, fields: Mapping[str, Any], sizes: Mapping[Literal["h", "c"], int], x: Signal, batch_first: bool
) -> list[Value]:
    """Spell a single step from computed states; return Y, Y_h and, for an LSTM, Y_c."""
    _check_lengths(node, 1, len(x.codes))
    layer = LAYER_TYPES[_KINDS[node.kind]](**fields)
    states: dict[str, Signal] = {}
    for place, (key, size) in enumerate(sizes.items()):
        value = node.input(5 + place)
        codes = value.codes if isinstance(value, Signal) else None
        if codes is None:
            numbers = np.zeros((1, len(x.codes), size), np.float32) if value is None else node.numbers(5 + place)
            codes = node.trace.constants(numbers).codes
        if codes.size != len(x.codes) * size:
            raise node.damaged(f"has initial_{key} of shape {codes.shape}, expected {(1, len(x.codes), size)}.")
        states[key] = Signal(codes.reshape(len(x.codes), size))
    assert isinstance(layer, Recurrent)
    y, new = spelled(node, layer, x, states)
    if batch_first:
        return [Signal(y.codes[:, None, None]), *(Signal(new[key].codes[:, None]) for key in sizes)]
    return [Signal(y.codes[None, None]), *(Signal(new[key].codes[None]) for key in sizes)]


def _layout(node: Node) -> bool:
    """True if the batch axis comes first; refuses the reverse direction, which needs whole sequences."""
    direction, layout = node.take("direction", "forward"), node.take("layout", 0)
    if direction not in ("forward", "reverse", "bidirectional") or layout not in (0, 1):
        raise node.damaged(f"has the direction {direction[:20]!r} and the layout {layout}.")
    if direction != "forward":
        raise node.refuse(
            f"its direction is {direction!r}, and in reverse it needs the whole sequence before the first output; a "
            f"stream has seen no more than the samples so far."
        )
    return bool(layout)


def _weights(node: Node) -> tuple[dict[str, Any], dict[Literal["h", "c"], int], int]:
    """Return matrices, biases and peepholes in edge_rnn's layout, the sizes of states, and the number of inputs."""
    theirs, ours = _GATES[node.kind]
    gates = len(ours)
    w, r = _floats(node, 1), _floats(node, 2)
    hidden = node.take("hidden_size", None, int) or (r.shape[-1] if r.ndim else 0)
    inputs = w.shape[-1] if w.ndim else 0
    projection = node.operator.beyond.get("weight_hr")
    weight_hr = None if projection is None else _floats(node, projection)
    output = hidden if weight_hr is None else len(weight_hr)
    shapes = {1: (1, gates * hidden, inputs), 2: (1, gates * hidden, output), 3: (1, 2 * gates * hidden)}
    if node.kind == "LSTM":
        shapes[7] = (1, 3 * hidden)
    found: dict[int, AnyArray] = {}
    for place, shape in shapes.items():
        if node.input(place) is None and place in (3, 7):
            continue
        array = _floats(node, place)
        if array.shape != shape:
            name = {1: "W", 2: "R", 3: "B", 7: "P"}[place]
            raise node.damaged(f"has {name} of shape {array.shape}, expected {shape}.")
        found[place] = array[0]
    order = [theirs.index(gate) for gate in ours]

    def arranged(array: AnyArray) -> AnyArray:
        parts = np.split(array, gates)
        return np.concatenate([parts[gate] for gate in order])

    node.trace.graph.budget.take(f"the {node.title}", 2 * sum(array.nbytes for array in found.values()))
    fields = {"weight_ih": arranged(found[1]), "weight_hh": arranged(found[2])}
    if 3 in found:
        of_w, of_r = np.split(found[3], 2)
        fields["bias_ih"] = arranged(of_w)
        if of_r.any():  # ONNX has both or none
            fields["bias_hh"] = arranged(of_r)
    if 7 in found:
        i, o, f = np.split(found[7], 3)
        fields["peephole"] = np.concatenate([i, f, o])
    if weight_hr is not None:
        fields["weight_hr"] = weight_hr
    return fields, {"h": output, "c": hidden} if node.kind == "LSTM" else {"h": output}, inputs


def _floats(node: Node, place: int) -> AnyArray:
    array = node.numbers(place)
    if array.dtype.kind != "f":
        raise node.damaged(f"has weights of {array.dtype}, expected floating point.")
    return array


def _check_lengths(node: Node, steps: int, batch: int) -> None:
    """Refuse sequence lengths other than the full length: a stream has none."""
    if node.input(4) is None:
        return
    if isinstance(node.input(4), Signal):
        raise node.refuse("it takes sequence_lens as an input; a stream ends when its samples do. Export without it.")
    lengths = node.numbers(4)
    if lengths.shape != (batch,) or (lengths != steps).any():
        raise node.refuse(
            f"its sequence_lens are {str(lengths.tolist())[:60]}, expected {batch} times {steps}, the whole sequence."
        )


def _activations(node: Node) -> dict[str, str]:
    """Return activations by field, each with its parameters."""
    used = _USED[node.kind]
    texts = node.take("activations", None, list)
    alphas, betas = (
        [shortest(value) for value in node.take(f"activation_{key}", None, list) or []] for key in ("alpha", "beta")
    )
    texts = [default for _, default in used] if texts is None else texts
    names = [_NAMES.get(str(text).lower()) for text in texts]
    if len(names) != len(used) or None in names:
        known = ", ".join(_NAMES)
        raise node.refuse(f"its activations are {str(texts)[:80]}, expected {len(used)} of {known}.")
    given = [name for name in names if name is not None]
    first = _parameters(node, "activation_alpha", given, 0, alphas)
    second = _parameters(node, "activation_beta", given, 1, betas)
    found = {}
    for (field, _), name, *parameters in zip(used, given, first, second, strict=True):
        numbers = tuple(float(number) for number in parameters if number is not None)
        found[field] = "none" if (name, numbers) == ("affine", (1.0, 0.0)) else str(Activation(name, numbers))
    return found


def _parameters(node: Node, what: str, names: Sequence[str], place: int, given: Sequence[float]) -> list[float | None]:
    """Return one parameter per activation that takes it, None for the others.

    ONNX lists parameters only for activations that take them, in order, with defaults for those missing at the end.
    Some files list one per activation; such a list is accepted only if both readings agree.
    """
    takers = [index for index, name in enumerate(names) if len(ACTIVATIONS[name]) > place]
    found: list[float | None] = [None] * len(names)
    for index in takers:
        found[index] = ACTIVATIONS[names[index]][place]
    in_order = list(found)
    for index, number in zip(takers, given, strict=False):
        in_order[index] = number
    if len(given) <= len(takers):
        return in_order
    one_each = list(found)
    for index in takers:
        one_each[index] = given[index] if len(given) == len(names) else None
    if one_each != in_order:
        raise node.refuse(
            f"its {what} lists {str(list(given))[:60]} for {', '.join(names)}: {len(takers)} of these take one, and "
            f"the assignment is ambiguous. List them only for those."
        )
    return in_order


def _initial(
    node: Node, draft: Draft, key: str, value: Value, batch_first: bool, batch: int, size: int
) -> AnyArray | None:
    """Initial state as an array, equal across the batch; None for zeros and for an input of the graph."""
    if value is None:
        return None
    array = value.codes if isinstance(value, Signal) else value
    expected = (batch, 1, size) if batch_first else (1, batch, size)
    open_batch = isinstance(value, Signal) and array.ndim == 3 and array.shape[::2] == expected[::2]
    if array.shape != expected and (batch_first or not open_batch):
        raise node.refuse(f"its initial_{key} has shape {array.shape}, expected {expected}.")
    rows = array[:, 0] if batch_first else array[0]
    if isinstance(value, Signal):
        node.trace.take_state(node.operator, draft, key, rows)
        return None
    if (rows != rows[:1]).any():
        raise node.refuse(f"its initial_{key} differs from sequence to sequence of a batch; a model has one.")
    start = np.array(rows[0], np.float32)
    return start if start.any() else None


CELLS: Mapping[str, Callable[[Node], list[Value]]] = {"RNN": _cell, "GRU": _cell, "LSTM": _cell}
"""Recurrent operators."""
