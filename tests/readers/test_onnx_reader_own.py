"""Graphs of ``to_onnx`` are read back as the original model, bit for bit, for all options."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_rnn import quantize
from edge_rnn.activation import ACTIVATIONS
from edge_rnn.errors import EdgeRnnError, FileError, UnsupportedError
from edge_rnn.layers import GRU, INPUT, LSTM, Add, Dense, Elman, Embedding, Layer, Standardize
from edge_rnn.model import Model
from edge_rnn_export import from_onnx, to_onnx
from graphs import graph_of

FORMS: tuple[Literal["step", "sequence"], ...] = ("step", "sequence")


def same(got: Model, wanted: Model) -> bool:
    """Return True if two models are equal in fingerprint (layers, options and bits) and metadata."""
    keys = ("name", "labels", "sample_rate_hz", "input_names", "input_units", "input_size", "sources")
    assert {key: getattr(got, key) for key in keys} == {key: getattr(wanted, key) for key in keys}
    for mine, theirs in zip(got.layers, wanted.layers, strict=True):
        assert (mine.title, mine.inputs, mine.options) == (theirs.title, theirs.inputs, theirs.options)
        assert mine.arrays.keys() == theirs.arrays.keys()
        for key, array in mine.arrays.items():
            assert array.tobytes() == theirs.arrays[key].tobytes(), f"{mine.title} {key}"
    return got.fingerprint == wanted.fingerprint


limits = st.none() | st.floats(0.05, 3)
numbers = st.floats(-2, 2, width=32).filter(lambda value: value == 0 or abs(value) > 1e-3)


@st.composite
def activations(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(list(ACTIVATIONS)))
    given = [repr(draw(numbers)) for _ in ACTIVATIONS[name]] if draw(st.booleans()) else []
    return ":".join([name, *given])


@st.composite
def cells(draw: st.DrawFn, reads: int, name: str) -> tuple[Layer, int]:
    """Any cell with any of its options, and its output size."""
    cls: Any = draw(st.sampled_from([Elman, GRU, LSTM]))
    hidden = draw(st.integers(1, 4))
    projected = draw(st.integers(1, 3)) if cls is LSTM and draw(st.booleans()) else None
    size = projected or hidden
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def array(*shape: int) -> np.ndarray:
        values = rng.standard_normal(shape).astype(np.float32)
        values[rng.uniform(size=shape) < 0.1] = -0.0  # a sign that bits tell and numbers do not
        return values

    rows = len(cls.gates) * hidden
    optional = {"bias_ih": (rows,), "bias_hh": (rows,), "h0": (size,)}
    options: dict[str, Any] = {"gate_clip": draw(limits)}
    if cls is Elman:
        options["activation"] = draw(activations())
    else:
        options["gate_activation"] = draw(activations())
    if cls is GRU:
        options |= {"candidate_activation": draw(activations()), "reset_after": draw(st.booleans())}
    if cls is LSTM:
        optional |= {"c0": (hidden,), "peephole": (3 * hidden,)}
        options |= {"cell_activation": draw(activations()), "output_activation": draw(activations())}
        options |= {"coupled": draw(st.sampled_from(["none", "input", "forget"])), "cell_clip": draw(limits)}
        if projected:
            options |= {"weight_hr": array(projected, hidden), "projection_clip": draw(limits)}
    chosen = {key: array(*shape) for key, shape in optional.items() if draw(st.booleans())}
    return cls(array(rows, reads), array(rows, size), name=name, **chosen, **options), size


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Random stacks of cells, with scaling, skips and a head."""
    size = inputs = draw(st.integers(1, 3))
    layers: list[Layer] = []
    if draw(st.booleans()):
        layers.append(Standardize(np.arange(inputs), np.arange(1, inputs + 1), name="scaled"))
    for place in range(draw(st.integers(1, 2))):
        cell, size = draw(cells(size, f"cell{place}"))
        layers.append(cell)
    if draw(st.booleans()):
        activation = draw(activations() | st.just("softmax"))
        weight = np.linspace(-1, 1, 2 * (size + inputs), dtype=np.float32).reshape(2, -1)
        bias = np.float32([0.5, -0.0]) if draw(st.booleans()) else None
        layers.append(Dense(weight, bias, name="mix", inputs=(layers[-1].name, INPUT), activation=activation))  # type: ignore[arg-type]
        size = 2
    if draw(st.booleans()):
        layers.append(Add(name="sum", inputs=(layers[-1].name, layers[-1].name)))
    return Model(
        layers,
        name=draw(st.sampled_from(["", "wrist", "Ünïcode"])),
        labels=[f"out {place}" for place in range(size)] if draw(st.booleans()) else (),
        sample_rate_hz=draw(st.none() | st.floats(0.1, 1e5)),
        input_names=[f"in {place}" for place in range(inputs)] if draw(st.booleans()) else (),
        input_units=["m/s²"] * inputs if draw(st.booleans()) else (),
    )


@given(models(), st.sampled_from(FORMS))
def test_round_trip(model: Model, form: Literal["step", "sequence"]) -> None:
    assert same(from_onnx(graph_of(model, form).SerializeToString()), model)


@pytest.mark.parametrize(
    ("activation", "form"),
    list(itertools.product(Dense.ACTIVATIONS, FORMS)),
)
@pytest.mark.sampled(2)
def test_round_trip_of_a_file(activation: str, form: Literal["step", "sequence"], tmp_path: Path) -> None:
    table = np.linspace(-1, 1, 12, dtype=np.float32).reshape(6, 2)
    layers = [Embedding(table), Dense(table, np.ones(6), activation=activation)]
    model = Model(layers, name="symbols", sample_rate_hz=3.5)
    to_onnx(model, tmp_path / "model.onnx", form=form, steps=20)
    assert same(from_onnx(tmp_path / "model.onnx"), model)
    assert same(from_onnx(str(tmp_path / "model.onnx")), model)


