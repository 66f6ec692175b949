"""The command ``edge-rnn``: help, exit codes, messages on stderr, and the small subcommands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edge_rnn
from edge_rnn import Model, Stream, plugins
from edge_rnn.bench import machine
from edge_rnn.cli import main
from edge_rnn.cli.shared.console import spell_ns
from edge_rnn.cli.shared.parser import GROUPS, HelpFormatter
from edge_rnn.cli.warm_up import all_models
from edge_rnn.kernels.entry import object_cache, programs
from edge_rnn.layers import LAYER_TYPES
from edge_rnn.streams.planner import plan_of

ROOT = Path(__file__).parents[2]
COMMANDS = (
    *("demo", "inspect", "run", "setup", "generate", "shrink", "compare", "bench", "warm-up", "devices", "fit"),
    *("doctor", "import", "export", "card"),
)
LABELS = ("rest", "walk", "run [fast]", "jump")


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    return make_model("gru", 3, 5, labels=LABELS, sample_rate_hz=50.0, input_names=("ax", "ay", "az"), name="wrist")


@pytest.fixture
def path(model: Model, tmp_path: Path) -> str:
    edge_rnn.save(model, tmp_path / "wrist.safetensors")
    return str(tmp_path / "wrist.safetensors")


def edge_rnn_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, from the checkout."""
    python_path = os.pathsep.join([str(ROOT), str(ROOT / "export")])
    return subprocess.run(
        [sys.executable, "-m", "edge_rnn", *arguments],
        env={**os.environ, "PYTHONPATH": python_path, **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert "example" in out
    assert f"  edge-rnn {command}" in out or f"| edge-rnn {command}" in out
    assert err == ""


def test_top_level_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n    {command} " in out for command in COMMANDS)
    assert main([]) == 2
    assert capsys.readouterr() == ("", out)


def test_commands_are_listed_by_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    grouped = [name for names in GROUPS.values() for name in names]
    assert set(COMMANDS) <= set(grouped)
    assert len(set(grouped)) == len(grouped)
    places = [out.index(f"\n  {title}:") for title in GROUPS]
    assert places == sorted(places)
    for names, begin, end in zip(GROUPS.values(), places, [*places[1:], out.index("examples:")], strict=True):
        assert all(f"\n    {name} " in out[begin:end] for name in names)
    assert "of other packages" not in out


@pytest.mark.parametrize("columns", [80, 250])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_has_one_width(
    command: str, columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([*([command] if command else []), "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    long = [line for line in lines if len(line) > min(columns - 2, 118)]
    assert not [line for line in long if len(line.split()) > 1 and "://" not in line]


def test_a_short_line_ends_its_paragraph() -> None:
    words = " ".join(["word"] * 20)
    text = f"  {words}\n  ends here.\n  next item"
    assert HelpFormatter("x")._fill_text(text, 300, "").splitlines() == [f"  {words} ends here.", "  next item"]


def test_text_that_goes_on_is_wrapped_as_one() -> None:
    words = " ".join(["word"] * 20)
    text = f"title:\n  {words}\n  {words}\n  first      {words}\n             last\n  edge-rnn run {words}"
    lines = HelpFormatter("x")._fill_text(text, 60, "").splitlines()
    assert max(map(len, lines)) <= 60
    table, command = (next(i for i, line in enumerate(lines) if word in line) for word in ("first", "edge-rnn"))
    assert lines[0] == "title:"
    assert [len(line) - len(line.lstrip()) for line in lines[1:]] == [
        *[2] * (table - 1),
        *[2] + [13] * (command - table - 1),
        *[2] + [6] * (len(lines) - command - 1),
    ]
    assert all(len(line) > 55 for line in lines[1 : table - 1])  # filled, also where the text had a line of its own
    assert lines[command - 1].endswith("word last")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"edge-rnn {edge_rnn.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fly"], 2, r"edge-rnn: .*invalid choice: 'fly'"),
        (["inspect"], 2, r"edge-rnn inspect: .*required: MODEL; see edge-rnn inspect --help"),
        (["run", "{model}", "--format", "xml"], 2, r"--format: invalid choice: 'xml'"),
        (["run", "{model}", "--on-bad", "ignore"], 2, r"--on-bad: invalid choice: 'ignore'"),
        (["bench", "{model}", "--steps", "0"], 2, r"--steps: got '0', expected a whole number of 1 or more"),
        (["demo", "--samples", "many"], 2, r"--samples: got 'many', expected a whole number"),
        (["demo", "--cell", "rnn"], 2, r"--cell: invalid choice: 'rnn'"),
        (["warm-up"], 2, r"edge-rnn warm-up: expected a MODEL or --all"),
        (["inspect", "{folder}/none.safetensors"], 1, r"none\.safetensors: cannot be read: No such file"),
        (["run", "{folder}/none.safetensors"], 1, r"none\.safetensors: cannot be read: No such file"),
        (["bench", "{folder}"], 1, r"is a folder or a device"),
        (["warm-up", "{folder}/none.safetensors"], 1, r"none\.safetensors: cannot be read: No such file"),
        (["run", "{model}", "{folder}/none.csv"], 1, r"none\.csv: cannot be read: No such file or directory"),
        (["inspect", "{damaged}"], 1, r"damaged\.safetensors: is "),
        (["run", "{damaged}"], 1, r"damaged\.safetensors: is "),
        (["demo", "--plot", "{folder}/none/wrist.png"], 1, r"there is no folder|matplotlib"),
        (["demo", "--plot", "{folder}/wrist.txt"], 1, r"expected a name that ends in one of .png|matplotlib"),
    ],
)
def test_wrong_use_gives_a_one_sentence_error(
    arguments: list[str], code: int, message: str, path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(Path(path).read_bytes()[:-7])
    names = {"model": path, "folder": str(tmp_path), "damaged": str(damaged)}
    assert main([argument.format(**names) for argument in arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("edge-rnn")
    assert err.count("\n") == 1
    assert re.search(message, err)


def test_traceback_only_on_request(path: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    for arguments in (["inspect", path + "x", "--debug"], ["--debug", "inspect", path + "x"]):
        assert main(arguments) == 1
        assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("EDGE_RNN_DEBUG", "1")
    assert main(["inspect", path + "x"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 1, "edge-rnn: interrupted.\n"),
        (BrokenPipeError(), 0, ""),
        (PermissionError(13, "Permission denied", "x.csv"), 1, "edge-rnn: x.csv: Permission denied.\n"),
        (TypeError("oh"), 1, "edge-rnn: unexpected TypeError: oh (this is a bug; --debug shows the traceback).\n"),
    ],
)
def test_ends_of_a_command(
    error: BaseException, code: int, message: str, path: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    def fail(source: Path, path: str) -> Model:
        raise error

    monkeypatch.setattr("edge_rnn.storage.model_file.load_local", fail)
    monkeypatch.setattr("edge_rnn.cli._leave_stdout", lambda: None)  # it would be pytest's own
    assert main(["inspect", path]) == code
    assert capsys.readouterr() == ("", message)


def test_host_commands_that_are_missing_say_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(plugins, "_entry_points", lambda group: {})
    for command in ("import", "export"):
        assert main([command, "x", "-o", "y"]) == 1
        assert "pip install 'edge-rnn[export]'" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "missing here: pip" in capsys.readouterr().out


def test_device_side_loads_nothing_of_the_host_side(path: str) -> None:
    code = f"""
import sys
from edge_rnn.cli import main
assert main(["run", "--help"]) == 0 and main(["inspect", "nothing"]) == 1
heavy = {{"numba", "llvmlite", "rich", "edge_rnn_export", "onnx", "onnxruntime", "torch", "matplotlib"}}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
sys.stdin = open({path!r})
sys.stdin.buffer.seek(0, 2)
assert main(["run", {path!r}]) == 0
heavy.remove("llvmlite")
heavy.remove("numba")  # only if something has to be compiled
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert result.returncode == 0, result.stderr


def test_as_a_module(path: str) -> None:
    result = edge_rnn_command("inspect", path, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["name"] == "wrist"
    result = edge_rnn_command("inspect", path + "x")
    assert (result.returncode, result.stdout) == (1, "")
    assert edge_rnn_command("inspect").returncode == 2


def test_output_survives_a_terminal_without_unicode(path: str) -> None:
    result = edge_rnn_command("inspect", path, PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, "")
    assert "3 ? 5" in result.stdout  # the arrow


def test_inspect(path: str, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    plan = plan_of(model)
    assert found["labels"] == list(LABELS)
    assert (found["parameters"], found["multiply_adds"]) == (model.num_parameters, model.multiply_adds)
    assert (found["weight_bytes"], found["state_bytes"]) == (plan.weight_bytes, plan.state_bytes)
    assert found["fingerprint"] == model.fingerprint
    assert found["file_bytes"] == Path(path).stat().st_size
    gru, head = found["layers"]
    assert (gru["kind"], gru["reads"], gru["input_sizes"], gru["output_size"]) == ("GRU", ["input"], [3], 5)
    assert (gru["options"], gru["states"], gru["arrays"]["weight_ih"]) == ({"reset_after": True}, {"h": 5}, [15, 3])
    assert (head["reads"], head["parameters"]) == (["gru1"], 4 * 5 + 4)

    assert main(["inspect", path]) == 0
    out = capsys.readouterr().out
    for text in (
        *LABELS,
        "ax",
        "50 Hz",
        model.fingerprint,
        "gru1",
        "GRU, reset_after",
        "3 → 5",
        str(model.num_parameters),
    ):
        assert text in out
    assert all(line == line.rstrip() for line in out.splitlines())


def test_inspect_without_metadata(
    make_model: Callable[..., Model], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edge_rnn.save(make_model("lstm", 2, 3, head=0), tmp_path / "bare.safetensors")
    assert main(["inspect", str(tmp_path / "bare.safetensors")]) == 0
    out = capsys.readouterr().out
    assert "unnamed" in out
    assert "not set" in out


def test_bench(path: str, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", path, "--steps", "1500", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["timed_steps"] == 2000  # whole passes over 1000 samples
    quantiles = [found[f"step_ns_{name}"] for name in ("p50", "p99", "p999", "max")]
    assert quantiles == sorted(quantiles)
    assert quantiles[-1] > 0
    assert 0 < found["loop_ns_min"] <= found["loop_ns_p50"]
    assert found["times_real_time"] == pytest.approx(1e9 / 50 / found["loop_ns_p50"], rel=0.01)
    assert (found["weight_bytes"], found["state_bytes"]) == tuple(Stream(model).memory)
    assert main(["bench", path, "--steps", "100"]) == 0
    out = capsys.readouterr().out
    assert "from Python" in out
    assert "times faster, at 50 Hz" in out


def test_warm_up(path: str, model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warm-up", path]) == 0
    *lines, own, whole = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(plan_of(model).ops)
    assert all(line.split()[1] in ("cached", "compiled") for line in lines)
    assert own.startswith(f"step of {path}  ")
    assert "kernels and 1 model, " in whole
    assert str(object_cache.cache_directory().path) in whole
    assert programs.ready(plan_of(model).structure)


def test_warm_up_lists_models_that_share_a_step(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = str(tmp_path / "other.safetensors")
    shutil.copy(path, other)
    assert main(["warm-up", path, other]) == 0
    *_, first, second, whole = capsys.readouterr().out.splitlines()
    assert first.startswith(f"step of {path}  ")
    assert second.startswith(f"step of {other}  ")
    assert "kernels and 2 models, " in whole


def test_warm_up_of_all_covers_every_layer_and_option() -> None:
    models = all_models()
    assert {model.layers[0].kind for model in models} == LAYER_TYPES.keys()
    options = [(model.layers[0].kind, *model.layers[0].options.values()) for model in models]
    assert {("GRU", True), ("GRU", False), ("Elman", "relu"), ("Elman", "tanh"), ("LSTM",)} <= set(options)
    assert {("Dense", name) for name in LAYER_TYPES["Dense"].usual["activation"]} <= set(options)
    assert "copy" in {name for model in models for name in plan_of(model).ops}


def test_warm_up_fails_if_the_cache_is_not_writable(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    place = object_cache.CacheDirectory(tmp_path, False, f"{tmp_path} is not writable")
    for cached, code in ((True, 0), (False, 1)):
        loaded = object_cache.Loaded("gru", {"gru": 1}, cached, 0.5)
        monkeypatch.setattr(object_cache, "load", lambda name, *_, loaded=loaded: loaded)
        monkeypatch.setattr(object_cache, "cache_directory", lambda: place)
        assert main(["warm-up", path]) == code
        assert ("cannot be cached" in capsys.readouterr().err) == (code == 1)


def test_doctor(capsys: pytest.CaptureFixture[str], monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGE_RNN_CACHE_DIR", str(tmp_path))
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["target"]["triple"] == object_cache.host().triple
    cache = {
        "path": str(tmp_path),
        "writable": True,
        "trusted": True,
        "reason": "",
        "files": 0,
        "bytes": 0,
        "not_own": 0,
    }
    assert found["cache"] == cache
    assert found["packages"]["numpy"] == sys.modules["numpy"].__version__
    assert found["fast_calls"] == (found["fast_calls_reason"] == "")
    assert found["able"]["run models"] == {"possible": True, "missing": [], "install": ""}

    monkeypatch.setenv("EDGE_RNN_CACHE_DIR", str(Path(__file__) / "below"))
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "is not a directory" in out
    assert object_cache.host().triple in out
    assert "what to do  Set EDGE_RNN_CACHE_DIR to a folder" in out


def test_doctor_reports_what_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    versions = dict.fromkeys(("numpy", "safetensors", "llvmlite", "torch", "matplotlib"), "1.0")
    versions |= dict.fromkeys(("numba", "onnx", "onnxruntime"))  # type: ignore[arg-type]
    monkeypatch.setattr("edge_rnn.bench.machine.packages", lambda: versions)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"run models +missing numba: pip install 'edge-rnn\[jit\]'", out)
    assert "missing onnx, onnxruntime: pip install 'edge-rnn[export]'" in out
    assert out[out.index("what to do") :].startswith(
        "what to do  No model can run without numba: pip install 'edge-rnn[jit]'"
    )


def test_doctor_asks_for_no_compiler_where_kernels_are_shipped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    versions: dict[str, str | None] = dict.fromkeys(machine.packages(), "1.0") | dict.fromkeys(("llvmlite", "numba"))
    monkeypatch.setattr("edge_rnn.bench.machine.packages", lambda: versions)
    monkeypatch.setattr("edge_rnn.bench.machine.shipped", lambda: "x86-64-v3")
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"(?m)^shipped kernels +x86-64-v3$", out)
    assert re.search(r"(?m)^run models +yes$", out)
    assert re.search(r"(?m)^compile kernels .* +missing llvmlite, numba: pip install 'edge-rnn\[jit\]'$", out)
    assert out.splitlines()[-1].strip() == "Models run. Try edge-rnn demo."


def test_warm_up_without_numba_leaves_programs_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    loaded = object_cache.Loaded("step", {"step": 1}, True, 1e-5)
    monkeypatch.setattr("edge_rnn.cli.warm_up.find_spec", lambda name: None)
    monkeypatch.setattr(object_cache, "load", lambda name: loaded)
    assert main(["warm-up", path]) == 0
    out = capsys.readouterr().out
    assert "step of" not in out
    assert out.splitlines()[-1].endswith(
        "run by the shipped kernels, which serve any size: pip install 'edge-rnn[jit]'."
    )


def test_names_of_boards_are_whole_in_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["devices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("raspberry_pi_zero_2w_32bit ") for line in lines)


def test_doctor_ends_in_what_to_do(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    versions: dict[str, str | None] = dict.fromkeys(machine.packages(), "1.0")
    monkeypatch.setattr("edge_rnn.bench.machine.packages", lambda: versions)
    assert main(["doctor", "--json"]) == 0
    advice = json.loads(capsys.readouterr().out)["advice"]
    assert advice[-1].startswith("Models run. Try edge-rnn demo;")
    assert not any("missing" in line for line in advice)
    versions |= {"torch": None, "huggingface_hub": None}
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].strip().endswith("If you need what is missing above: pip install 'edge-rnn[hub,train]'.")
    assert lines[-1].strip().startswith("Models run.")


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "0 ns"), (62.4, "62 ns"), (999.4, "999 ns"), (999.6, "1.00 µs"), (9420, "9.42 µs"), (15_040, "15.0 µs"),
     (999_600, "1.00 ms"), (412e6, "412 ms"), (2.63e9, "2.63 s"), (75e9, "75.0 s")],
)  # fmt: skip
def test_times_have_three_digits(nanoseconds: float, text: str) -> None:
    assert spell_ns(nanoseconds) == text
