"""Model files: saved and loaded models are identical."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import safetensors.numpy
from hypothesis import given

from edge_rnn.model import Model
from edge_rnn.storage import model_file
from edge_rnn.storage.model_file import load, save
from model_files import (
    MakeModel,
    Shifted,
    assert_same,
    models,
)


@given(model=models())
def test_round_trip_is_identity(model: Model, folder: Path) -> None:
    path, again = folder / "a.safetensors", folder / "b.safetensors"
    save(model, path)
    loaded = load(str(path))
    assert_same(loaded, model)
    save(loaded, again)
    assert again.read_bytes() == path.read_bytes()


def test_file_is_plain_safetensors(make_model: MakeModel, tmp_path: Path) -> None:
    """Others can read the weights: names are <layer>.<field>, metadata is JSON."""
    model = make_model("lstm", 3, 5, layers=2, labels=["a", "b", "c", "é"])
    save(model, tmp_path / "m.safetensors")
    with safetensors.safe_open(tmp_path / "m.safetensors", framework="np") as file:
        assert set(file.keys()) == {f"{layer.name}.{key}" for layer in model.layers for key in layer.arrays}
        np.testing.assert_array_equal(file.get_tensor("lstm2.weight_hh"), model.layers[1].arrays["weight_hh"])
        assert list(file.metadata()) == ["edge_rnn"]
        description = json.loads(file.metadata()["edge_rnn"])
    assert description["version"] == 1
    assert description["labels"] == ["a", "b", "c", "é"]
    assert [layer["kind"] for layer in description["layers"]] == ["LSTM", "LSTM", "Dense"]


def test_equal_models_give_equal_files_in_any_process(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model("gru", 3, 5, labels=["a", "b", "c", "d"])
    save(model, tmp_path / "here.safetensors")
    code = "import sys; from edge_rnn.storage.model_file import load, save; save(load(sys.argv[1]), sys.argv[2])"
    for seed in ("1", "2"):
        there = tmp_path / f"there{seed}.safetensors"
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(model_file.__file__).parents[2])}
        command = [sys.executable, "-c", code, str(tmp_path / "here.safetensors"), str(there)]
        subprocess.run(command, env=environment, check=True)
        assert there.read_bytes() == (tmp_path / "here.safetensors").read_bytes()


def test_new_kind_of_layer_needs_nothing_here(shifted: Shifted, tmp_path: Path) -> None:
    save(Model([shifted], input_size=2), tmp_path / "m.safetensors")
    (layer,) = load(tmp_path / "m.safetensors").layers
    assert isinstance(layer, Shifted)
    assert layer.options == shifted.options
    for key, array in shifted.arrays.items():
        assert layer.arrays[key].dtype == array.dtype
        np.testing.assert_array_equal(layer.arrays[key], array)
