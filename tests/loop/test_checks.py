"""Checks of a source against the model, and resampling between rates."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn import Dense, Model, Standardize, Stream, data_path, load
from edge_rnn.errors import InputError, SampleWarning
from edge_rnn.frontend import Resample
from edge_rnn.loop import SensorLoop, Timed, sinks, sources
from edge_rnn.recordings.range_watch import RangeMonitor
from edge_rnn.recordings.resampling import Resampling

UNIT = Model([Dense([[1.0]], [0.0])], sample_rate_hz=10, input_names=("level",), input_units=("m/s^2",))


def played(rows: Any, **known: Any) -> sources.Call:
    each = iter(rows)
    return sources.Call(lambda: next(each, None), live=False, **known)


def run(source: Any, model: Model = UNIT, **options: Any) -> tuple[list[float], list[float]]:
    """Outputs of a loop, and their times."""
    ys: list[float] = []
    times: list[float] = []

    def keep(y: np.ndarray, t_s: float) -> None:
        ys.append(float(y[0]))
        times.append(t_s)

    SensorLoop(Stream(model), source, sinks.Call(keep), **options).run()
    return ys, times


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (lambda: played([[1.0]] * 3, sample_rate_hz=50), {}),
        (lambda: played([[1.0]] * 3), {"rate_hz": 50}),
        (lambda: sources.Call(lambda: [1.0]), {"rate_hz": 50}),
        (lambda: sources.Call(lambda: [1.0], blocks=True, sample_rate_hz=50), {}),
        (lambda: played([[1.0]] * 3, units=("g",)), {}),
        (lambda: played(Timed([1.0], t / 50) for t in range(40)), {}),
        (lambda: played(Timed([1.0], t / 50) for t in range(5)), {}),
    ],
)
def test_another_rate_or_unit_is_a_warning_or_an_error(source: Callable[[], Any], options: dict) -> None:
    with pytest.warns(SampleWarning, match=r"is 50 Hz, but the model is for 10 Hz|level in g, but the model reads m/s"):
        made_and_run(source(), options)
    with pytest.raises(InputError, match=r"any_rate=True|g, but"):
        made_and_run(source(), options | {"on_mismatch": "raise"})


def made_and_run(source: Any, options: dict) -> None:
    made = SensorLoop(Stream(UNIT), source, sinks.Call(lambda y, t_s: None), **options)
    if not source.live:  # a live one would not end
        made.run()


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (lambda: played([[1.0]] * 3, sample_rate_hz=10.3, units=("m/s²",)), {}),
        (lambda: played([[1.0]] * 3, sample_rate_hz=50), {"any_rate": True}),
        (lambda: played([[1.0]] * 3, sample_rate_hz=10), {"rate_hz": 5000}),  # how fast it is played
        (lambda: played((Timed([1.0], t / 10 + 0.02 * (t % 2)) for t in range(40)), units=("paces",)), {}),
    ],
)
def test_what_fits_is_taken_without_a_word(source: Callable[[], Any], options: dict) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(run(source(), **options)[0]) == {1.0}


def test_times_in_another_unit_are_named() -> None:
    with pytest.raises(InputError, match=r"it would match if times are in ms: \?time=COLUMN,ms"):
        run(played(Timed([1.0], 100.0 * t) for t in range(40)), on_mismatch="raise")


@pytest.mark.parametrize(("up", "down"), [(1, 5), (3, 2), (7, 10), (160, 441)])
def test_resampled_outputs_are_of_their_times(up: int, down: int) -> None:
    """Against the filter alone: the same values, each with the time that it belongs to."""
    rate_in, rate_out = float(down), float(up)
    n = 40 * max(down // up, 1)
    t = np.arange(n) / rate_in
    xs = np.sin(2 * np.pi * 0.05 * min(up, down) * t).astype(np.float32)
    made = Resampling(rate_in, rate_out, 1)
    pairs = [(float(y[0]), at) for x, s in zip(xs, t, strict=True) for y, at in made.push(np.array([x]), s)]
    pairs += [(float(y[0]), at) for y, at in made.end()]
    times = np.array([at for _, at in pairs])
    np.testing.assert_allclose(times, np.arange(len(times)) / rate_out, rtol=0, atol=1e-9)
    assert len(times) == (n - 1) * up // down + 1
    truth = np.sin(2 * np.pi * 0.05 * min(up, down) * times)
    inner = slice(len(times) // 4, -len(times) // 4)  # the ends are held, not known
    alone = Resample(rate_in, rate_out)
    np.testing.assert_allclose(np.array([y for y, _ in pairs])[inner], truth[inner], rtol=0, atol=2e-3)
    assert (alone.up, alone.down) == (up, down)


def test_constant_stays_what_it_is_from_the_first_output_on() -> None:
    ys, _ = run(played([[9.81]] * 100, sample_rate_hz=50), resample=True)
    assert len(ys) == 20
    np.testing.assert_allclose(ys, 9.81, rtol=2e-3)


@pytest.mark.parametrize("known", [True, False])
def test_loop_resamples_with_the_recordings_times(known: bool) -> None:
    rows = [Timed([float(t)], 1000 + t / 50) for t in range(200)]
    source = played(rows, **({"sample_rate_hz": 50} if known else {}))
    ys, times = run(source, resample=True)
    np.testing.assert_allclose(times, 1000 + np.arange(40) / 10, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ys[8:-8], 5.0 * np.arange(40)[8:-8], rtol=0, atol=0.1)  # a ramp is of its time


def test_paced_loop_reads_at_its_rate_and_steps_at_the_models() -> None:
    count = iter(range(100))
    source = sources.Call(lambda: (lambda i: None if i is None else [1.0])(next(count, None)))
    ys, _ = run(source, rate_hz=5000, resample=True, model=Model([Dense([[1.0]])], sample_rate_hz=1000))
    assert len(ys) == 20


def test_resampling_starts_again_after_a_gap() -> None:
    rows = chain((Timed([1.0], t / 50) for t in range(100)), (Timed([5.0], 60 + t / 50) for t in range(100)))
    ys, times = run(played(rows, sample_rate_hz=50), resample=True, reset_after_s=5)
    after = [y for y, t in zip(ys, times, strict=True) if t >= 60]
    np.testing.assert_allclose(after, 5.0, rtol=2e-3)
    assert times == sorted(times)


def test_nothing_to_resample_by_is_an_error() -> None:
    with pytest.raises(InputError, match="give the source \\?rate=HZ or \\?time=COLUMN"):
        run(played([[1.0]] * 30), resample=True)
    with pytest.raises(InputError, match="model with a sample rate"):
        run(played([[1.0]]), model=Model([Dense([[1.0]])]), resample=True)
    with pytest.raises(InputError, match="do not increase"):
        run(played(Timed([1.0], 3.0) for _ in range(600)), resample=True)


# Range


def watch() -> tuple[Model, np.ndarray]:
    folder = data_path("smart_watch")
    return load(folder / "gru.safetensors"), np.load(folder / "recording.npz")["x"]


def said(model: Model, xs: np.ndarray) -> list[str]:
    monitor = RangeMonitor(model)
    found = [monitor.add(x) for x in xs if monitor.active]
    return [each for each in [*found, monitor.finish()] if each]


def test_range_is_reported_once_and_never_for_typical_input() -> None:
    model, xs = watch()
    assert said(model, xs) == []
    assert said(model, xs[:200] * 0) == []
    for begin in range(0, len(xs), 100):  # each recording alone
        assert said(model, np.tile(xs[begin : begin + 100], (3, 1))) == [], begin
    swapped = said(model, xs[:, [3, 4, 5, 0, 1, 2]])
    assert len(swapped) == 1
    assert "samples of gyro_" in swapped[0]
    assert "rad/s, the range of the training data" in swapped[0]
    gravity = said(model, xs + np.array([0, 0, 9.81, 0, 0, 0], np.float32))
    assert "samples of accel_z" in gravity[0]
    assert "samples of gyro_" in said(model, xs * np.array([1, 1, 1, 57.3, 57.3, 57.3], np.float32))[0]


def test_loop_warns_of_the_range() -> None:
    model = Model([Standardize([5.0], [2.0]), Dense([[1.0]])], input_names=("level",))
    with pytest.warns(SampleWarning, match=r"100% of 512 samples of level are outside -1 to 11, the range"):
        run(played([[12.0]] * 600), model=model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(played([[10.0]] * 600), model=model)


# Files that are followed


def test_followed_file_is_read_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("# by me\nb,n,a\n8,0,9\n7,0")
    source = sources.Lines(path, 2, ("a", "b"), follow=True)
    source._fetch()  # opens it
    with path.open("a") as file:  # the end of a line that had begun before we looked
        file.write(",6\n")
    assert source.read() == [6, 7]
    path.rename(tmp_path / "log.1")
    path.write_text("a,b\n1,2\n")
    assert source.read() == [1, 2]
    source.close()


def test_followed_file_of_other_columns_ends_the_loop(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("x,y\n1,2\n")
    model = Model([Dense([[1.0, 1.0]])], input_names=("a", "b"))
    for source in (sources.Lines(path, 2, ("a", "b"), follow=True), sources.Lines(path, 2, ("a", "b"))):
        with pytest.raises(InputError, match=r"log.csv, line 1: its header has the columns x, y, but the model reads"):
            run(source, model=model)
