"""``shrink``: bounds are kept, the result is the best within them, and the search can be stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import edge_rnn
from edge_rnn import Model, Stream, timing
from edge_rnn.cli.shrink.view import as_json, verdict
from edge_rnn.errors import InputError
from edge_rnn.quantization.search import shrink
from edge_rnn.quantization.trials import Shrunk, Trial, stored_bytes
from edge_rnn.timing import Chunks

FORMATS = ("int8", "rank:25%")
MORE = ("float16", "int8", "int4", "rank:25%", "sparse:0.5")


@pytest.fixture(scope="module")
def model(make_model: Callable[..., Model]) -> Model:
    return make_model("gru", 4, 24, activation="softmax", labels=("a", "b", "c", "d"))


@pytest.fixture(scope="module")
def xs() -> np.ndarray:
    """Slow and fast channels, as a sensor's."""
    rng = np.random.default_rng(0)
    return np.cumsum(rng.normal(0, 0.2, (800, 4)), axis=0).clip(-3, 3).astype(np.float32)


@pytest.fixture(scope="module")
def labels(model: Model, xs: np.ndarray) -> np.ndarray:
    """Labels by the network itself, with a tenth of them wrong."""
    given = Stream(model).run(xs).argmax(axis=1)
    given[::10] = (given[::10] + 1) % 4
    return given


@pytest.fixture(scope="module")
def found(model: Model, xs: np.ndarray, labels: np.ndarray) -> Shrunk:
    return shrink(model, xs, labels=labels, max_error=0.01, formats=FORMATS)


def error_of(model: Model, other: Model, xs: np.ndarray) -> float:
    rows = np.resize(xs, (10_000, 4))
    ours, theirs = (Stream(each).run(rows).astype(np.float64) for each in (model, other))
    return float(np.sqrt(np.square(theirs - ours).sum() / np.square(ours).sum()))


def test_the_bound_is_kept_and_measured(found: Shrunk, model: Model, xs: np.ndarray, labels: np.ndarray) -> None:
    best = found.best
    assert best.error <= 0.01
    assert best.error == pytest.approx(error_of(model, found.model, xs), rel=1e-6)
    assert best.accuracy == np.mean(Stream(found.model).run(xs).argmax(axis=1) == labels)
    assert best.nbytes == stored_bytes(found.model) < stored_bytes(model) / 2
    assert best.memory_bytes == Stream(found.model).memory.weights
    assert best.step_ns is not None
    assert best.baseline_ns is not None
    assert not found.stopped


def test_nothing_smaller_that_was_tried_keeps_the_bound(model: Model, xs: np.ndarray) -> None:
    found = shrink(model, xs, max_error=0.001, formats=FORMATS)
    kept = [trial for trial in found.trials if trial.error <= 0.001]
    assert found.best.nbytes == min(trial.nbytes for trial in kept)
    assert len(kept) < len(found.trials)


@pytest.mark.parametrize("formats", [FORMATS, pytest.param(MORE, marks=pytest.mark.slow)], ids=["some", "all"])
def test_every_matrix_was_tried_in_every_format_it_takes(
    formats: tuple[str, ...], found: Shrunk, model: Model, xs: np.ndarray
) -> None:
    if formats != FORMATS:
        found = shrink(model, xs, max_error=0.01, formats=formats)
    assert set(found.sensitivity) == {"gru1.weight_ih", "gru1.weight_hh", "dense2.weight"}
    assert {*formats} - {"rank:25%"} <= set(found.sensitivity["gru1.weight_hh"])
    assert any(format_.startswith("rank:") for format_ in found.sensitivity["gru1.weight_hh"])
    for name, own in found.sensitivity.items():
        for format_, trial in own.items():
            assert trial.formats[name] == format_
            assert {*trial.formats.values()} == {"float32", format_}
            assert trial.error > 0


def test_the_front_has_no_one_better(found: Shrunk) -> None:
    front = found.front
    assert found.best in front
    assert [trial.nbytes for trial in front] == sorted(trial.nbytes for trial in front)
    for one in front:
        for other in front:
            assert one is other or not (
                other.nbytes <= one.nbytes
                and other.error <= one.error
                and (other.speedup or 0) >= (one.speedup or 0)
                and (other.nbytes, other.error) != (one.nbytes, one.error)
            )


def test_the_first_trial_is_the_float32_model(found: Shrunk, model: Model) -> None:
    plain = found.trials[0]
    assert {*plain.formats.values()} == {"float32"}
    assert plain.error == 0
    assert plain.nbytes == stored_bytes(model)


def test_the_same_formats_each_time(found: Shrunk, model: Model, xs: np.ndarray, labels: np.ndarray) -> None:
    again = shrink(model, xs, labels=labels, max_error=0.01, formats=FORMATS)
    assert again.model.fingerprint == found.model.fingerprint
    assert [trial.formats for trial in again.trials] == [trial.formats for trial in found.trials]


def test_accuracy_may_be_the_bound(model: Model, xs: np.ndarray, labels: np.ndarray) -> None:
    found = shrink(model, xs, labels=labels, min_accuracy=0.87, formats=FORMATS)
    assert found.best.accuracy is not None
    assert found.best.accuracy >= 0.87
    assert found.best.nbytes < stored_bytes(model) / 3


