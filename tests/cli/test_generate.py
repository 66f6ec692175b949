"""``edge-rnn generate``: its output, when it appears, and its errors."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rnn
from edge_rnn import Dense, Elman, Model, Stream
from edge_rnn.cli import main
from edge_rnn.sampling import beam_search, decode, generate

ROOT = Path(__file__).parents[2]
VOCABULARY = ("a", "b", "ü", "\n", "do")


@pytest.fixture
def model() -> Model:
    rng = np.random.default_rng(1)
    layers = [Elman(rng.normal(size=(6, 5)), rng.normal(size=(6, 6))), Dense(rng.normal(size=(5, 6)))]
    return Model(layers, vocabulary=VOCABULARY)


@pytest.fixture
def run(model: Model, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: Any) -> Callable[..., Any]:
    """Function that runs the command: exit code, stdout, stderr."""
    edge_rnn.save(model, tmp_path / "letters.safetensors")
    edge_rnn.save(replace(model, vocabulary=()), tmp_path / "numbers.safetensors")

    def run(*options: str, stdin: bytes = b"", file: str = "letters") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(["generate", str(tmp_path / f"{file}.safetensors"), *options])
        return code, *capfd.readouterr()

    return run


def test_it_writes_what_generate_gives(run: Callable[..., Any], model: Model) -> None:
    options = ("--temperature", "0.7", "--top-k", "4", "--top-p", "0.9", "--min-p", "0.05", "--seed", "7")
    expected = generate(
        Stream(model), "ab", max_length=50, temperature=0.7, top_k=4, top_p=0.9, min_p=0.05, repetition_penalty=1.2,
        seed=7,
    )  # fmt: skip
    result = run("--prompt", "ab", *options, "--repetition-penalty", "1.2", "--max-length", "50")
    assert result == (0, "ab" + decode(model, expected.symbols) + "\n", "")
    assert run("--prompt", "-", *options, "--repetition-penalty", "1.2", "--max-length", "50", stdin=b"ab\n") == result


def test_texts_have_seeds_one_after_another(run: Callable[..., Any], model: Model) -> None:
    code, out, _ = run("--prompt", "do", "--count", "3", "--seed", "5", "--max-length", "20", "--json")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    for place, line in enumerate(lines):
        expected = generate(Stream(model), "do", max_length=20, seed=5 + place)
        assert line["symbols"] == expected.symbols.tolist()
        assert line["text"] == decode(model, expected.symbols)
        assert np.array_equal(np.float32(line["log_probabilities"]), expected.log_probabilities)
        assert (line["prompt"], line["stopped"]) == ("do", False)
    assert len({line["text"] for line in lines}) == 3


def test_texts_end_at_stop_sequences(run: Callable[..., Any]) -> None:
    for stop in ("b", "\n", "ab", "doa"):
        _, out, _ = run("--prompt", "a", "--stop", stop, "--max-length", "5000", "--json")
        (line,) = map(json.loads, out.splitlines())
        assert line["stopped"]
        assert line["text"].endswith(stop)
        assert line["text"].count(stop) == 1


@pytest.mark.slow
def test_beams(run: Callable[..., Any], model: Model) -> None:
    options = ("--beam", "4", "--length-penalty", "0.5", "--stop", "b", "--max-length", "9")
    found = beam_search(Stream(model), "a", width=4, length_penalty=0.5, stop="b", max_length=9)
    code, out, _ = run("--prompt", "a", *options, "--count", "2")
    assert (code, out) == (0, "".join("a" + decode(model, each.symbols) + "\n" for each in found[:2]))
    _, out, _ = run("--prompt", "a", *options, "--json")
    assert json.loads(out)["symbols"] == found[0].symbols.tolist()


def test_without_a_vocabulary_symbols_are_numbers(run: Callable[..., Any], model: Model) -> None:
    expected = generate(Stream(model), [0, 4], max_length=6, stop=1, seed=3).symbols
    code, out, _ = run("--prompt", "0 4", "--max-length", "6", "--stop", "1", "--seed", "3", file="numbers")
    assert (code, out) == (0, " ".join(map(str, [0, 4, *expected])) + "\n")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ((), 2, "the following arguments are required: --prompt"),
        (("--prompt", ""), 1, "generate got an empty prompt"),
        (("--prompt", "ax"), 1, "generate --prompt got 'x' at position 2 of the text, expected symbols from 'a', 'b'"),
        (("--prompt", "-"), 1, "generate got a prompt on stdin that is not UTF-8 text"),
        (("--prompt", "a", "--temperature", "-1"), 1, "temperature got -1.0, expected 0, or"),
        (("--prompt", "a", "--temperature", "warm"), 2, "invalid float value: 'warm'"),
        (("--prompt", "a", "--top-p", "2"), 1, "top_p got 2.0"),
        (("--prompt", "a", "--top-k", "-1"), 1, "top_k got -1"),
        (("--prompt", "a", "--seed", "-1"), 1, "seed got -1"),
        (("--prompt", "a", "--stop", ""), 1, "stop = [''], expected symbols or non-empty texts"),
        (("--prompt", "a", "--stop", "c"), 1, "generate stop got 'c' at position 1"),
        (("--prompt", "a", "--max-length", "0"), 2, "expected a whole number of 1 or more"),
        (("--prompt", "a", "--beam", "2", "--top-k", "3"), 1, "--top-k with --beam, which does not sample"),
        (("--prompt", "a", "--beam", "2", "--count", "3"), 1, "--count 3, expected 2 at most"),
        (("--prompt", "a", "--length-penalty", "1"), 1, "--length-penalty without --beam"),
    ],
)
def test_errors(run: Callable[..., Any], options: tuple[str, ...], code: int, words: str) -> None:
    got, out, err = run(*options, stdin=b"\xff\xfe")
    assert (got, out) == (code, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_other_networks(run: Callable[..., Any], make_model: Callable[..., Model], tmp_path: Path) -> None:
    edge_rnn.save(make_model("gru", 3, 5), tmp_path / "sensor.safetensors")
    code, out, err = run("--prompt", "walk", file="sensor")
    assert (code, out) == (1, "")
    assert err == (
        "edge-rnn: generate got a model that reads 3 symbols and outputs 4 values; expected one output per symbol, "
        "since each written symbol is the next one it reads.\n"
    )
    code, _, err = run("--prompt", "a b", file="numbers")
    assert code == 1
    assert "got 'a b', expected symbol ids separated by spaces: the model has no vocabulary" in err
    code, _, err = run("--prompt", "7", file="numbers")
    assert code == 1
    assert "got the symbol 7, expected a number from 0 to 4" in err


def _process(path: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "edge_rnn", "generate", str(path), *options]
    return subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_symbols_come_at_once_and_a_closed_pipe_ends_it(run: Callable[..., Any], tmp_path: Path) -> None:
    # This number of symbols takes an hour, so the symbols read here appeared before the end.
    process = _process(tmp_path / "letters.safetensors", "--prompt", "a", "--max-length", "2000000000")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(1) == b"a"
    assert len(process.stdout.read(5000)) == 5000
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.slow
def test_warm_up_covers_it(run: Callable[..., Any], tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "EDGE_RNN_CACHE_DIR": str(tmp_path / "cache")}
    path = str(tmp_path / "letters.safetensors")
    writing = (
        "import sys\nfrom edge_rnn.cli import main\n"
        f"assert main(['generate', {path!r}, '--prompt', 'a']) == 0\nassert 'numba' not in sys.modules"
    )
    stepping = (
        "import sys, numpy as np, edge_rnn\n"
        f"stream = edge_rnn.Stream(edge_rnn.load({path!r}))\n"
        "x = np.zeros(stream.model.input_size)\nstream.step(x), stream.run(x[None])\nassert 'numba' not in sys.modules"
    )
    for command in (["-m", "edge_rnn", "warm-up", path], ["-c", writing], ["-c", stepping]):
        done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_inspect_shows_the_vocabulary(run: Callable[..., Any], tmp_path: Path, capfd: Any) -> None:
    path = str(tmp_path / "letters.safetensors")
    assert main(["inspect", path]) == 0
    assert r"5: 'a' 'b' 'ü' '\n' 'do'" in capfd.readouterr().out
    assert main(["inspect", path, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["vocabulary"] == list(VOCABULARY)
