"""``edge-rnn inspect --recording``: figures, verdicts about known networks, and mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rnn
from edge_rnn import Dense, Elman, Model
from edge_rnn.analysis.long_run import long_run
from edge_rnn.analysis.sensitivity import sensitivity
from edge_rnn.cli import main

Inspect = Callable[..., Any]


@pytest.fixture
def inspect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Inspect:
    """Function that inspects a model on a recording and returns the output, or the JSON's part about it."""

    def call(model: Model, xs: np.ndarray, steps: int, *options: str) -> Any:
        edge_rnn.save(model, tmp_path / "model.safetensors")
        np.save(tmp_path / "xs.npy", xs)
        paths = [str(tmp_path / "model.safetensors"), "--recording", str(tmp_path / "xs.npy")]
        assert main(["inspect", *paths, "--steps", str(steps), *options]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return json.loads(out)["recording"] if "--json" in options else " ".join(out.split())

    return call


def one_unit(decay: float, activation: str = "none", bias: float = 0.0) -> Model:
    return Model([Elman([[1.0]], [[decay]], [bias], [0.0], activation=activation)])


def test_json_is_what_the_functions_give(inspect: Inspect, make_model: Callable[..., Model]) -> None:
    model, xs = make_model("lstm", 2, 5, head=3, activation="softmax"), np.random.default_rng(0).normal(size=(40, 2))
    found = inspect(model, xs, 500, "--json")
    run, felt = long_run(model, xs, 500), sensitivity(model, xs)
    assert (found["samples"], found["steps"], found["broke_at"]) == (40, 500, None)
    for told, state in zip(found["states"], run.states, strict=True):
        assert (told["name"], told["growth"], told["dead"]) == (state.name, state.growth, list(state.dead))
        assert told["norms"][-1] == {
            "first": 256,
            "last": 500,
            "least": state.buckets[-1].least,
            "mean": state.buckets[-1].mean,
            "most": state.buckets[-1].most,
        }
        np.testing.assert_array_equal(told["saturated"], state.saturated)
    told = found["sensitivity"]
    assert told["lags"] == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    np.testing.assert_array_equal(told["values"], felt.values[told["lags"]])
    assert (told["method"], told["of_scores"]) == ("central differences", True)
    assert (told["felt_steps"], told["half_life_steps"]) == (felt.felt_steps, felt.half_life_steps)


def test_text(inspect: Inspect, make_model: Callable[..., Model]) -> None:
    text = inspect(make_model("gru", 2, 5, head=3), np.random.default_rng(0).normal(size=(40, 2)), 500)
    assert "parameters" in text  # what inspect tells without a recording comes first
    assert "State over 500 steps, repeating the recording of 40 samples" in text
    assert "256 to 500" in text
    assert "gru1.h" in text
    assert "central differences of the float64 reference, at 4 places" in text
    assert "1,024" in text
    assert "Stable over 500 steps: no state grows or fades. Of 5 values of state none is" in text


@pytest.mark.parametrize(
    ("model", "steps", "words"),
    [
        (one_unit(10.0), 200, "The state explodes: step 40 exceeds the range of float32."),
        (one_unit(1.0, "relu", 1.0), 200, "elman1.h still grows: its norm is"),
        (one_unit(0.5), 15, "15 steps are not three passes of 10 samples, too few to determine"),
        (one_unit(1.0, "tanh", 9.0), 200, "Of 1 value of state 1 is nearly always saturated, 1 is dead."),
        (one_unit(1.0), 30, "A change of a sample does not decay"),
        (one_unit(0.5), 200, "up to 6 steps, halving in 1 step on average."),
        (one_unit(0.996), 2000, "still has more than a hundredth of its greatest effect after 1,024 steps"),
        (Model([Elman([[0.0]], [[0.0]])]), 200, "elman1.h never changes. "),
        (Model([Elman([[0.0]], [[0.0]])]), 200, "The outputs do not depend on the samples at all."),
    ],
)
@pytest.mark.sampled(1)
def test_verdicts(model: Model, steps: int, words: str, inspect: Inspect) -> None:
    xs = 1.0 + np.sin(np.arange(10.0))[:, None]
    found = inspect(model, xs, steps, "--json")
    assert words in found["verdict"]
    assert found["verdict"] in inspect(model, xs, steps)
    assert (found["sensitivity"] is None) == (found["broke_at"] is not None)


@pytest.mark.slow
def test_texts_of_a_grammar(capsys: pytest.CaptureFixture[str]) -> None:
    folder = edge_rnn.data_path("reber")
    paths = [str(folder / "lstm.safetensors"), "--recording", str(folder / "texts.json")]
    assert main(["inspect", *paths, "--steps", "2000", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["recording"]
    assert found["samples"] == 42_875
    assert found["sensitivity"]["method"] == "exchanged symbols"
    assert found["sensitivity"]["felt_steps"] > 100  # the network that remembers one letter over any string


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str], make_model: Callable[..., Model]) -> None:
    recurrent, dense, data = (str(tmp_path / name) for name in ("gru.safetensors", "dense.safetensors", "xs.npy"))
    edge_rnn.save(make_model("gru", 2, 4), recurrent)
    edge_rnn.save(Model([Dense(np.eye(2))]), dense)
    np.save(data, np.ones((3, 2)))
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    np.save(tmp_path / "nan.npy", np.full((3, 2), np.nan))
    for arguments, said in (
        ([recurrent, "--steps", "5"], "--steps needs --recording"),
        ([dense, "--recording", data], "examines a network's state, and this model has none"),
        ([recurrent, "--recording", str(tmp_path / "none.npy")], "none.npy"),
        ([recurrent, "--recording", str(tmp_path / "nan.npy")], "not finite"),
        ([recurrent, "--recording", str(tmp_path / "empty.csv")], "contains no samples"),
    ):
        assert main(["inspect", *arguments]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert said in err
        assert "Traceback" not in err
    assert main(["inspect", recurrent, "--recording", data, "--steps", "0"]) == 2