def test_a_metric_may_be_the_bound(model: Model, xs: np.ndarray) -> None:
    expected = Stream(model).run(xs)

    def metric(ys: Any) -> float:
        return -float(np.abs(ys - expected).max())

    found = shrink(model, xs, metric=metric, min_accuracy=0.0, formats=FORMATS)
    assert {*found.best.formats.values()} == {"float32"}  # 0 is the best there is, of the model itself


def test_bytes_may_be_the_bound(model: Model, xs: np.ndarray) -> None:
    limit = stored_bytes(model) // 3
    found = shrink(model, xs, max_bytes=limit, formats=FORMATS)
    within = [trial for trial in found.trials if trial.nbytes <= limit]
    assert found.best.error == min(trial.error for trial in within)
    with pytest.raises(InputError, match="no formats that keep the bound: float32 takes"):
        shrink(model, xs, max_bytes=100, formats=("int8",))


def test_speed_may_be_preferred(model: Model, xs: np.ndarray) -> None:
    found = shrink(model, xs, max_error=0.05, formats=FORMATS, prefer="speed")
    timed = [trial.speedup for trial in found.trials if trial.speedup and trial.error <= 0.05]
    assert found.best.speedup == max(timed)


def test_times_of_a_machine_that_slows_down_use_one_float32_time(
    model: Model, xs: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each timing finds the machine slower than the one before; int8 always takes half as long as float32."""
    moments = iter(range(1, 100))
    calls: list[int] = []

    def slowing(makes: dict[str, Any], **_: Any) -> dict[str, Any]:
        float32 = 100.0 * next(moments)
        calls.append(len(makes))
        return {name: Chunks(float32 / (2 if name == "this" else 1), 0.0, 1, 1, 1) for name in makes}

    monkeypatch.setattr(timing, "time_chunks", slowing)
    found = shrink(model, xs, max_error=0.05, formats=("int8",))
    timed = [trial for trial in found.trials if trial.step_ns is not None]
    assert calls.count(1) == 1  # float32 itself
    assert len(timed) > 2
    assert {(trial.step_ns, trial.baseline_ns) for trial in timed[1:]} == {(50.0, 100.0)}
    assert (timed[0].step_ns, timed[0].baseline_ns, timed[0].speedup) == (100.0, 100.0, 1.0)
    told = as_json(found, {}, None)["trials"]
    assert {each["float32_ns"] for each in told if each["float32_ns"]} == {100.0}
    assert verdict(found)[-1] == "Speed-up: 2.00 (50 ns per step, against 100 ns)."


def test_progress_is_reported_and_a_stop_keeps_the_best(model: Model, xs: np.ndarray) -> None:
    seen: list[tuple[str, int, int]] = []
    shrink(model, xs, max_error=0.05, formats=("int8",), progress=lambda *each: seen.append(each))
    assert all(1 <= done <= of for _, done, of in seen)
    assert {what for what, _, _ in seen} >= {"gru1.weight_ih as int8", "formats together", "timing"}

    def stop(what: str, done: int, of: int) -> None:
        if what == "formats together":
            raise KeyboardInterrupt

    stopped = shrink(model, xs, max_error=0.05, formats=FORMATS, progress=stop)
    assert stopped.stopped
    assert stopped.best.error <= 0.05
    assert stopped.best.nbytes < stored_bytes(model)
    assert stopped.model.fingerprint != model.fingerprint

    def at_once(what: str, done: int, of: int) -> None:
        raise KeyboardInterrupt

    early = shrink(model, xs, max_bytes=100, formats=FORMATS, progress=at_once)
    assert early.stopped
    assert isinstance(early.best, Trial)


REFUSED: list[tuple[str, Callable[[Model, Any], Any], str]] = [
    ("no model", lambda m, x: shrink("m", x, max_error=1), "shrink got str, expected a Model"),  # type: ignore[arg-type]
    ("no bound", lambda m, x: shrink(m, x), "shrink got no bound"),
    ("negative", lambda m, x: shrink(m, x, max_error=-1), "max_error got -1, expected a number, zero or more"),
    ("nan", lambda m, x: shrink(m, x, max_error=float("nan")), "max_error got nan"),
    ("no labels", lambda m, x: shrink(m, x, min_accuracy=0.9), "min_accuracy, but neither labels nor a metric"),
    (
        "both",
        lambda m, x: shrink(m, x, min_accuracy=0.9, labels=np.zeros(800, int), metric=np.sum),  # type: ignore[arg-type]
        "labels and a metric, expected one",
    ),
    ("labels", lambda m, x: shrink(m, x, min_accuracy=0.9, labels=np.zeros(9, int)), "(9,), expected (800,) int"),
    ("label", lambda m, x: shrink(m, x, min_accuracy=0.9, labels=np.full(800, 4)), "from 4 to 4, expected 0 to 3"),
    ("quantized", lambda m, x: shrink(edge_rnn.quantize(m, "int8"), x, max_error=1), "quantized matrices"),
    ("format", lambda m, x: shrink(m, x, max_error=1, formats=("int9",)), "got the format 'int9'"),
    ("formats", lambda m, x: shrink(m, x, max_error=1, formats="int8"), "formats 'int8', expected a sequence"),
    ("recording", lambda m, x: shrink(m, x[:, :2], max_error=1), "shape (800, 2), expected (time, 4)"),
    ("empty", lambda m, x: shrink(m, x[:0], max_error=1), "calibration got no samples"),
]


@pytest.mark.parametrize(("call", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(model: Model, xs: np.ndarray, call: Callable[[Model, Any], Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        call(model, xs)
    assert message in str(caught.value)
