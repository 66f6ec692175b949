"""Tasks: accuracy and lags against a count one by one, and intervals against another solution of the formula."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from edge_rnn import Dense, Elman, Model, Stream
from edge_rnn.analysis.comparison import compare
from edge_rnn.analysis.grammar import Grammar
from edge_rnn.analysis.tasks import Bin, RecordingTask, Score, TextTask
from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.quantization.trials import stored_bytes

AGAIN = Grammar("s", {"s": {"x": "X", "y": "Y"}, "X": {"z": "X", "x": "e"}, "Y": {"z": "Y", "y": "e"}, "e": {}})
TEXTS = ["xzx", "yzzzy", "xx", "yzy", "xzzzzzzx"]


def remembering(decay: float) -> Model:
    """Network that keeps x minus y with a decay, and outputs z, then the one of the two that it holds."""
    reads = Elman(np.array([[3, -3, 0]]), np.array([[decay]]))
    return Model([reads, Dense(np.array([[1], [-1], [0]]), np.array([0, 0, 9]))], vocabulary="xyz")


def test_texts_are_counted_place_by_place() -> None:
    task = TextTask(AGAIN, TEXTS)
    for decay in (0.0, 0.5, 2.0):
        model = remembering(decay)
        score = task.score(model)
        right: dict[int, list[bool]] = {}
        for text in TEXTS:
            allowed, reach = AGAIN.allowed(text), AGAIN.reach(text)
            stream = Stream(model)
            for place, symbol in enumerate(text[:-1], start=1):
                y = stream.step(np.eye(3, dtype=np.float32)["xyz".index(symbol)])
                best = sorted(range(3), key=lambda k: -y[k])[: len(allowed[place])]
                right.setdefault(reach[place], []).append({"xyz"[k] for k in best} == set(allowed[place]))
        assert score.of == sum(map(len, right.values())) == sum(len(text) - 1 for text in TEXTS)
        assert score.right == sum(map(sum, right.values()))
        for each in score.bins:
            own = [answer for lag, answers in right.items() if each.low <= lag <= each.high for answer in answers]
            assert (each.right, each.of) == (sum(own), len(own))
        assert sum(each.of for each in score.bins) == score.of
    assert task.score(remembering(2.0)).accuracy == 1
    forgetful = task.score(remembering(0.0))
    assert forgetful.within(1, 1) == (5, 5)
    assert forgetful.within(2)[0] < forgetful.within(2)[1]


def test_recordings_are_counted_since_the_change(make_model: Callable[..., Model]) -> None:
    model = make_model("gru", 2, 6, head=3)
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((200, 2)).astype(np.float32)
    labels = np.repeat(rng.integers(0, 3, 25), 8)
    score = RecordingTask(xs, labels).score(model)
    said = Stream(model).run(xs).argmax(axis=1)
    lag, counts = -1, {each.low: [0, 0] for each in score.bins}
    for place, label in enumerate(labels):
        lag = 0 if place == 0 or label != labels[place - 1] else lag + 1
        low = max(low for low in counts if low <= lag)
        counts[low][0] += said[place] == label
        counts[low][1] += 1
    assert {each.low: [each.right, each.of] for each in score.bins} == counts
    assert [each.low for each in score.bins][:4] == [0, 1, 2, 4]
    assert (score.right, score.of) == (int((said == labels).sum()), 200)


def test_interval_covers_shares_within_two_deviations_of_the_count() -> None:
    for right, of in ((0, 18), (8, 18), (18, 18), (900, 1000)):
        low, high = Bin(0, 0, right, of).interval
        for end in (low, high):
            if 0 < end < 1:  # where the count is 1.96 deviations from what is expected
                assert abs(right / of - end) / math.sqrt(end * (1 - end) / of) == pytest.approx(1.959964, rel=1e-9)
        assert low <= right / of <= high


@pytest.mark.slow
def test_compare_reports_each_network(make_model: Callable[..., Model]) -> None:
    models = {"small": make_model("elman_tanh", 2, 4, head=3), "large": make_model("lstm", 2, 48, head=3)}
    xs = np.random.default_rng(0).standard_normal((100, 2)).astype(np.float32)
    said: list[str] = []
    small, large = compare(models, RecordingTask(xs, np.arange(100) // 40), progress=said.append)
    assert (small.name, large.name) == ("small", "large")
    assert (small.kinds, large.kinds) == ("Elman", "LSTM")
    assert large.nbytes == stored_bytes(models["large"])
    assert large.int8_bytes is not None
    assert large.nbytes / 4 < large.int8_bytes < large.nbytes / 3
    assert tuple(Stream(models["large"]).memory) == (large.weight_bytes, large.state_bytes)
    assert 0 < small.step_ns < large.step_ns  # 40 times more multiply-adds
    assert small.on_board is None
    assert said == ["scoring small", "scoring large", "timing"]
    assert isinstance(small.int8_score, Score)


def test_data_that_do_not_fit_the_task_are_refused(make_model: Callable[..., Model]) -> None:
    with pytest.raises(InputError, match="no texts, or a text with fewer than two symbols"):
        TextTask(AGAIN, ["x"])
    with pytest.raises(InputError, match="does not follow the grammar"):
        TextTask(AGAIN, ["xy"])
    texts = TextTask(AGAIN, TEXTS)
    with pytest.raises(UnsupportedError, match="compare got a model that reads 2 symbols and outputs 3"):
        texts.score(make_model("gru", 2, 4, head=3))
    other = Model([Elman(np.eye(3), np.zeros((3, 3))), Dense(np.eye(3))], vocabulary="abc")
    with pytest.raises(InputError, match="compare got the symbol 'x'"):
        texts.score(other)
    for samples, labels in ((0, 0), (3, 2)):
        with pytest.raises(InputError, match=f"got {samples} samples and {labels} labels"):
            RecordingTask(np.zeros((samples, 2), np.float32), np.zeros(labels, np.intp))
    recording = RecordingTask(np.zeros((4, 2), np.float32), np.array([0, 1, 2, 3]))
    with pytest.raises(InputError, match="has 2 channels"):
        recording.score(make_model("gru", 3, 4, head=3))
    with pytest.raises(InputError, match="labels from 0 to 3, expected indices of the 3 outputs"):
        recording.score(make_model("gru", 2, 4, head=3))
