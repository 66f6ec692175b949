"""Names, parts of graphs, and comparison with onnxruntime."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import edge_rnn
from edge_rnn.cli import main
from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.layers import GRU, LSTM, Dense, Elman, Standardize
from edge_rnn.model import Model
from edge_rnn_export import from_onnx
from graphs import graph_of
from onnx_graphs import HIDDEN, TOLERANCE, Maker, close, expected, ort, rnn, samples, uniform


def test_names_and_description() -> None:
    m = Maker(("x", ["t", "b", 3]))
    m.op("Identity", m.op("MatMul", rnn(m, rnn(m), HIDDEN), uniform(HIDDEN, 2)), out="y")
    for node, name in zip(m.nodes, ["/rnn/GRU", "s", "/rnn/GRU_1", "t", "head 1/fc/MatMul", "u"], strict=True):
        node.name = name
    model = from_onnx(
        m.proto("y"), name="a", labels=["l", "r"], sample_rate_hz=9, input_names=list("xyz"), input_units=["g"] * 3
    )
    assert [layer.name for layer in model.layers] == ["rnn", "rnn_2", "fc"]
    assert (model.name, model.labels, model.sample_rate_hz, model.input_units) == ("a", ("l", "r"), 9.0, ("g",) * 3)


def test_a_path_bytes_and_a_proto_are_the_same(tmp_path: Path) -> None:
    m = Maker(("x", ["t", "b", 3]))
    m.op("Identity", rnn(m), out="y")
    proto = m.proto("y")
    onnx.save(proto, tmp_path / "m.onnx")
    sources: list[Any] = [tmp_path / "m.onnx", str(tmp_path / "m.onnx"), proto.SerializeToString(), proto]
    assert len({from_onnx(source).fingerprint for source in sources}) == 1
    with pytest.raises(InputError, match=r"from_onnx got int, expected a path, a file's bytes or a ModelProto"):
        from_onnx(3)


def test_upto_reads_a_part() -> None:
    m = Maker(("x", ["t", "b", 3]))
    hidden = rnn(m)
    m.op("Sin", m.op("MatMul", hidden, uniform(HIDDEN, 2)), out="y")
    m.op("Tanh", hidden, out="z")
    with pytest.raises(UnsupportedError, match=r"Sin node '/sin3': it is not one of Abs"):
        from_onnx(m.proto("y", "z"))
    model, xs = from_onnx(m.proto("y", "z"), upto="z"), samples(6, 2)
    close(ort(m.proto("y", "z"), {"x": xs}, "z"), expected(model, xs))
    assert [layer.kind for layer in from_onnx(m.proto("y"), upto=m.nodes[2].output[0]).layers] == ["GRU", "Dense"]
    with pytest.raises(InputError, match=r"upto names 'nothing', which no operator produces; expected one of 'v0_0'"):
        from_onnx(m.proto("y"), upto="nothing")


def test_upto_joins_several_outputs_as_the_refusal_says(tmp_path: Path, capsys: Any) -> None:
    m = Maker(("x", ["t", "b", 3]))
    hidden = rnn(m)
    m.op("Tanh", hidden, out="y")
    m.op("MatMul", hidden, uniform(HIDDEN, 2), out="z")
    with pytest.raises(
        UnsupportedError, match=r"outputs 'y', 'z', expected one .*, or several in a tuple, which are jo"
    ):
        from_onnx(m.proto("y", "z"))
    model, xs = from_onnx(m.proto("y", "z"), upto=("z", "y")), samples(6, 2)
    wanted = np.concatenate([ort(m.proto("y", "z"), {"x": xs}, name) for name in "zy"], -1)
    close(wanted, expected(model, xs))
    onnx.save(m.proto("y", "z"), tmp_path / "m.onnx")
    run = ["import", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.safetensors"), "--upto", "z", "--upto", "y"]
    assert main(run) == 0
    assert re.search(r"onnxruntime over \d+ random steps: \d\.\de-0[789] off at most", capsys.readouterr().out)
    assert edge_rnn.load(tmp_path / "m.safetensors").fingerprint == model.fingerprint


def test_part_of_our_own_graph() -> None:
    model = Model([GRU(uniform(12, 3), uniform(12, 4)), Dense(uniform(2, 4))])
    read = from_onnx(graph_of(model), upto="gru1.h_out")
    assert [layer.kind for layer in read.layers] == ["GRU"]
    assert np.array_equal(read.layers[0].arrays["weight_ih"], model.layers[0].arrays["weight_ih"])


def test_generic_reading_of_our_own_graphs() -> None:
    """Without metadata they are read like other graphs: the same layers under the names of nodes."""
    cells = [LSTM(uniform(16, 3), uniform(16, 4), uniform(16)), Elman(uniform(4, 4), uniform(4, 4), activation="relu")]
    scaled = Standardize([1.0, 2.0, 3.0], [2.0, 0.5, 1.0])
    model = Model([scaled, *cells, Dense(uniform(2, 4), uniform(2), activation="softmax")])
    for form in ("step", "sequence"):
        proto = graph_of(model, form)  # type: ignore[arg-type]
        del proto.metadata_props[:]
        read = from_onnx(proto)
        for got, wanted in zip(read.layers, model.layers, strict=True):
            assert (got.kind, got.options) == (wanted.kind, wanted.options)
            for key, array in wanted.arrays.items():
                assert np.array_equal(getattr(got, key), array)


def test_import_compares_an_output_of_one_value_without_its_axis(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edge_rnn.cli import main

    m = Maker(("x", ["t", "b", 3]))
    m.op("Squeeze", m.op("MatMul", rnn(m, "x"), uniform(HIDDEN, 1)), [2], out="y")
    onnx.save(m.proto("y"), tmp_path / "m.onnx")
    assert main(["import", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.safetensors")]) == 0
    assert "with onnxruntime over" in capsys.readouterr().out


def test_import_compares_with_onnxruntime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from edge_rnn.cli import main

    m = Maker(("x", ["b", "t", 3]), ("h", [1, "b", HIDDEN]))
    m.op("Transpose", "x", perm=[1, 0, 2], out="seq")
    m.op("Identity", rnn(m, "seq", start=("h",)), out="y")
    onnx.save(m.proto("y"), tmp_path / "theirs.onnx")
    layers = [LSTM(uniform(16, 3), uniform(16, 4), cell_clip=0.5), Dense(uniform(2, 4))]
    model = Model(layers, name="ours", labels=["l", "r"], sample_rate_hz=10)
    onnx.save(graph_of(model, "sequence"), tmp_path / "whole.onnx")
    onnx.save(graph_of(model), tmp_path / "step.onnx")
    for name, steps in (("theirs", 88), ("whole", 160), ("step", 8)):
        output = tmp_path / f"{name}.safetensors"
        assert main(["import", str(tmp_path / f"{name}.onnx"), "-o", str(output)]) == 0
        told, compared, written = capsys.readouterr().out.splitlines()
        assert told.startswith("read         ONNX: <Model ")
        assert not compared.startswith("not"), compared
        words = compared.split(f"compared     with onnxruntime over {steps} random steps: ")[1]
        assert float(words.removesuffix(" off at most")) < TOLERANCE
        assert written.startswith(f"written      {output}")
        edge_rnn.load(output)
    read = edge_rnn.load(tmp_path / "whole.safetensors")
    assert read.fingerprint == model.fingerprint
    assert (read.name, read.labels, read.sample_rate_hz) == ("ours", ("l", "r"), 10.0)


def test_import_says_so_where_onnxruntime_does_not_run_the_graph(tmp_path: Path, capsys: Any) -> None:
    from edge_rnn.cli import main

    m = Maker(("x", [2, 5, 3]))
    every = m.cell("GRU", "x", layout=1)[0]
    m.op("Squeeze", every, [2], out="y")
    onnx.save(m.proto("y"), tmp_path / "m.onnx")
    assert main(["import", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.safetensors")]) == 0
    assert "not compared onnxruntime rejects" in capsys.readouterr().out
