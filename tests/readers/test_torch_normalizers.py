"""Checkpoints of rsl_rl, rl_games and skrl: the policy, and the normalizer of its observations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import torch_archive
from edge_rnn import Stream, load, reference
from edge_rnn.cli import main
from edge_rnn.errors import EdgeRnnError, InputError, ModelError, ReadingWarning
from edge_rnn_export import from_torch

RNG = np.random.default_rng(1962)
MEAN, VARIANCE = RNG.uniform(-3, 3, 5), RNG.uniform(0.01, 4, 5)
CELL = {"weight_ih_l0": RNG.uniform(-1, 1, (12, 5)), "weight_hh_l0": RNG.uniform(-1, 1, (12, 4))}
CELL |= {name: RNG.uniform(-1, 1, 12) for name in ("bias_ih_l0", "bias_hh_l0")}
HEAD = {"weight": RNG.uniform(-1, 1, (2, 4)), "bias": RNG.uniform(-1, 1, 2)}


def under(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": np.asarray(array) for name, array in arrays.items()}


def rsl(mean: Any = MEAN, variance: Any = VARIANCE) -> dict[str, Any]:
    return {"_mean": mean[None], "_var": variance[None], "_std": np.sqrt(variance)[None]}


def games(mean: Any = MEAN, variance: Any = VARIANCE) -> dict[str, Any]:
    return {"running_mean": mean, "running_var": variance, "count": np.array(1e6)}


def skrl(mean: Any = MEAN, variance: Any = VARIANCE) -> dict[str, Any]:
    return {"running_mean": mean, "running_variance": variance, "current_count": np.array(1e6)}


POLICY = under("rnn", CELL) | under("actor", HEAD)
CRITIC = under("critic", {"weight": RNG.uniform(-1, 1, (1, 5)), "bias": np.zeros(1)}) | {"std": np.ones(2)}
ADAM = {"state": {0: {"exp_avg": HEAD["weight"]}}, "param_groups": [{"lr": 1e-3}]}
VALUE = (np.zeros(1), np.ones(1))


def whole(x: Any) -> Any:
    return (x - MEAN) / (np.sqrt(VARIANCE) + 1e-2)


def clipped_below_the_root(x: Any) -> Any:
    return np.clip((x - MEAN) / np.sqrt(VARIANCE + 1e-5), -5, 5)


def clipped(x: Any) -> Any:
    return np.clip((x - MEAN) / (np.sqrt(VARIANCE) + 1e-8), -5, 5)


FILES: dict[str, tuple[dict[str, Any], dict[str, Any], Callable[[Any], Any]]] = {
    "rsl_rl": (
        {"model_state_dict": POLICY | CRITIC, "optimizer_state_dict": ADAM, "iter": 3, "obs_norm_state_dict": rsl(),
         "privileged_obs_norm_state_dict": rsl(np.zeros(7), np.ones(7))},
        {"normalizer": "obs_norm_state_dict", "ignore": ["critic", "std"]}, whole),
    "rsl_rl, inside": (
        {"model_state_dict": POLICY | under("actor_obs_normalizer", rsl() | {"count": np.array(5)}), "iter": 3},
        {"normalizer": "actor_obs_normalizer"}, whole),
    "rl_games": (
        {"model": under("a2c", POLICY) | under("running_mean_std", games()) | under("value_mean_std", games(*VALUE)),
         "epoch": 7, "optimizer": ADAM},
        {"normalizer": "running_mean_std"}, clipped_below_the_root),
    "skrl": (
        {"policy": POLICY, "value": CRITIC, "optimizer": ADAM, "state_preprocessor": skrl(),
         "value_preprocessor": skrl(*VALUE)},
        {"state": "policy", "normalizer": "state_preprocessor"}, clipped),
}  # fmt: skip


def said(name: str) -> dict[str, Any]:
    head = "a2c." if name == "rl_games" else ""
    return {"modules": [f"{head}rnn", f"{head}actor"], "activations": {f"{head}actor": "tanh"}}


def written(folder: Path, value: Any) -> Path:
    path = folder / "policy.pt"
    path.write_bytes(torch_archive.zipped(value))
    return path


@pytest.mark.parametrize("name", FILES)
def test_policy_with_its_normalizer(name: str, tmp_path: Path) -> None:
    contents, options, expected = FILES[name]
    with pytest.warns(
        ReadingWarning, match=f"assumed: the normalizer '{options['normalizer']}' with {name[:4]}.*epsilon"
    ):
        model = from_torch(written(tmp_path, contents), **said(name), **options)
    bare = from_torch(POLICY, modules=["rnn", "actor"], activations={"actor": "tanh"})
    xs = MEAN + np.sqrt(VARIANCE) * RNG.uniform(-8, 8, (60, 5))
    ys, _ = reference.run(model, xs)
    assert np.abs(ys - reference.run(bare, expected(xs))[0]).max() <= 1e-5  # float32 of the statistics, at up to 8
    assert np.abs(Stream(model).run(xs.astype("f4")) - ys).max() <= 1e-4


@pytest.mark.parametrize("name", FILES)
def test_a_normalizer_is_not_left_out_in_silence(name: str, tmp_path: Path) -> None:
    contents, options, _ = FILES[name]
    path = written(tmp_path, contents)
    rest = {key: value for key, value in options.items() if key != "normalizer"}
    with pytest.raises(
        InputError, match=f"the statistics of normalizers, '{options['normalizer']}' .*state the one in"
    ):
        from_torch(path, **said(name), **rest)


def test_a_normalizer_may_be_ignored(tmp_path: Path) -> None:
    path = written(tmp_path, FILES["rl_games"][0])
    model = from_torch(path, **said("rl_games"), ignore=["running_mean_std", "value_mean_std"])
    assert [layer.name for layer in model.layers] == ["a2c_rnn", "a2c_actor"]


def test_import_takes_it(tmp_path: Path) -> None:
    path, output = written(tmp_path, FILES["skrl"][0]), tmp_path / "policy.safetensors"
    words = ["import", str(path), "-o", str(output), "--state", "policy", "--normalizer", "state_preprocessor"]
    assert main([*words, "--modules", "rnn,actor", "--activation", "actor=tanh"]) == 0
    assert [layer.name for layer in load(output).layers] == ["normalizer", "clip", "rnn", "actor"]


BAD = POLICY | under("norm", games(MEAN[:3]))
REFUSED: list[tuple[dict[str, Any], str, type[EdgeRnnError], str]] = [
    (POLICY, "norm", InputError, "normalizer got 'norm', expected one of none: statistics of rsl_rl"),
    (BAD, "norm", ModelError, "'norm' got a mean of 3 values and a scale of 5"),
    (POLICY | under("norm", games(variance=-VARIANCE)), "norm", ModelError, "scale"),
    (POLICY | under("norm", games(MEAN[:3], VARIANCE[:3])), "norm", ModelError, "reads 3 values, expected 5"),
]


@pytest.mark.parametrize(("state", "normalizer", "kind", "message"), REFUSED)
def test_refused(state: Any, normalizer: str, kind: type[EdgeRnnError], message: str) -> None:
    with pytest.raises(kind, match=message):
        from_torch(state, **said(""), normalizer=normalizer)
