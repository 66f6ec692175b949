"""Cells that compute what an Elman, GRU or LSTM does, as operators of ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rnn_export
import paper_cells
from edge_rnn import Dense, Model, cell, quantize, reference
from edge_rnn.equations import relu, sigmoid, split, tanh
from graphs import graph_of
from known_cells import as_equation
from normals import normal


@cell
def elman(p: Any, x: Any, h: Any) -> Any:
    h = relu(p.a @ x + p.b @ x + p.u @ h + 0.5 + p.s + p.c)
    return h, {"h": h}


@cell
def gru_a_matrix_each(p: Any, x: Any, h: Any) -> Any:
    r = sigmoid(p.u_r @ h + p.w_r @ x + p.b_r)
    u = sigmoid(p.b_u + (p.w_u @ x + p.u_u @ h))
    n = tanh((p.u_n @ h + p.c_n) * r + p.b_n + p.w_n @ x)
    h = h + u * (n - h)
    return h, {"h": h}


@cell
def gru_before(p: Any, x: Any, h: Any) -> Any:
    z, r = split(sigmoid(p.w @ x + p.u @ h + p.b), 2)
    n = tanh(p.w_n @ x + p.u_n @ (h * r))
    h = z * h + n * (1 - z)
    return h, {"h": h}


@cell
def lstm(p: Any, x: Any, c: Any, h: Any) -> Any:
    o, g, i, f = split(p.w @ x + p.u @ h, 4)
    c = tanh(g) * sigmoid(i) + c * sigmoid(f + 1.0)
    h = tanh(c) * sigmoid(o + p.b)
    return h, {"c": c, "h": h}


CELLS = {
    "RNN": lambda: elman(a=normal(0, 7, 3), b=normal(1, 7, 3), u=normal(2, 7, 7), s=0.25, c=normal(3, 7)),
    "GRU": lambda: gru_a_matrix_each(
        **{f"w_{gate}": normal(k, 7, 3) for k, gate in enumerate("run")},
        **{f"u_{gate}": normal(k + 5, 7, 7) for k, gate in enumerate("run")},
        **{f"b_{gate}": normal(k + 9, 7) for k, gate in enumerate("run")},
        c_n=normal(4, 7), h=normal(8, 7),
    ),
    "GRU before": lambda: gru_before(
        w=normal(0, 14, 3), u=normal(1, 14, 7), b=normal(2, 14), w_n=normal(3, 7, 3), u_n=normal(4, 7, 7)
    ),
    "LSTM": lambda: lstm(w=normal(0, 28, 3), u=normal(1, 28, 7), b=normal(2, 7), c=normal(3, 7)),
}  # fmt: skip


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("form", ["step", "sequence"])
@pytest.mark.slow
def test_graph_has_the_operator_and_computes_the_same(name: str, form: Any, tmp_path: Path) -> None:
    model = Model([CELLS[name](), Dense(normal(9, 2, 7))])
    operators = [node.op_type for node in graph_of(model, form).graph.node]
    assert [each for each in operators if each in ("RNN", "GRU", "LSTM", "Scan")] == [name.split()[0]]
    path, xs = tmp_path / "m.onnx", normal(9, 40, 3)
    edge_rnn_export.to_onnx(model, path, form=form, steps=60)  # raises where onnxruntime disagrees with the cell
    assert edge_rnn_export.verify(model, path, steps=60).passed
    again = edge_rnn_export.from_onnx(path)
    assert again.layers[0].kind == {"RNN": "Elman"}.get(name, name.split()[0])
    np.testing.assert_allclose(reference.run(again, xs)[0], reference.run(model, xs)[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_layers_written_as_equations_are_recognized(seed: int) -> None:
    from edge_rnn import GRU, LSTM, Elman

    for kind, gates in ((Elman, 1), (GRU, 3), (LSTM, 4)):
        layer = kind(
            *(normal(seed + k, *shape) for k, shape in enumerate(((gates * 5, 3), (gates * 5, 5), (gates * 5,))))
        )
        operators = {node.op_type for node in graph_of(Model([as_equation(layer)])).graph.node}
        assert operators & {"RNN", "GRU", "LSTM"}


@cell
def other_gate(p: Any, x: Any, h: Any) -> Any:
    f = sigmoid(p.w @ x + p.u @ h)
    h = f * h + (1 - f) * tanh(p.v @ x + p.o @ (f * f))
    return h, {"h": h}


@cell
def other_output(p: Any, x: Any, h: Any) -> Any:
    return tanh(p.w @ x + p.u @ h) * 2, {"h": tanh(p.w @ x + p.u @ h)}


@cell
def other_state(p: Any, x: Any, h: Any, c: Any) -> Any:
    i, f, g, o = split(p.w @ x + p.u @ c, 4)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return h, {"h": h, "c": c}


def test_equations_that_differ_in_little_are_others() -> None:
    square = {"w": normal(0, 7, 3), "u": normal(1, 7, 7), "v": normal(2, 7, 3), "o": normal(3, 7, 7)}
    whole = {
        "weight_ih": normal(0, 14, 3),
        "weight_hh": normal(1, 14, 7),
        "bias_ih": normal(2, 14),
        "bias_hh": normal(3, 14),
    }
    layers = [
        other_gate(**square),
        other_output(w=square["w"], u=square["u"]),
        other_state(w=normal(0, 28, 3), u=normal(1, 28, 7)),
        paper_cells.mgu(**whole),
        paper_cells.li_gru(**whole),
        paper_cells.ugrnn(**whole),
        paper_cells.min_gru(weight_z=square["w"], bias_z=normal(4, 7), weight_h=square["v"], bias_h=normal(5, 7)),
    ]
    for layer in layers:
        operators = {node.op_type for node in graph_of(Model([layer])).graph.node}
        assert not operators & {"RNN", "GRU", "LSTM"}, layer.title


@pytest.mark.slow
def test_smaller_formats_stay_elementary_and_verified(tmp_path: Path) -> None:
    model = Model([CELLS["GRU"]()])
    edge_rnn_export.to_onnx(model, tmp_path / "m.onnx", precision="int8-weights", steps=40)
    assert not {"GRU"} & {node.op_type for node in graph_of(quantize(model, "float16")).graph.node}