def test_what_is_given_goes_before_what_the_graph_says() -> None:
    model = Model([Elman([[1.0]], [[0.5]])], name="theirs", labels=["a"], sample_rate_hz=10, input_names=["x"])
    read = from_onnx(graph_of(model), name="mine", labels=["b"], sample_rate_hz=20)
    assert (read.name, read.labels, read.sample_rate_hz, read.input_names) == ("mine", ("b",), 20.0, ("x",))
    assert read.fingerprint == model.fingerprint


def test_data_in_another_file(tmp_path: Path) -> None:
    model = Model([Elman(np.ones((16, 8)), np.ones((16, 16)))])
    proto = graph_of(model)
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    assert same(from_onnx(tmp_path / "m.onnx"), model)


def small_graph() -> onnx.ModelProto:
    cell = GRU(np.ones((6, 2)), np.ones((6, 2)), h0=np.ones(2))
    return graph_of(Model([cell, Dense(np.ones((1, 2)), np.ones(1), activation="tanh")], labels=["a"]))


def change_graph(graph: onnx.GraphProto, what: str) -> None:
    if what == "weight":
        array = np.array(onnx.numpy_helper.to_array(graph.initializer[0]))
        array.flat[3] += 1
        graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(array, graph.initializer[0].name))
    elif what == "node":
        graph.node[-1].op_type = "Sigmoid"
    elif what == "more nodes":
        graph.node.add(op_type="Identity", input=["y"], output=["z"])
    elif what == "attribute":
        graph.node[0].attribute.add(name="clip", f=1.0, type=onnx.AttributeProto.FLOAT)
    elif what == "initializers":
        graph.initializer.append(onnx.numpy_helper.from_array(np.ones(1, np.float32), "more"))
    else:
        graph.output[0].type.tensor_type.shape.dim[0].dim_value = 2


CHANGES: dict[str, Any] = {
    "kind": lambda told: told["layers"][0].update(kind="LSTM"),
    "option": lambda told: told["layers"][0]["options"].update(reset_after=False),
    "unknown option": lambda told: told["layers"][0]["options"].update(zoneout=1),
    "no layers": lambda told: told.pop("layers"),
    "layers": lambda told: told.update(layers=3),
    "form": lambda told: told.update(form="sequence"),
    "unknown form": lambda told: told.update(form=["step"]),
    "head": lambda told: told.update(head="greedy"),
    "other head": lambda told: told.update(head="probabilities"),
    "unknown head": lambda told: told.update(head=["logits"]),
    "vocabulary": lambda told: told.update(vocabulary=["a"]),
    "state": lambda told: told["initial_state"].update({"gru1.h": [1e400, 1]}),
    "size": lambda told: told.update(input_size=2**40),
}


@pytest.mark.parametrize("what", ["weight", "node", "more nodes", "attribute", "initializers", "output"])
def test_changed_graph_is_refused(what: str) -> None:
    proto = small_graph()
    change_graph(proto.graph, what)
    with pytest.raises(FileError, match=r"Export the model again, or delete the entry 'edge_rnn'"):
        from_onnx(proto)


@pytest.mark.parametrize("version", [16, 25])
def test_operator_set_that_graphs_are_not_written_in_is_refused(version: int) -> None:
    proto = small_graph()
    proto.opset_import[0].version = version
    with pytest.raises(FileError, match=r"its operator set has been changed"):
        from_onnx(proto)


@pytest.mark.parametrize("what", [*CHANGES, "no JSON"])
def test_changed_metadata_are_refused(what: str) -> None:
    proto = small_graph()
    (entry,) = proto.metadata_props
    told = json.loads(entry.value)
    if what in CHANGES:
        CHANGES[what](told)
    entry.value = json.dumps(told) if what in CHANGES else "{"
    with pytest.raises(FileError, match=r"Export the model again, or delete the entry 'edge_rnn'"):
        from_onnx(proto)


def test_changed_graph_is_read_like_any_other_without_its_metadata() -> None:
    proto = small_graph()
    change_graph(proto.graph, "node")
    del proto.metadata_props[:]
    model = from_onnx(proto)
    assert [(layer.kind, layer.options.get("activation")) for layer in model.layers] == [
        ("GRU", None), ("Dense", "sigmoid"),
    ]  # fmt: skip


@given(st.binary(max_size=200), st.integers(0, 400))
def test_damaged_metadata_are_refused(noise: bytes, place: int) -> None:
    proto = graph_of(Model([Elman([[1.0]], [[0.5]])]))
    (entry,) = proto.metadata_props
    text = entry.value.encode()
    before = entry.value
    entry.value = (text[:place] + noise + text[place + len(noise) :]).decode(errors="replace")
    try:
        model = from_onnx(proto)
    except EdgeRnnError:
        return
    assert model.fingerprint == json.loads(before)["fingerprint"]


@pytest.mark.parametrize("precision", ["float16", "int8", "int8-weights", "int4"])
def test_graphs_of_smaller_formats_are_refused_in_words(precision: str) -> None:
    random = np.random.default_rng(0).standard_normal
    model = Model([GRU(random((24, 6)), random((24, 8))), Dense(random((3, 8)))])
    with pytest.raises(UnsupportedError, match="this one has smaller formats; load the model"):
        from_onnx(graph_of(model, "step", precision))  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="smaller formats"):
        from_onnx(graph_of(quantize(model, "int8")))
    assert same(from_onnx(graph_of(model, "step", "float32")), model)
