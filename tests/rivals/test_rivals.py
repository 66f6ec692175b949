"""Other runtimes, as set up for the benchmark, compute what the reference does."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import needs
from edge_rnn import GRU, Dense, Elman, Model, Standardize, reference
from edge_rnn.bench.networks import table
from edge_rnn.bench.step import RIVALS
from edge_rnn.cli import main
from edge_rnn.layers import Add
from edge_rnn.plugins import load_first
from edge_rnn_export.rivals import Rival, rivals
from edge_rnn_export.rivals.plain_numpy import numpy_rivals

# Float32 over some dozen steps of contracting networks: some 1e-7 a step, and no drift.
TOLERANCE = 2e-6


def check(rival: Rival, model: Model, steps: int = 30) -> None:
    xs = np.random.default_rng(1).standard_normal((steps, model.input_size)).astype(np.float32)
    expected, _ = reference.run(model, xs)
    for _ in range(2):  # a second start begins again
        step = rival.start()
        ys = np.array([np.array(step(x)) for x in xs])
        assert ys.shape == expected.shape
        np.testing.assert_allclose(ys, expected, atol=TOLERANCE, rtol=0)
    if rival.run:
        np.testing.assert_allclose(rival.run(xs), expected, atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(rival.run(xs[:7]), expected[:7], atol=TOLERANCE, rtol=0)


def by_name(model: Model) -> dict[str, Rival]:
    return {rival.name: rival for rival in rivals(model)[0]}


@pytest.fixture(params=["elman_tanh", "elman_relu", "gru", "gru_reset_before", "lstm"])
def model(request: pytest.FixtureRequest, make_model: Callable[..., Model]) -> Model:
    """Two cells behind a scaling, with trained initial states, and a softmax."""
    plain = make_model(request.param, 3, 8, layers=2, initial=True, activation="softmax")
    scaling = Standardize(np.array([0.5, -1.0, 0.0]), np.array([2.0, 1.0, 0.5]))
    return Model([scaling, *plain.layers])


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime, I/O binding", "NumPy"])
def test_same_as_the_reference(name: str, model: Model) -> None:
    check(by_name(model)[name], model)


@pytest.mark.parametrize("name", ["onnxruntime", "NumPy"])
@pytest.mark.parametrize("activation", ["none", "relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("bias", [True, False])
def test_heads(name: str, activation: str, bias: bool, make_model: Callable[..., Model]) -> None:
    model = make_model("lstm", 2, 8, activation=activation, bias=bias)
    check(by_name(model)[name], model)


def test_wiring_is_for_onnxruntime_alone(make_model: Callable[..., Model]) -> None:
    gru, head = make_model("gru", 4, 4).layers
    model = Model([gru, Add(inputs=("input", "gru1")), head])
    found, missing = rivals(model)
    assert {rival.name for rival in found} == {"onnxruntime", "onnxruntime, I/O binding"}
    for rival in found:
        check(rival, model)
    assert "each layer reads the one before" in missing["NumPy"]


def test_missing_rivals_are_reported(make_model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnxruntime", "ai_edge_litert", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    found, missing = rivals(make_model("gru", 1, 8))
    assert [rival.name for rival in found] == ["NumPy"]
    assert missing.keys() == {"onnxruntime", "LiteRT", "PyTorch"}
    assert all("is not installed" in reason for reason in missing.values())


@pytest.mark.slow
def test_entry_point_and_command(
    make_model: Callable[..., Model], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edge_rnn import save

    assert load_first(RIVALS)[0] is rivals
    save(make_model("elman_tanh", 2, 8), tmp_path / "elman.safetensors")
    assert main(["bench", str(tmp_path / "elman.safetensors"), "--steps", "50", "--rivals", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    measured = {rival["name"]: rival for rival in found["rivals"]}
    assert measured.keys() >= {"onnxruntime", "onnxruntime, I/O binding", "NumPy"}
    assert all(rival["max_abs_error"] <= TOLERANCE for rival in measured.values())
    assert measured["onnxruntime"]["run_ratio"] > 0


@pytest.mark.torch
def test_torch(model: Model) -> None:
    needs.package("torch")
    if any(isinstance(layer, GRU) and not layer.reset_after for layer in model.layers):
        found, missing = rivals(model)
        assert "PyTorch" not in {rival.name for rival in found}
        assert "reset gate before" in missing["PyTorch"]
    else:
        check(by_name(model)["PyTorch"], model)


@pytest.mark.torch
@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_weights_of_the_table_are_those_that_torch_draws(cell: str) -> None:
    torch = needs.package("torch")
    modules = {"elman": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
    for entry in table([cell], [(1, 8), (6, 32), (40, 128)]):
        torch.manual_seed(1234 + 1000 * entry.input_size + entry.hidden_size)
        rnn = modules[cell](entry.input_size, entry.hidden_size)
        head = torch.nn.Linear(entry.hidden_size, 4)
        ours = [array for layer in entry.model.layers for array in layer.arrays.values()]
        for drawn, array in zip((*rnn.parameters(), *head.parameters()), ours, strict=True):
            np.testing.assert_array_equal(array, drawn.detach().numpy())


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_litert(cell: str, shared_data: Path) -> None:
    needs.package("ai-edge-litert")
    for entry in table([cell], [(1, 8), (16, 64)]):
        found, _ = rivals(entry.model, litert=shared_data / "peers" / "litert")
        (rival,) = (each for each in found if each.name == "LiteRT")
        check(rival, entry.model)


def test_litert_needs_a_file_for_the_network(tmp_path: Path) -> None:
    needs.package("ai-edge-litert")
    model = next(table(["gru"], [(1, 8)])).model
    assert "gru_1_8.tflite" in rivals(model, litert=tmp_path)[1]["LiteRT"]
    assert "--litert" in rivals(model)[1]["LiteRT"]


def test_numpy_without_biases() -> None:
    model = Model([Elman([[1.0]], [[0.5]]), Dense([[2.0]])])
    (rival,) = numpy_rivals(model)
    check(rival, model)
