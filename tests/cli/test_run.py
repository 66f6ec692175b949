"""``edge-rnn run``: input and output formats, malformed lines, pipes."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import pty
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rnn
from edge_rnn import Dense, Elman, Model, Stream, reference, save
from edge_rnn.cli import main
from edge_rnn.recordings.sample_lines import LineParser
from edge_rnn.recordings.samples import read_samples

ROOT = Path(__file__).parents[2]
XS = np.random.default_rng(3).standard_normal((20, 3)).astype(np.float32)
CSV = "".join(",".join(map(str, x)) + "\n" for x in XS)
NAN = float("nan")


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    names = ("ax", "ay", "az")
    return make_model("gru", 3, 5, activation="softmax", labels=("a", "b,c", 'd"', "e"), input_names=names)


@pytest.fixture
def run(model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> Callable[..., Any]:
    """Function that runs the command over a text on stdin: exit code, results, stderr."""
    edge_rnn.save(model, tmp_path / "model.safetensors")

    def run(text: str | bytes, *options: str) -> tuple[int, str, str]:
        data = text.encode() if isinstance(text, str) else text
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        code = main(["run", str(tmp_path / "model.safetensors"), *options])
        return code, *capsys.readouterr()

    return run


def outputs(out: str) -> np.ndarray:
    """The outputs in JSON lines, (time, 4)."""
    return np.array([json.loads(line)["y"] for line in out.splitlines()], np.float32).reshape(-1, 4)


def test_csv_results_are_the_reference(run: Callable[..., Any], model: Model) -> None:
    import csv

    code, out, err = run(CSV)
    assert (code, err) == (0, "")
    header, *rows = csv.reader(io.StringIO(out))
    assert header == ["t", "label", *model.labels]
    expected, _ = reference.run(model, XS)
    got = np.array([row[2:] for row in rows], np.float32)
    np.testing.assert_allclose(got, expected, rtol=0, atol=3e-6)
    assert [int(row[0]) for row in rows] == list(range(len(XS)))
    assert [row[1] for row in rows] == [model.labels[i] for i in got.argmax(1)]
    assert run(CSV, "--no-header")[1] == out.partition("\n")[2]


def test_json_results_are_those_of_the_stream_bit_for_bit(run: Callable[..., Any], model: Model) -> None:
    code, out, _ = run(CSV, "--output", "json")
    assert code == 0
    expected = Stream(model).run(XS)
    assert np.array_equal(outputs(out), expected)
    first = json.loads(out.splitlines()[0])
    assert first.keys() == {"t", "label", "y"}
    assert first["label"] == model.labels[expected[0].argmax()]


def lines(text: Callable[[np.ndarray], str]) -> str:
    return "".join(text(x) + "\n" for x in XS)


SPELLINGS = {
    "header": "ax,ay,az\n" + CSV,
    "other columns": "n,ax,t,ay,az,\n" + lines(lambda x: f"1,{x[0]},5,{x[1]},{x[2]},"),
    "names in other letters": "AZ; Ax ;aY\n" + lines(lambda x: f"{x[2]};{x[0]};{x[1]}"),
    "units in the names": "ax [g],ay (m/s^2),az_g\n" + CSV,
    "comments": "# a log of the watch\n" + CSV.replace("\n", "\n# more\n"),
    "trailing commas": CSV.replace("\n", ",\n"),
    "files joined": "ax,ay,az\n" + lines(lambda x: f"az,ay,ax\n{x[2]},{x[1]},{x[0]}"),
    "comments before json": "# a log\n" + lines(lambda x: json.dumps(x.tolist())),
    "header of numpy.savetxt": "# ay,ax,az\n" + lines(lambda x: f"{x[1]},{x[0]},{x[2]}"),
    "columns by name": "time,AZ,ax,ay\n" + lines(lambda x: f"12:00,{x[2]},{x[0]},{x[1]}"),
    "semicolons": CSV.replace(",", ";"),
    "tabs": CSV.replace(",", "\t"),
    "spaces": CSV.replace(",", "  "),
    "comma and space": CSV.replace(",", ", "),
    "quotes": lines(lambda x: ",".join(f'"{v}"' for v in x)),
    "windows": "\ufeff" + CSV.replace("\n", "\r\n"),
    "blank lines": "\n" + CSV.replace("\n", "\n\n"),
    "no last newline": CSV.rstrip("\n"),
    "json arrays": lines(lambda x: json.dumps(x.tolist())),
    "json x": lines(lambda x: json.dumps({"time": 0, "x": x.tolist()})),
    "json names": lines(lambda x: json.dumps({"ay": float(x[1]), "ax": float(x[0]), "az": float(x[2]), "more": {}})),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings_of_the_same_samples(name: str, run: Callable[..., Any], model: Model) -> None:
    code, out, err = run(SPELLINGS[name], "--output", "json")
    assert (code, err) == (0, "")
    assert np.array_equal(outputs(out), Stream(model).run(XS))


BAD = {
    "too few": ("1,2", "2 values, expected 3 (ax, ay, az)"),
    "too many": ("1,2,3,4", "4 values, expected 3"),
    "text": ("1,fast,3", "'fast' in column 2 is not a number"),
    "underscore": ("1,2_0,3", "'2_0' in column 2 is not a number"),
    "not UTF-8": (b"1,\xff,3", "not UTF-8"),
    "quote": ('1,"2,3', "has 2 values"),
    "no number": ("what,is,this", "'what' in column 1 is not a number"),
    "long": ("1," + "2" * (1 << 20) + ",3", "longer than 1048576 bytes"),
    "long number": ("1," + "2" * 200 + "x,3", "…' in column 2 is not a number"),
}
BAD_JSON = {
    "cut off": ("[1,2", "is not JSON"),
    "text": ('[1,"2",3]', """'"2"' at position 2 is not a number"""),
    "true": ("[1,true,3]", "'true' at position 2 is not a number"),
    "too few": ("[1,2]", "2 values, expected 3"),
    "no x": ('{"y":[1,2,3]}', "an object with an array 'x', or one with the keys ax, ay, az"),
    "number": ("7", "but not an array"),
    "deep": ("[" * 100_000, "is not JSON"),
}


@pytest.mark.parametrize(
    ("kind", "name"), [*(("csv", name) for name in BAD), *(("json", name) for name in BAD_JSON)]
)  # fmt: skip
def test_malformed_line(kind: str, name: str, run: Callable[..., Any], model: Model) -> None:
    bad, message = (BAD if kind == "csv" else BAD_JSON)[name]
    good = [",".join(map(str, x)) if kind == "csv" else json.dumps(x.tolist()) for x in XS[:3]]
    line = bad if isinstance(bad, bytes) else bad.encode()
    text = f"{good[0]}\n{good[1]}\n".encode() + line + f"\n{good[2]}\n".encode()
    expected = Stream(model).run(XS[:3])

    code, out, err = run(text, "--output", "json")
    assert code == 1
    assert err.startswith("edge-rnn: stdin, line 3: ")
    assert message in err
    assert err.count("\n") == 1
    assert np.array_equal(outputs(out), expected[:2])

    code, out, err = run(text, "--output", "json", "--on-bad", "skip")
    assert code == 0
    assert "line 3 skipped" in err
    assert message in err
    assert np.array_equal(outputs(out), expected)
    assert [json.loads(line)["t"] for line in out.splitlines()] == [0, 1, 3]


def test_first_line_that_is_neither_samples_nor_header(run: Callable[..., Any], model: Model) -> None:
    text = "a log\n" + CSV
    code, out, err = run(text)
    assert code == 1
    assert "neither 3 numbers nor a header" in err
    assert out.count("\n") == 1  # the header of the results
    assert np.array_equal(outputs(run(text, "--on-bad", "skip", "--output", "json")[1]), Stream(model).run(XS))


MISSING = [*(f"1,{value},3" for value in ("", "nan", "null", "inf", "1e39")), "[1,null,3]", "[1,NaN,3]", "[1,1e999,3]"]


@pytest.mark.parametrize("policy", ["hold", "skip"])
@pytest.mark.parametrize("missing", MISSING)
def test_missing_value(policy: Any, missing: str, run: Callable[..., Any], model: Model) -> None:
    row = (lambda x: json.dumps(x.tolist())) if missing[0] == "[" else (lambda x: ",".join(map(str, x)))
    text = f"{row(XS[0])}\n{missing}\n{row(XS[1])}\n"
    code, out, err = run(text, "--output", "json")
    assert code == 1
    assert "stdin, line 2: ay is" in err
    assert np.array_equal(outputs(out), Stream(model).run(XS[:1]))

    code, out, err = run(text, "--output", "json", "--on-nonfinite", policy)
    assert code == 0
    assert f"1 not finite ({policy})" in err
    xs = np.array([XS[0], [1, NAN, 3], XS[1]], np.float32)
    assert np.array_equal(outputs(out), Stream(model, on_nonfinite=policy).run(xs))


def test_output_that_overflows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:  # fmt: skip
    edge_rnn.save(Model([Elman([[3e38]], [[0.0]], activation="relu")]), tmp_path / "relu.safetensors")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1\n9\n")))
    assert main(["run", str(tmp_path / "relu.safetensors"), "-"]) == 1
    out, err = capsys.readouterr()
    assert "line 2: the output is not finite" in err
    assert out == "t,y0\n0,3e+38\n"


def test_one_channel_takes_bare_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Model([Elman([[0.5]], [[0.25]])])
    edge_rnn.save(model, tmp_path / "m.safetensors")
    (tmp_path / "x.csv").write_text("signal\n0.5\n-1\n")
    expected = Stream(model).run(np.array([[0.5], [-1]], np.float32))
    assert main(["run", str(tmp_path / "m.safetensors"), str(tmp_path / "x.csv")]) == 0
    assert capsys.readouterr().out == f"t,y0\n0,{expected[0, 0]!s}\n1,{expected[1, 0]!s}\n"
    (tmp_path / "x.jsonl").write_text("0.5\n-1\n")
    options = ["--format", "json", "--output", "json"]
    assert main(["run", str(tmp_path / "m.safetensors"), str(tmp_path / "x.jsonl"), *options]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[1]) == {"t": 1, "y": [float(str(expected[1, 0]))]}


def test_recordings_of_numpy_are_run_and_their_labels_counted(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:  # fmt: skip
    """At the model's rate, at another rate, and resampled from it: all samples unchanged, or none."""
    monkeypatch.chdir(tmp_path)
    edge_rnn.save(dataclasses.replace(model, sample_rate_hz=10.0), "m.safetensors")
    expected = Stream(model).run(XS)
    truth = expected.argmax(1)
    truth[:5] = (truth[:5] + 1) % 4
    np.savez("a.npz", x=XS, y=truth, sample_rate_hz=10)
    assert main(["run", "m.safetensors", "a.npz", "--output", "json"]) == 0
    out, err = capsys.readouterr()
    assert np.array_equal(outputs(out), expected)
    assert "a.npz: accuracy 75.00% (15 of 20 samples)." in err
    np.savez("b.npz", x=np.repeat(XS, 3, 0), y=np.repeat(truth, 3), fs=30.0)
    assert main(["run", "m.safetensors", "b.npz"]) == 1
    assert "the sample rate of the recording is 30 Hz, but the model is for 10 Hz" in capsys.readouterr().err
    for options, count in ((["--any-rate"], 60), (["--resample"], 20)):
        assert main(["run", "m.safetensors", "b.npz", *options, "--output", "json"]) == 0
        assert len(outputs(capsys.readouterr().out)) == count, options


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("t_s,ax,ay,az\n", [], "measured from times, is 50 Hz, but the model is for 10 Hz"),
        ("at,ax,ay,az\n", ["--time", "at,s"], "is 50 Hz, but the model is for 10 Hz"),
        ("at,ax,ay,az\n", ["--time", "at,ms"], "is 50000 Hz"),
        ("at,ax,ay,az\n", [], ""),
        ("t_s,ax,ay,az\n", ["--any-rate"], ""),
    ],
)
def test_times_of_another_rate_end_a_run(
    text: str, options: list[str], words: str, model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    edge_rnn.save(dataclasses.replace(model, sample_rate_hz=10.0), tmp_path / "m.safetensors")
    (tmp_path / "xs.csv").write_text(text + "".join(f"{t / 50},1,2,3\n" for t in range(30)))
    code = main(["run", str(tmp_path / "m.safetensors"), str(tmp_path / "xs.csv"), *options])
    assert (code, words in capsys.readouterr().err) == (int(bool(words)), True)


def test_file_may_stand_behind_the_options(model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edge_rnn.save(model, tmp_path / "m.safetensors")
    (tmp_path / "xs.csv").write_text("z,y,x\n" + lines(lambda x: f"{x[2]},{x[1]},{x[0]}"))
    names = ["run", str(tmp_path / "m.safetensors"), "--columns", "x,y,z", "--output", "json", str(tmp_path / "xs.csv")]
    assert main(names) == 0
    assert np.array_equal(outputs(capsys.readouterr().out), Stream(model).run(XS))
    assert main([*names, "more.csv"]) == 2
    assert "unrecognized arguments" in capsys.readouterr().err


def test_empty_input(run: Callable[..., Any]) -> None:
    assert run("") == (0, 't,label,a,"b,c","d""",e\n', "")
    assert run("", "--output", "json") == (0, "", "")


def test_line_after_an_overlong_one_is_read() -> None:
    text = b"1\n" + b"x" * (3 << 20) + b"\n2\n"
    found = list(read_samples(io.BytesIO(text), LineParser(1)))
    assert [(each.line, list(each.values)) for each in found] == [(1, [1.0]), (2, []), (3, [2.0])]


@pytest.fixture
def process(model: Model, tmp_path: Path, run: Callable[..., Any]) -> Iterator[subprocess.Popen[bytes]]:
    assert run(CSV)[0] == 0  # compiles what is needed
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "edge_rnn", "run", str(tmp_path / "model.safetensors"), "--output", "json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        alarm = threading.Timer(120, process.kill)  # so that a result that never comes does not hang the tests
        alarm.start()
        yield process
        alarm.cancel()
        assert process.stdin
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.kill()


def test_each_result_comes_before_the_next_sample(process: subprocess.Popen[bytes], model: Model) -> None:
    assert process.stdin
    assert process.stdout
    assert process.stderr
    stream = Stream(model)
    for t, x in enumerate(XS[:5]):
        process.stdin.write(",".join(map(str, x)).encode() + b"\n")
        process.stdin.flush()
        result = json.loads(process.stdout.readline())
        assert result["t"] == t
        assert np.array_equal(np.array(result["y"], np.float32), stream.step(x))
    process.stdin.close()
    assert process.wait() == 0
    assert process.stderr.read() == b""


def test_reader_that_leaves_ends_the_run_quietly(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdin.write(CSV.encode())
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()
    try:
        while process.poll() is None:
            process.stdin.write(CSV.encode())
            process.stdin.flush()
    except BrokenPipeError:
        pass
    assert process.wait() == 0
    assert process.stderr.read() == b""


@pytest.mark.slow
def test_cache_that_cannot_be_made_does_not_stop_a_run(tmp_path: Path) -> None:
    """It is reported, because a service would otherwise compile at every start unnoticed."""
    model = Model([Elman([[0.5]], [[0.25]])])
    edge_rnn.save(model, tmp_path / "m.safetensors")
    result = subprocess.run(
        [sys.executable, "-m", "edge_rnn", "run", str(tmp_path / "m.safetensors")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "EDGE_RNN_CACHE_DIR": str(tmp_path / "m.safetensors" / "cache")},
        input="0.5\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0
    assert result.stderr.startswith("edge-rnn: compiled kernels cannot be cached: ")
    assert result.stderr.endswith("is not a directory. Set EDGE_RNN_CACHE_DIR to another folder.\n")
    assert result.stdout == f"t,y0\n0,{Stream(model).step(np.array([0.5], np.float32))[0]!s}\n"


@pytest.mark.slow
def test_progress_goes_to_the_terminal_and_results_to_the_file(model: Model, tmp_path: Path) -> None:
    """Progress is on stderr only if that is a terminal and the results go to a file."""
    edge_rnn.save(model, tmp_path / "m.safetensors")
    (tmp_path / "xs.csv").write_text(CSV)
    command = [sys.executable, "-m", "edge_rnn", "run", "m.safetensors", "xs.csv"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "80"}
    quiet = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert quiet.stderr == b""
    ours, theirs = pty.openpty()
    with (tmp_path / "results.csv").open("wb") as results:
        subprocess.run(command, cwd=tmp_path, env=environment, stdout=results, stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 65536)
    os.close(ours)
    assert b"xs.csv" in shown
    assert (tmp_path / "results.csv").read_bytes() == quiet.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "time,ax,ay\n1,2,3\n",
            "line 1: its header has the columns time, ax, ay, but the model reads ax, ay, az: az missing",
        ),
        ("ax,ay,ay\n1,2,3\n", "az missing and ay more than once; columns="),
        ("gx,gy,gz\n1,2,3\n", "the columns gx, gy, gz, but the model reads ax, ay, az"),
        ("# gx,gy,gz\n1,2,3\n", "the columns gx, gy, gz, but the model reads ax, ay, az"),
        ("ax,ay,az\n0,1;0,2;0,3\n", "line 2: '0,1' is a number with a decimal comma, expected a point"),
        ("0,1,0,2,0,3\n", "expected 3; if these are decimal commas"),
        ("0,1;0,2;0,3\n", "line 1: '0,1' is a number with a decimal comma"),
    ],
)
def test_a_first_line_is_never_taken_for_what_it_is_not(run: Callable[..., Any], text: str, words: str) -> None:
    code, out, err = run(text)
    assert (code, words in err) == (1, True), err
    assert out.count("\n") == 1  # our own header


def test_a_first_line_of_missing_values_is_a_sample(run: Callable[..., Any]) -> None:
    code, out, _ = run("NA;NA;NA\n1;2;3\n", "--on-nonfinite", "skip", "--no-header")
    assert code == 0
    assert [line.partition(",")[0] for line in out.splitlines()] == ["0", "1"]


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-"])
@pytest.mark.sampled(1)
def test_standard_streams_that_are_closed(model: Model, tmp_path: Path, closed: str) -> None:
    edge_rnn.save(model, tmp_path / "m.safetensors")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for command in ("run m.safetensors", "inspect m.safetensors"):
        line = f"{shlex.quote(sys.executable)} -m edge_rnn {command} {closed}"
        done = subprocess.run(
            ["sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, input=b"", check=False
        )
        assert (done.returncode, done.stderr) == (0, b""), (command, done.stderr)


@pytest.mark.parametrize("policy", ["hold", "skip"])
def test_nothing_is_named_before_the_first_good_sample(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Model([Dense([[1.0], [-1.0]])], labels=("up", "down"))
    save(model, tmp_path / "m.safetensors")
    (tmp_path / "x.csv").write_text('nan\n""\n2\nnan\n')
    monkeypatch.chdir(tmp_path)
    common = ["run", "m.safetensors", "x.csv", "--on-nonfinite", policy]
    assert main(common) == 0
    assert capsys.readouterr().out.splitlines() == ["t,label,up,down", "0,,,", "1,,,", "2,up,2.0,-2.0", "3,up,2.0,-2.0"]
    assert main([*common, "--output", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {"t": 0, "label": "", "y": [None, None]}
    assert lines[2] == {"t": 2, "label": "up", "y": [2.0, -2.0]}
    save(Model([Dense([[1.0]])]), tmp_path / "m.safetensors")
    assert main([*common, "--no-header"]) == 0
    assert capsys.readouterr().out.splitlines() == ["0,", "1,", "2,2.0", "3,2.0"]
