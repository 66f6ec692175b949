"""``edge-rnn bench``: consistent output, and one-sentence errors for wrong use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import edge_rnn
import needs
from edge_rnn import Model, Stream, plugins
from edge_rnn.bench.conditions import conditions
from edge_rnn.bench.denormals import measure_denormals
from edge_rnn.bench.networks import SHAPES, table
from edge_rnn.bench.paced import paced
from edge_rnn.bench.startup import measure_startup
from edge_rnn.cli import main
from edge_rnn.cli.bench.plot import spell_decade
from edge_rnn.cli.bench.view import _bars, show_startup
from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.layers import Dense, Standardize
from edge_rnn.recordings.random_samples import random_samples


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    return make_model("gru", 3, 5, sample_rate_hz=50.0, name="wrist")


@pytest.fixture
def path(model: Model, tmp_path: Path) -> str:
    edge_rnn.save(model, tmp_path / "wrist.safetensors")
    return str(tmp_path / "wrist.safetensors")


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["bench", *arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)  # type: ignore[no-any-return]


def check_figures(found: dict[str, Any], model: Model) -> None:
    assert (found["weight_bytes"], found["state_bytes"]) == tuple(Stream(model).memory)
    assert 0 <= found["loop_ns_min"] <= found["loop_ns_p50"]
    # All are rounded to 0.01 ns, the bandwidth to 0.1 GB/s.
    assert found["python_overhead_ns"] == pytest.approx(found["python_ns"] - found["loop_ns_min"], abs=0.02)
    assert found["roofline_fraction"] == pytest.approx(found["read_ns"] / found["loop_ns_min"], rel=0.02)
    assert found["bandwidth_gb_s"] == pytest.approx(found["weight_bytes"] / found["read_ns"], rel=0.02)
    assert sum(found["histogram"]["counts"]) == found["timed_steps"]
    assert len(found["histogram"]["edges_ns"]) == len(found["histogram"]["counts"]) + 1


def test_model(path: str, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    found = told([path, "--steps", "300"], capsys)
    check_figures(found, model)
    assert (found["model"], found["name"], found["timed_steps"]) == (path, "wrist", 300)
    assert found["times_real_time"] == pytest.approx(1e9 / 50 / found["loop_ns_p50"], rel=0.01)
    assert found.keys() >= conditions().keys()
    assert (found["rivals"], found["not_compared"]) == ([], {})
    assert "paced" not in found


@pytest.mark.slow
def test_model_as_text_with_a_paced_run_and_a_picture(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs.package("matplotlib")
    picture = tmp_path / "jitter.png"
    arguments = [path, "--any-rate", "--steps", "200", "--rate", "2000", "--seconds", "0.02", "--plot", str(picture)]
    assert main(["bench", *arguments]) == 0
    out = capsys.readouterr().out
    for text in ("from Python", "compiled loop", "roofline", "times faster, at 50 Hz", "in 40 ticks", "█"):
        assert text in out
    assert str(picture) in out.replace("\n" + " " * 15, "")
    assert "frequency scaling" in out
    assert "garbage collector" in out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


@pytest.mark.parametrize("columns", [80, 200])
def test_bars_fit_the_width(
    columns: int, path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["bench", path, "--steps", "200"]) == 0
    bars = [line for line in capsys.readouterr().out.splitlines() if "█" in line]
    assert max(line.count("█") for line in bars) == min(columns - 32, 60)
    assert all(len(line) <= columns for line in bars)


@pytest.mark.parametrize("width", [1, 48, 60])
def test_longest_bar_has_the_width_whatever_the_count(width: int) -> None:
    for count in range(1, 2000):
        (line,) = _bars({"edges_ns": [1.0, 2.0], "counts": [count]}, width)
        assert line.count("█") == width


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (1, "1 ns"),
        (100, "100 ns"),
        (1e3, "1 µs"),
        (1e5, "100 µs"),
        (1e6, "1 ms"),
        (1e10, "10 s"),
        (1e13, "10000 s"),
        (0.1, "0.1 ns"),
    ],
)
def test_decades_have_units(nanoseconds: float, text: str) -> None:
    assert spell_decade(nanoseconds) == text


def test_paced_run() -> None:
    seen: list[int] = []
    found = paced(seen.append, range(4), rate_hz=5000.0, seconds=0.01)
    assert seen == [0, 1, 2, 3] + [i % 4 for i in range(50)]  # the first ones warm up
    assert found["samples"] == 50
    assert 0 <= found["misses"] <= 50
    assert sum(found["histogram"]["counts"]) == 50
    for name in ("wake_ns", "paced_step_ns", "response_ns"):
        quantiles = [found[f"{name}_{each}"] for each in ("p50", "p99", "p999", "max")]
        assert quantiles == sorted(quantiles)
    for rate_hz, seconds in ((1.0, 0.5), (1e6, 100.0)):
        with pytest.raises(InputError, match="expected 1 to 10000000"):
            paced(seen.append, range(4), rate_hz, seconds)


def test_deadline_is_the_next_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(ns=0)

    def sleep(seconds: float) -> None:
        clock.ns += round(seconds * 1e9)

    def step(milliseconds: int) -> None:
        clock.ns += milliseconds * 1_000_000

    monkeypatch.setattr("edge_rnn.bench.paced.time.perf_counter_ns", lambda: clock.ns)
    monkeypatch.setattr("edge_rnn.bench.paced.time.sleep", sleep)
    # A period of 10 ms. The third step ends 15 ms after the fourth sample was due; that one is then too late as well.
    found = paced(step, [1, 1, 25, 1], rate_hz=100.0, seconds=0.04)
    assert (found["samples"], found["misses"]) == (4, 2)
    assert (found["response_ns_max"], found["wake_ns_max"]) == (25e6, 15e6)


@pytest.mark.slow
def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--table", "--cell", "gru", "--cell", "lstm", "--shape", "2,8", "--steps", "100"]
    found = told(arguments, capsys)
    entries = list(table(["gru", "lstm"], [(2, 8)]))
    assert [(row["cell"], row["input_size"], row["hidden_size"]) for row in found["rows"]] == [
        (entry.cell, entry.input_size, entry.hidden_size) for entry in entries
    ]
    for row, entry in zip(found["rows"], entries, strict=True):
        check_figures(row, entry.model)
    assert main(["bench", *arguments]) == 0
    out = capsys.readouterr().out
    assert "GRU (2, 8)" in out
    assert "LSTM (2, 8)" in out


def test_networks_of_the_table() -> None:
    entries = list(table())
    assert [(entry.input_size, entry.hidden_size) for entry in entries] == [*SHAPES] * 3
    for entry in entries:
        cell, head = entry.model.layers
        assert (cell.kind.lower(), entry.model.input_size) == (entry.cell, entry.input_size)
        assert head.arrays["weight"].shape == (4, entry.hidden_size)
        # Uniform in +-1/sqrt(H), as PyTorch draws them.
        bound = np.float32(entry.hidden_size**-0.5)
        values = np.concatenate([array.ravel() for layer in (cell, head) for array in layer.arrays.values()])
        assert bound / 2 < np.abs(values).max() <= bound


def test_samples_are_what_the_models_scaling_expects() -> None:
    scaling = Standardize(np.array([100.0, -5.0]), np.array([10.0, 0.1]))
    xs = random_samples(Model([scaling, Dense(np.ones((1, 2)))]), 1000)
    # 1000 normal values: mean within 5 / sqrt(1000) standard deviations, these within 12 %.
    assert np.abs((xs.mean(0) - scaling.mean) / scaling.scale).max() < 0.16
    assert np.abs(xs.std(0) / scaling.scale - 1).max() < 0.12


def fake_rivals(model: Model, *, litert: str | None) -> tuple[list[Any], dict[str, str]]:
    def rival(name: str, factor: float, run: bool) -> Any:
        def start() -> Any:
            step = Stream(model).step
            return lambda x: step(x) * np.float32(factor)

        whole = (lambda xs: Stream(model).run(xs) * np.float32(factor)) if run else None
        return SimpleNamespace(name=name, version="1.0", how="by hand", start=start, run=whole)

    found = [
        rival("same", 1, True),
        rival("steps alone", 1, False),
        rival("other", 2, True),
        rival("nan", np.nan, False),
    ]
    return found, {"absent": f"litert is {litert}"}


def test_rivals(path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "load_first", lambda group: (fake_rivals, ""))
    found = told([path, "--steps", "100", "--rivals", "--litert", "folder"], capsys)
    same, alone = found["rivals"]
    assert (same["name"], same["version"], same["how"], same["max_abs_error"]) == ("same", "1.0", "by hand", 0)
    assert same["ratio"] == pytest.approx(same["python_ns"] / same["ours_python_ns"], rel=0.02)
    assert same["run_ratio"] == pytest.approx(same["run_ns_1000"] / same["ours_run_ns_1000"], rel=0.02)
    assert (alone["name"], alone["run_ns_1000"], alone["run_ratio"]) == ("steps alone", None, None)
    assert found["not_compared"].keys() == {"absent", "other", "nan"}
    assert found["not_compared"]["absent"] == "litert is folder"
    assert "not the same network" in found["not_compared"]["other"]

    for arguments in ([path], ["--table", "--cell", "elman", "--shape", "1,8"]):
        assert main(["bench", *arguments, "--steps", "100", "--rivals"]) == 0
        out = capsys.readouterr().out
        for text in ("same 1.0", "by hand", "steps alone", "not compared: litert is None", "not the same network"):
            assert text in out


def test_rivals_that_are_not_installed(
    path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "load_first", lambda group: (None, "nothing is installed"))
    found = told([path, "--steps", "100", "--rivals"], capsys)
    assert (found["rivals"], found["not_compared"]) == ([], {"rivals": "nothing is installed"})


@pytest.mark.slow
def test_startup(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = measure_startup(path, repeats=1, cold_repeats=0)
    for name in ("python", "numpy", "numba", "edge_rnn"):
        assert found[f"{name}_seconds"] > 0
        assert found[f"{name}_peak_bytes"] > 1_000_000  # an interpreter
    assert found["edge_rnn_cold_seconds"] is None
    assert found["ratio"] == pytest.approx(found["edge_rnn_seconds"] / found["numba_seconds"], rel=0.02)
    show_startup(found)
    out = capsys.readouterr().out
    assert "import numba" in out
    assert "first step" in out


def test_startup_command(path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Model] = []

    def measure(path: str) -> dict[str, Any]:
        given.append(edge_rnn.load(path))
        return {"ratio": 1.25}

    monkeypatch.setattr("edge_rnn.bench.startup.measure_startup", measure)
    assert told(["--startup", path], capsys)["name"] == "wrist"
    assert told(["--startup"], capsys)["ratio"] == 1.25
    assert [[layer.kind for layer in model.layers] for model in given] == [["GRU", "Dense"]] * 2
    assert main(["bench", "--startup", path + "x"]) == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.slow
def test_startup_reports_why_a_process_died(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"process for edge_rnn failed with .*FileError"):
        measure_startup(str(tmp_path / "none.safetensors"), repeats=1, cold_repeats=0)


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_denormals(cell: str) -> None:
    (found,) = measure_denormals([cell], [(2, 16)], seconds=0.01)
    assert (found["cell"], found["input_size"], found["hidden_size"]) == (cell, 2, 16)
    assert found["ratio"] == pytest.approx(found["subnormal_ns"] / found["normal_ns"], rel=0.02)
    assert found["input_ratio"] == pytest.approx(found["subnormal_input_ns"] / found["normal_ns"], rel=0.02)
    assert 0 <= found["subnormal_share"] <= 1


def test_denormals_command(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--denormals", "--cell", "elman", "--shape", "1,8"]
    (row,) = told(arguments, capsys)["rows"]
    assert row["hidden_size"] == 8
    assert main(["bench", *arguments]) == 0
    assert "Elman (1, 8)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "expected a MODEL, --table, --startup or --denormals"),
        (["{path}", "--table"], 2, "bring their own networks, and take no MODEL"),
        (["{path}", "--denormals"], 2, "bring their own networks, and take no MODEL"),
        (["--table", "--startup"], 2, "not allowed with"),
        (["--table", "--rate", "100"], 2, "--rate and --plot go with a MODEL"),
        (["--startup", "--plot", "x.png"], 2, "--rate and --plot go with a MODEL"),
        (["{path}", "--rate", "0"], 2, "got '0', expected a number above 0"),
        (["{path}", "--rate", "nan"], 2, "got 'nan', expected a number above 0"),
        (["{path}", "--seconds", "inf"], 2, "got 'inf', expected a number above 0"),
        (["--table", "--shape", "16x64"], 2, "got '16x64', expected input and hidden size, such as 16,64"),
        (["--table", "--shape", "0,64"], 2, "got '0,64', expected input and hidden size"),
        (["--table", "--cell", "rnn"], 2, "invalid choice: 'rnn'"),
        (
            ["{path}", "--any-rate", "--steps", "100", "--rate", "1", "--seconds", "0.5"],
            1,
            "is 0 samples, expected 1 to 10000000",
        ),
        (["{path}", "--plot", "{path}"], 1, "expected a name that ends in one of .png"),
    ],
)
def test_wrong_use(
    arguments: list[str], code: int, message: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *(argument.format(path=path) for argument in arguments)]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def test_frequency_scaling_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_rnn.bench.conditions._CPUS", tmp_path)
    assert conditions()["frequency_scaling"] == ""
    for cpu, governor in enumerate(("ondemand", "ondemand", "performance")):
        folder = tmp_path / f"cpu{cpu}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(governor + "\n")
    assert conditions()["frequency_scaling"] == "ondemand, performance"
