"""Beam search: exact if all texts are followed, otherwise equal to a plain search in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_rnn import GRU, LSTM, Dense, Elman, Embedding, Model, Stream, reference
from edge_rnn.errors import InputError
from edge_rnn.sampling import beam_search, generate

pytestmark = pytest.mark.sampled(2)

Rows = tuple[tuple[int, ...], ...]
CELLS = {"gru": (GRU, 3), "lstm": (LSTM, 4), "elman": (Elman, 1)}

# Log-probabilities of the stream against the float64 reference, scores within 16: see test_sampling.
TOLERANCE = 1e-6 + 2 * 2.0**-20


def network(cell: str, symbols: int, seed: int = 0, activation: str = "none", embedding: bool = False) -> Model:
    rng = np.random.default_rng(seed)
    cls, gates = CELLS[cell]
    size, hidden = 4 if embedding else symbols, 9
    front = [Embedding(rng.uniform(-1, 1, (symbols, size)))] if embedding else []
    layer = cls(*(rng.uniform(-1, 1, (gates * hidden, n)) for n in (size, hidden)), h0=rng.uniform(-1, 1, hidden))
    return Model([*front, layer, Dense(rng.uniform(-3, 3, (symbols, hidden)), activation=activation)])


def log_probabilities(model: Model, symbols: list[int]) -> np.ndarray:
    """Log probabilities of all symbols after each symbol, float64."""
    xs = np.eye(model.vocabulary_size)[symbols] if model.input_size > 1 else np.array(symbols, float)[:, None]
    ys, _ = reference.run(model, xs)
    if model.layers[-1].options["activation"] == "softmax":
        return np.log(ys)
    return ys - np.log(np.exp(ys).sum(axis=1, keepdims=True))


def ends(text: tuple[int, ...], stop: Rows) -> bool:
    return any(text[-len(row) :] == row for row in stop)


def all_texts(model: Model, prompt: list[int], length: int, stop: Rows) -> dict[tuple[int, ...], np.ndarray]:
    """Every text up to a length that ends at a stop sequence or there, with the log probabilities of its symbols."""
    found = {}
    for n in range(1, length + 1):
        for text in itertools.product(range(model.vocabulary_size), repeat=n):
            if any(ends(text[:k], stop) for k in range(1, n)) or (n < length and not ends(text, stop)):
                continue
            rows = log_probabilities(model, [*prompt, *text[:-1]])[len(prompt) - 1 :]
            found[text] = rows[np.arange(n), list(text)]
    return found


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0])
@pytest.mark.parametrize(
    ("cell", "options"),
    [("gru", {}), ("lstm", {}), ("elman", {}), ("lstm", {"activation": "softmax"}), ("gru", {"embedding": True})],
)
@pytest.mark.sampled(1)
def test_wide_enough_it_is_brute_force(cell: str, options: dict[str, Any], penalty: float) -> None:
    model = replace(network(cell, 3, seed=4, **options), vocabulary="abc")
    texts = all_texts(model, [1, 2], 5, stop=((0,), (2, 1)))
    ranked = sorted(texts, key=lambda text: -texts[text].sum() / len(text) ** penalty)
    found = beam_search(Stream(model), [1, 2], width=3**5, max_length=5, length_penalty=penalty, stop=("a", "cb"))
    assert [tuple(each.symbols.tolist()) for each in found] == ranked
    for each in found:
        expected = texts[tuple(each.symbols.tolist())]
        np.testing.assert_allclose(each.log_probabilities, expected, rtol=0, atol=TOLERANCE)
        assert each.stopped == ends(tuple(each.symbols.tolist()), ((0,), (2, 1)))


def plain_search(model: Model, prompt: list[int], width: int, length: int, stop: Rows, penalty: float) -> list[Any]:
    """Beam search by the same rules, with every text computed from its beginning."""
    running: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    finished: list[tuple[float, tuple[int, ...]]] = []
    for n in range(1, length + 1):
        extensions = [
            ((*text, symbol), total + float(each))
            for text, total in running
            for symbol, each in enumerate(log_probabilities(model, [*prompt, *text])[-1])
        ]
        extensions.sort(key=lambda each: -each[1])
        finished += [(total / n**penalty, text) for text, total in extensions[:width] if ends(text, stop)]
        running = [each for each in extensions if not ends(each[0], stop)][:width]
        if n == length:
            finished += [(total / n**penalty, text) for text, total in running]
    return [text for _, text in sorted(finished, key=lambda each: -each[0])[:width]]


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 16])
@pytest.mark.parametrize("cell", CELLS)
def test_it_finds_what_a_plain_search_finds(cell: str, width: int) -> None:
    rows: list[Rows] = [((0,),), ((0,), (3,)), (), ((0, 1), (2,), (1, 1, 4))]
    for seed, (penalty, numbers) in enumerate(zip((0.0, 1.0, 0.5, 0.0), rows, strict=True)):
        model = replace(network(cell, 6, seed=seed), vocabulary="abcdef")
        expected = plain_search(model, [5], width, 12, numbers, penalty)
        stop = ["".join("abcdef"[each] for each in row) for row in numbers]
        found = beam_search(Stream(model), [5], width=width, max_length=12, length_penalty=penalty, stop=stop)
        assert [tuple(each.symbols.tolist()) for each in found] == expected


def test_of_width_one_it_is_greedy() -> None:
    for seed in range(20):
        model = network("gru", 7, seed=seed)
        (found,) = beam_search(Stream(model), [2], width=1, max_length=40, stop=1)
        greedy = generate(Stream(model), [2], max_length=40, stop=1, temperature=0)
        assert np.array_equal(found.symbols, greedy.symbols)
        assert found.stopped == greedy.stopped
        np.testing.assert_allclose(found.log_probabilities, greedy.log_probabilities, rtol=0, atol=TOLERANCE)


@pytest.mark.slow
def test_the_best_is_no_worse_than_greedy_and_sometimes_better() -> None:
    better = 0
    for seed in range(20):
        model = network("lstm", 7, seed=seed)
        best = beam_search(Stream(model), [2], width=8, max_length=10)[0].log_probability
        greedy = generate(Stream(model), [2], max_length=10, temperature=0).log_probability
        assert best >= greedy - 10 * TOLERANCE
        better += best > greedy + 1e-3
    assert better >= 5


@pytest.mark.slow
def test_the_stream_has_read_the_prompt_and_no_more() -> None:
    model = network("lstm", 5)
    stream, other = Stream(model), Stream(model)
    beam_search(stream, [1, 2, 3], width=6, max_length=9)
    other.run(np.eye(5)[[1, 2, 3]])
    assert stream.snapshot() == other.snapshot()
    again = beam_search(stream, first=np.eye(5)[4], width=4, max_length=5)
    assert [each.symbols.tolist() for each in again] == [
        each.symbols.tolist() for each in beam_search(other, [4], width=4, max_length=5)
    ]


ERRORS: dict[str, tuple[Callable[[Stream], Any], str]] = {
    "width": (lambda s: beam_search(s, [0], width=0, max_length=3), "width got 0"),
    "far too wide": (
        lambda s: beam_search(s, [0], width=10**6, max_length=3),
        "width got 1000000, expected a whole number from 1 to 65536",
    ),
    "penalty": (lambda s: beam_search(s, [0], width=2, max_length=3, length_penalty=-1), "length_penalty got -1"),
    "high penalty": (
        lambda s: beam_search(s, [0], width=1, max_length=2000, length_penalty=98),
        "length_penalty got 98, expected a number from 0 to 30",
    ),
    "prompt": (lambda s: beam_search(s, [], width=2, max_length=3), "empty prompt"),
    "stream": (lambda s: beam_search(s.model, [0], width=2, max_length=3), "got Model as stream"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case: str) -> None:
    action, words = ERRORS[case]
    with pytest.raises(InputError) as caught:
        action(Stream(network("gru", 4)))
    assert words in str(caught.value)
