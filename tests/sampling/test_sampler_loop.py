"""Samplers that continue, texts, and networks that read their own outputs."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn import Dense, Elman, Embedding, Model, Stream
from edge_rnn.errors import InputError, ModelError, UnsupportedError
from edge_rnn.sampling import Sampler, decode, encode, generate, generate_iter, rollout
from sampling_oracle import ROOT, Build, constant

pytestmark = pytest.mark.sampled(4)

# ---- the loop


def test_a_sampler_goes_on(writer: Callable[..., Model]) -> None:
    model = writer()
    whole = generate(Stream(model), [1, 2], max_length=300, seed=3, top_p=0.9)
    sampler = Sampler(Stream(model), seed=3, top_p=0.9)
    parts = [sampler.generate([1, 2], max_length=100)]
    for _ in range(2):
        parts.append(sampler.generate(parts[-1].symbols[-1:], max_length=100))
    assert np.array_equal(np.concatenate([part.symbols for part in parts]), whole.symbols)
    assert np.array_equal(np.concatenate([part.log_probabilities for part in parts]), whole.log_probabilities)


def test_one_at_a_time_is_all_at_once(writer: Callable[..., Model]) -> None:
    for embedding in (False, True):
        model = writer(embedding=embedding)
        options: dict[str, Any] = {"seed": 3, "repetition_penalty": 1.3, "stop": 3, "temperature": 2.0}
        whole = generate(Stream(model), [1, 2], max_length=300, **options)
        pairs = list(generate_iter(Stream(model), [1, 2], max_length=300, **options))
        assert [symbol for symbol, _ in pairs] == whole.symbols.tolist()
        assert np.array_equal(np.float32([each for _, each in pairs]), whole.log_probabilities)
        assert whole.stopped
        assert whole.symbols.tolist().index(3) == len(whole.symbols) - 1


def test_the_stream_has_read_all_but_the_last(writer: Callable[..., Model]) -> None:
    model = writer()
    stream = Stream(model)
    got = generate(stream, [1, 2], max_length=20)
    other = Stream(model)
    other.run(np.eye(11)[[1, 2, *got.symbols[:-1]]])
    assert stream.snapshot() == other.snapshot()


def test_a_sample_may_be_read_first(writer: Callable[..., Model]) -> None:
    model = writer()
    vector = np.random.default_rng(2).standard_normal(11).astype(np.float32)
    stream = Stream(model)
    stream.step(vector)
    expected = generate(stream, [5], max_length=20, temperature=0)
    assert np.array_equal(
        generate(Stream(model), [5], first=vector, max_length=20, temperature=0).symbols, expected.symbols
    )
    alone = generate(Stream(model), first=vector, max_length=20, temperature=0)
    assert alone.symbols[0] == Stream(model).step(vector).argmax()


def test_seeds_differ_and_repeat(writer: Callable[..., Model]) -> None:
    model = writer()
    texts = [
        generate(Stream(model), [0], max_length=60, seed=seed, temperature=3).symbols.tolist()
        for seed in (0, 1, 2**63, 0)
    ]
    assert texts[0] == texts[3]
    assert len({tuple(text) for text in texts}) == 3


def test_scratch_memory_is_fixed(writer: Callable[..., Model]) -> None:
    sampler = Sampler(Stream(writer()), top_p=0.9)
    before = sampler.nbytes
    sampler.generate([0], max_length=1000)
    assert sampler.nbytes == before < 2000


@pytest.mark.slow
def test_a_second_process_needs_no_numba(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\nfrom edge_rnn import Dense, Elman, Model, Stream\n"
        "from edge_rnn.sampling import generate\n"
        "m = Model([Elman(np.eye(3), np.eye(3)), Dense(np.eye(3))], vocabulary='abc')\n"
        "print(generate(Stream(m), 'ab', max_length=9, seed=1).symbols.tolist(), 'numba' in sys.modules)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "EDGE_RNN_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0].replace("True", "False") == runs[1]
    assert runs[1].endswith("False\n")


@pytest.mark.slow
def test_overflow_is_reported() -> None:
    model = Model([Elman(1e3 * np.eye(2), 1e3 * np.eye(2), activation="relu"), Dense(np.eye(2))])
    stream = Stream(model)
    with pytest.raises(InputError, match=r"non-finite output after 1\d symbols; the state is as before it"):
        generate(stream, [0], max_length=100, temperature=0)
    assert np.isfinite(stream.state["elman1.h"]).all()


# ---- texts


def test_texts_and_symbols() -> None:
    model = replace(constant(np.zeros(4, np.float32)), vocabulary=("a", "b", "ab", "\n"))
    assert encode(model, "aabb\n").tolist() == [0, 2, 1, 3]
    assert encode(model, ["a", "b"]).tolist() == [0, 1]
    assert encode(model, np.array([2, 3])).tolist() == [2, 3]
    assert decode(model, [0, 2, 1, 3]) == "aabb\n"
    got = generate(Stream(model), "ab", max_length=1000, stop="\n", seed=2)
    assert got.stopped
    assert decode(model, got.symbols).endswith("\n")
    assert model.fingerprint == replace(model, vocabulary=()).fingerprint


def test_vocabulary_is_of_what_is_read() -> None:
    cell, head = Elman(np.zeros((1, 2)), [[0.0]]), Dense(np.zeros((3, 1)))
    assert Model([Embedding(np.zeros((5, 2))), cell, head], vocabulary="abcde").vocabulary_size == 5
    assert Model([cell, head], vocabulary="xy").vocabulary == ("x", "y")
    for vocabulary, words in (("abc", "3 texts, expected 2"), ("aa", "'a' as symbol 1"), (("", "a"), "'' as symbol 0"),
                              (("a", "\x1b[2J"), "control characters")):  # fmt: skip
        with pytest.raises(ModelError, match=re.escape(words)):
            Model([cell, head], vocabulary=vocabulary)


LETTERS = replace(constant(np.zeros(3, np.float32)), vocabulary="abc")
ERRORS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no prompt": (lambda: generate(Stream(LETTERS), max_length=3), InputError, "empty prompt"),
    "unknown letter": (lambda: generate(Stream(LETTERS), "abx", max_length=3), InputError, "'x' at position 3"),
    "unknown number": (lambda: generate(Stream(LETTERS), [3], max_length=3), InputError, "symbol 3, expected a number"),
    "negative": (lambda: generate(Stream(LETTERS), [-1], max_length=3), InputError, "symbol -1"),
    "fraction": (lambda: generate(Stream(LETTERS), [0.5], max_length=3), InputError, "symbol 0.5"),  # type: ignore[list-item]
    "no text": (lambda: generate(Stream(LETTERS), 5, max_length=3), InputError, "got int, expected a text"),  # type: ignore[arg-type]
    "no length": (lambda: generate(Stream(LETTERS), "a", max_length=0), InputError, "max_length got 0"),
    "temperature": (lambda: Sampler(Stream(LETTERS), temperature=-1), InputError, "temperature got -1, expected 0, or"),
    "cold": (lambda: Sampler(Stream(LETTERS), temperature=1e-9), InputError, "temperature got 1e-09"),
    "nan": (lambda: Sampler(Stream(LETTERS), temperature=math.nan), InputError, "temperature got nan"),
    "top_k": (lambda: Sampler(Stream(LETTERS), top_k=-1), InputError, "top_k got -1"),
    "top_p": (lambda: Sampler(Stream(LETTERS), top_p=0.0), InputError, "top_p got 0.0, expected more than 0"),
    "min_p": (lambda: Sampler(Stream(LETTERS), min_p=1.1), InputError, "min_p got 1.1"),
    "penalty": (lambda: Sampler(Stream(LETTERS), repetition_penalty=0), InputError, "repetition_penalty got 0"),
    "stop": (lambda: Sampler(Stream(LETTERS), stop="d"), InputError, "generate stop got 'd' at position 1 of the text"),
    "no stop": (lambda: Sampler(Stream(LETTERS), stop=("a", "")), InputError, "stop = ('a', ''), expected symbols"),
    "stop number": (lambda: Sampler(Stream(LETTERS), stop=[3]), InputError, "generate stop got the symbol 3"),
    "seed": (lambda: Sampler(Stream(LETTERS), seed=2**64), InputError, "seed got 18446744073709551616"),
    "a model": (lambda: Sampler(LETTERS), InputError, "got Model as stream"),  # type: ignore[arg-type]
    "no vocabulary": (
        lambda: generate(Stream(replace(LETTERS, vocabulary=())), "a", max_length=3), InputError, "without a vocabulary"
    ),
    "activation": (
        lambda: Sampler(Stream(Model([Elman([[1.0]], [[1.0]]), Dense([[1.0]], activation="tanh")]))),
        UnsupportedError, "ends with Dense 'dense2' and 'tanh'",
    ),
    "no head": (
        lambda: Sampler(Stream(Model([Elman([[1.0]], [[1.0]])]))),
        UnsupportedError, "ends with Elman 'elman1'; expected",
    ),
    "sizes": (
        lambda: Sampler(Stream(Model([Elman([[1.0, 1.0]], [[1.0]]), Dense([[1.0]])]))),
        UnsupportedError, "reads 2 symbols and outputs 1 value",
    ),
    "first": (
        lambda: generate(Stream(LETTERS), "a", max_length=3, first=[1.0]), InputError, "shape (1,), expected (3,)"
    ),
    "rollout of letters": (lambda: rollout(Stream(LETTERS), [1.0], 3), InputError, "shape (1,), expected (3,)"),
    "rollout of no steps": (lambda: rollout(Stream(LETTERS), [1.0, 0, 0], -1), InputError, "steps got -1"),
    "rollout": (
        lambda: rollout(Stream(Model([Elman([[1.0, 1.0]], [[1.0]])])), [1.0, 0], 3),
        UnsupportedError, "2 inputs and 1 output",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case: str) -> None:
    action, kind, words = ERRORS[case]
    with pytest.raises(kind) as caught:
        action()
    assert words in str(caught.value)


# ---- numbers instead of symbols


@pytest.mark.parametrize("cell", ["gru", "lstm", "elman_tanh"])
def test_rollout_reads_its_own_outputs(make_model: Build, cell: str) -> None:
    model = make_model(cell, 3, 9, head=3)
    x = np.array([0.3, -0.2, 0.9], np.float32)
    stream, by_hand = Stream(model), [x]
    for _ in range(50):
        by_hand.append(stream.step(by_hand[-1]).copy())
    other = Stream(model)
    assert np.array_equal(rollout(other, x, 50), by_hand[1:])
    assert other.snapshot() == stream.snapshot()
    assert rollout(other, x.tolist(), 0).shape == (0, 3)


def test_rollout_of_an_oscillator() -> None:
    turn = np.array([[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]])
    model = Model([Elman(turn, np.zeros((2, 2)), activation="affine:1:0")])
    ys = rollout(Stream(model), [1.0, 0.0], 63)
    t = 0.1 * np.arange(1, 64)
    np.testing.assert_allclose(ys, np.stack([np.cos(t), np.sin(t)], axis=1), rtol=0, atol=63 * 2.0**-23)


def test_rollout_reports_overflow() -> None:
    model = Model([Elman([[1e10]], [[0.0]], activation="relu")])
    with pytest.raises(InputError, match=r"rollout step 3 got a sample that makes .* largest value is 1e\+30"):
        rollout(Stream(model), [1.0], 9)


@pytest.mark.parametrize("stop", ["b", "ab", "aba", "abab", "abcabc", "ccccccc", ("cc", "bb"), ("ccc", 1)])
def test_rows_of_symbols_end_a_text(stop: Any) -> None:
    got = generate(Stream(LETTERS), "ab", max_length=10_000, seed=5, stop=stop)
    text = decode(LETTERS, got.symbols)
    rows = ["ccc", "b"] if stop == ("ccc", 1) else [stop] if isinstance(stop, str) else list(stop)
    assert len(text) > 128 or len(rows[0]) < 6  # more than is kept of it
    first = min(text.index(row) + len(row) for row in rows if row in text)
    assert got.stopped
    assert len(text) == first  # the prompt does not count
    each = [symbol for symbol, _ in generate_iter(Stream(LETTERS), "ab", max_length=10_000, seed=5, stop=stop)]
    assert each == got.symbols.tolist()


def test_arguments_of_another_kind_are_refused_in_words() -> None:
    stream = Stream(Model([Elman(np.eye(3), np.eye(3) / 2), Dense(np.eye(3))]))
    many = Stream(Model([Elman([[1.0]], [[0.5]])]))
    for call, told in (
        (lambda: generate(stream, np.array(1), max_length=1), "expected a text or a sequence of symbols"),
        (lambda: generate(stream, [0], max_length=1, temperature=np.array([1.0, 2.0])), "temperature"),  # type: ignore[arg-type]
        (lambda: generate(stream, [0], max_length=1, temperature=1j), "temperature"),  # type: ignore[arg-type]
        (lambda: rollout(many, [0.1], 10**30), "a whole number from 0 to 2147483647"),
    ):
        with pytest.raises(InputError, match=told):
            call()
    assert np.array_equal(rollout(many, 0.1, 2), rollout(Stream(many.model), [0.1], 2))
