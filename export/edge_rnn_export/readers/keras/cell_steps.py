"""Write a cell step by step, as a Scan, if its activations are none that ONNX's recurrent operators have.

References
----------
.. [1] F. Chollet et al., Keras, ``keras/src/layers/rnn/{simple_rnn,gru,lstm}.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_rnn.storage.budget import Budget
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.keras.activations import Function
from edge_rnn_export.readers.keras.emission import READER, At, Tensor
from edge_rnn_export.readers.tracing.graph import Graph, Port

__all__ = ["Cell", "Gates", "write_steps"]


@dataclass(frozen=True, slots=True, eq=False)
class Gates:
    """Weights of the gates, in Keras's order: ``(units, inputs)``, ``(units, units)``, and none, one or two biases."""

    kernels: Sequence[AnyArray]
    recurrent_kernels: Sequence[AnyArray]
    biases: Sequence[Sequence[AnyArray]]


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """Cell: ONNX's operator of the same equation, and what its equation takes.

    Parameters
    ----------
    functions
        Activations in the order of ONNX's attributes: of the gates, then of the candidate and the output.
    resets_after
        For a GRU, True if the reset gate is applied behind the recurrent matrix.
    """

    kind: str
    units: int
    gates: Gates
    functions: Sequence[Function]
    resets_after: bool


def write_steps(at: At, sequence: Tensor, initial: Sequence[Tensor], cell: Cell) -> tuple[Tensor, list[Tensor]]:
    """Write a cell over a sequence; return its outputs of all steps and its final states."""
    count = 2 if cell.kind == "LSTM" else 1
    starts: list[Tensor | str] = list(initial)
    if not starts and sequence.shape[1] == 1:  # a single step shows no recurrence: the state comes from outside
        axis = sequence.shape[0] or "batch"
        places = range(len(at.emission.states), len(at.emission.states) + count)
        starts = [f"{at.layer.name.replace('/', '_')}/state {place}" for place in places]
        at.emission.ports += [Port(str(name), (axis, cell.units)) for name in starts]
    if not starts:
        shape = at("Concat", at("Shape", sequence, start=0, end=1), [cell.units], axis=0)
        starts = [at("ConstantOfShape", shape)] * count
    inside = at.body()
    ports = [f"state {place}" for place in range(count)]
    states = _STEPS[cell.kind](inside, cell, "x", *ports)
    inputs = tuple(Port(name, ()) for name in (*ports, "x"))
    outputs = (*states, states[0])
    body = Graph(tuple(inside.emission.operators), inputs, outputs, {}, Budget(0), reader=READER)
    made = at.several(
        "Scan",
        count + 1,
        *starts,
        sequence,
        bodies={"body": body},
        num_scan_inputs=1,
        scan_input_axes=[1],
        scan_output_axes=[1],
    )
    if sequence.shape[1] == 1:
        known = {port.name for port in at.emission.ports}
        names = [start.name if isinstance(start, Tensor) else start for start in starts]
        at.emission.states |= {name: new for name, new in zip(names, made, strict=False) if name in known}
    batch, time = sequence.shape[:2]
    final = [Tensor(name, (batch, cell.units), state=True) for name in made[:count]]
    return Tensor(made[count], (batch, time, cell.units)), final


def _product(at: At, vector: str, matrices: Sequence[AnyArray], bias: Sequence[AnyArray] | None) -> str:
    """Product of a vector with the matrices of some gates, and their biases."""
    found = at("MatMul", vector, np.concatenate(matrices).T)
    return found if bias is None else at("Add", found, np.concatenate(bias))


def _simple(at: At, cell: Cell, x: str, h: str) -> tuple[str, ...]:
    gates = cell.gates
    bias = gates.biases[0] if gates.biases else None
    total = at("Add", _product(at, x, gates.kernels, bias), _product(at, h, gates.recurrent_kernels, None))
    return (cell.functions[0].write(at, total),)


def _lstm(at: At, cell: Cell, x: str, h: str, c: str) -> tuple[str, ...]:
    gates, (gate, candidate, output) = cell.gates, cell.functions
    bias = gates.biases[0] if gates.biases else None
    total = at("Add", _product(at, x, gates.kernels, bias), _product(at, h, gates.recurrent_kernels, None))
    i, f, g, o = at.several("Split", 4, total, axis=-1, num_outputs=4)
    kept, new = at("Mul", gate.write(at, f), c), at("Mul", gate.write(at, i), candidate.write(at, g))
    c = at("Add", kept, new)
    return at("Mul", gate.write(at, o), output.write(at, c)), c


def _gru(at: At, cell: Cell, x: str, h: str) -> tuple[str, ...]:
    gates, (gate, candidate) = cell.gates, cell.functions
    of_input, of_state = [*gates.biases, None, None][:2]
    z_x, r_x, n_x = at.several("Split", 3, _product(at, x, gates.kernels, of_input), axis=-1, num_outputs=3)
    if cell.resets_after:
        from_state = _product(at, h, gates.recurrent_kernels, of_state)
        z_h, r_h, n_h = at.several("Split", 3, from_state, axis=-1, num_outputs=3)
    else:
        z_h, r_h = at.several("Split", 2, _product(at, h, gates.recurrent_kernels[:2], None), axis=-1, num_outputs=2)
    z, r = (gate.write(at, at("Add", *each)) for each in ((z_x, z_h), (r_x, r_h)))
    if not cell.resets_after:
        n_h = _product(at, at("Mul", r, h), gates.recurrent_kernels[2:], None)
    n = candidate.write(at, at("Add", n_x, at("Mul", r, n_h) if cell.resets_after else n_h))
    return (at("Add", at("Mul", z, h), at("Mul", at("Sub", 1.0, z), n)),)


_STEPS: Mapping[str, Callable[..., tuple[str, ...]]] = {"RNN": _simple, "GRU": _gru, "LSTM": _lstm}
