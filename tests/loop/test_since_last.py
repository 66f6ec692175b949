"""The time since the last sample in a loop: by times, rates, the clock, or refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn import Dense, Elman, Model, Stream
from edge_rnn.errors import InputError
from edge_rnn.loop import Timed
from edge_rnn.loop.schemes import open_source
from loop_fakes import FakeClock, Kept, Script, loop

NAMES = ("level", "elapsed")


def network(**about: Any) -> Stream:
    """Stream whose second output is the time since the last sample."""
    options = {key: about.pop(key) for key in ("on_nonfinite",) if key in about}
    return Stream(Model([Dense(np.eye(2))], **{"input_names": NAMES, **about}), **options)


def times_of(
    items: Any,
    *,
    about: dict[str, Any] | None = None,
    source: dict[str, Any] | None = None,
    clock: FakeClock | None = None,
    **options: Any,
) -> list[float]:
    """Times since the last sample that the network got."""
    script, kept = Script(items, live=options.pop("live", False)), Kept()
    for name, value in (source or {}).items():
        setattr(script, name, value)
    loop(script, kept, network=network(**(about or {})), clock=clock or FakeClock(), **options).run()
    return [round(float(y[1]), 6) for y in kept.ys]


def timed(*times: float) -> list[Timed]:
    return [Timed([1.0], t_s) for t_s in times]


def test_times_of_the_source_count() -> None:
    assert times_of(timed(100, 100.5, 102, 102.25)) == [1.0, 0.5, 1.5, 0.25]
    assert times_of(timed(100, 100.5, 102), about={"sample_rate_hz": 4}, any_rate=True) == [0.25, 0.5, 1.5]


def test_value_of_the_source_is_taken_as_it_is() -> None:
    rows = [Timed([1.0, 7.0], 0.0), Timed([1.0, math.nan], 0.5), Timed([1.0, 9.0], 2.0), Timed([1.0], 2.25)]
    assert times_of(rows) == [7.0, 0.5, 9.0, 0.25]


def test_stated_rate_counts_where_there_are_no_times() -> None:
    assert times_of([[1.0]] * 3, source={"sample_rate_hz": 20.0}) == [0.05] * 3
    assert times_of([[1.0]] * 3, rate_hz=20.0) == [0.05] * 3
    assert times_of([[1.0]] * 3, live=True, source={"sample_rate_hz": 20.0}, rate_hz=5.0) == [0.05] * 3


def test_gap_of_a_source_with_a_stated_rate_counts() -> None:
    clock = FakeClock()
    items = [[1.0], [1.0], lambda: clock.pass_s(100), [1.0], [1.0]]
    found = times_of(items, live=True, source={"sample_rate_hz": 20.0}, rate_hz=20.0, clock=clock)
    np.testing.assert_allclose(found, [0.05, 0.05, 100, 0.05], atol=0.06)


def test_clock_counts_for_a_live_source_without_rate() -> None:
    clock = FakeClock()
    items = [[1.0], lambda: clock.pass_s(0.25), [1.0], lambda: clock.pass_s(3), [1.0]]
    assert times_of(items, live=True, rate_hz=10.0, clock=clock)[0] == 0.1
    assert times_of(iter([[1.0]] * 4), live=True, rate_hz=8.0) == [0.125] * 4
    clock = FakeClock()
    items = [[1.0], lambda: clock.pass_s(0.25), [1.0], lambda: clock.pass_s(3), [1.0]]
    later = times_of(items, live=True, rate_hz=1000.0, clock=clock)[1:]
    np.testing.assert_allclose(later, [0.25, 3.0], atol=2e-3)


def test_recording_without_times_ends_the_loop_with_what_to_do() -> None:
    with pytest.raises(InputError, match=r"elapsed is missing, .*\?time=COLUMN\), state the rate \(\?rate=HZ"):
        times_of([[1.0]] * 3)


def test_sample_of_another_length_is_bad() -> None:
    rows = [Timed([1.0], 0.0), Timed([1.0, 2.0, 3.0], 1.0), Timed([], 2.0), Timed([1.0], 5.0)]
    assert times_of(rows) == [1.0, 5.0]


def test_times_span_samples_that_make_no_step() -> None:
    rows = [Timed([1.0], 0.0), Timed([math.nan], 1.0), Timed([1.0], 2.5), Timed(["x"], 3.0), Timed([1.0], 4.0)]
    assert times_of(rows, about={"on_nonfinite": "raise"}) == [1.0, 2.5, 1.5]
    assert times_of(rows, about={"on_nonfinite": "skip"}) == [1.0, 1.0, 2.5, 1.5]  # the second is a repeated result
    assert times_of(rows, about={"on_nonfinite": "hold"}) == [1.0, 1.0, 1.5, 1.5]


def test_time_that_is_missing_is_one_period_after_the_last() -> None:
    rows = [Timed([1.0], 10.0), Timed([1.0], math.nan), Timed([1.0], 12.0)]
    assert times_of(rows, about={"sample_rate_hz": 2}, any_rate=True) == [0.5, 0.5, 1.5]
    assert times_of([Timed([1.0], 10.0), Timed([1.0], 4.0), Timed([1.0], 4.25)]) == [1.0, 1.0, 0.25]


def test_held_ticks_share_the_time_of_the_next_sample() -> None:
    """Ticks at 4 Hz, no sample at two of them: the clock goes on, and nothing counts twice."""
    clock = FakeClock()
    items = [Timed([1.0], 50.0), OSError("gone"), Timed([1.0], 51.0), Timed([1.0], 51.25)]
    found = times_of(items, live=True, rate_hz=4.0, policy="hold", clock=clock, about={"sample_rate_hz": 4})
    assert found[0] == 0.25
    total = sum(found[1:])
    np.testing.assert_allclose(total, 1.25, atol=0.06)
    assert all(0 < each <= 1.0 for each in found)


def test_bad_sample_that_is_held_takes_one_period_of_a_recording() -> None:
    rows = [Timed([1.0], 0.0), Timed(["x"], 0.5), Timed([1.0], 2.0)]
    assert times_of(rows, on_bad="hold", about={"sample_rate_hz": 2}, any_rate=True) == [0.5, 0.5, 1.5]


def test_long_pause_counts_unless_it_resets_the_state() -> None:
    rows = timed(0, 1, 60, 61)
    assert times_of(rows) == [1.0, 1.0, 59.0, 1.0]
    assert times_of(rows, reset_after_s=5.0) == [1.0, 1.0, 1.0, 1.0]


def test_resampled_samples_are_one_period_apart() -> None:
    rows = [Timed([1.0], t / 50) for t in range(100)]
    found = times_of(rows, about={"sample_rate_hz": 10}, resample=True)
    assert found == [0.1] * 20
    rows += [Timed([1.0], 100 + t / 50) for t in range(100)]
    found = times_of(rows, about={"sample_rate_hz": 10}, resample=True)
    assert max(found) == pytest.approx(98, abs=0.1)
    assert sorted(found)[-2] == 0.1
    found = times_of(rows, about={"sample_rate_hz": 50}, resample=True)  # nothing to resample
    assert sorted(found)[:-1] == [0.02] * 199


@pytest.mark.parametrize("resets", [False, True])
def test_restart_counts_from_the_snapshot(resets: bool, tmp_path: Path) -> None:
    clock = FakeClock()

    def stream() -> Stream:
        """h = x: the state is the time since the last sample."""
        return Stream(Model([Elman([[0.0, 0.01]], [[0.0]])], input_names=NAMES, sample_rate_hz=4))

    options: dict[str, Any] = {"snapshot": tmp_path / "s", "clock": clock, "any_rate": True}
    loop(Script([[1.0], [1.0]], live=True), Kept(), 4.0, network=stream(), **options).run()
    clock.pass_s(30)
    kept = Kept()
    more = {"reset_after_s": 10.0} if resets else {}
    loop(Script([[1.0], [1.0]], live=True), kept, 4.0, network=stream(), **options, **more).run()
    found = [math.atanh(float(y[0])) * 100 for y in kept.ys]
    np.testing.assert_allclose(found, [0.25 if resets else 30.0, 0.25], rtol=0.02)


def test_units_of_a_source_are_of_the_channels_that_it_measures() -> None:
    about = {"input_names": ("elapsed", "level"), "input_units": ("s", "m/s^2")}
    script = Script(timed(0, 1))
    script.units = ("g",)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="gives level in g, but the model reads m/s"):
        loop(script, Kept(), network=network(**about), on_mismatch="raise")
    script = Script([Timed([5.0], 0.0), Timed([6.0], 2.0)])
    script.units = ("m/s²",)  # type: ignore[attr-defined]
    kept = Kept()
    loop(script, kept, network=network(**about), on_mismatch="raise").run()
    np.testing.assert_array_equal(kept.ys, [[1.0, 5.0], [2.0, 6.0]])


@pytest.mark.parametrize(
    ("scheme", "text"),
    [("csv", "t_s,level\n0,5\n2,6\n"), ("jsonl", '{"t_s": 0, "level": 5}\n{"t_s": 2, "level": 6}\n')],
)
def test_lines_in_a_loop_need_no_column(scheme: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "walk").write_text(text, encoding="utf-8")
    stream, kept = network(), Kept()
    loop(open_source(f"{scheme}:{tmp_path / 'walk'}", stream.model), kept, network=stream).run()
    np.testing.assert_array_equal(kept.ys, [[5.0, 1.0], [6.0, 2.0]])


def test_sources_of_sensors_deliver_all_but_the_time(tmp_path: Path) -> None:
    model = Model([Dense(np.eye(3))], input_names=("cpu", "elapsed", "load"))
    source = open_source("proc:cpu,load", model)
    source = source() if callable(source) else source
    assert len(source.read()) == 2  # type: ignore[arg-type]
    with pytest.raises(InputError, match="but the model reads 2 values"):
        open_source("proc:cpu,memory,load", model)
    seven = Model([Dense(np.eye(7))], input_names=(*"abcdef", "elapsed"))
    assert callable(open_source("mpu6050:1", seven))
    with pytest.raises(InputError, match="provides 6 values, but the model reads 5"):
        open_source("mpu6050:1", Model([Dense(np.eye(6))], input_names=(*"abcde", "elapsed")))


def test_thread_that_reads_delivers_all_but_the_time() -> None:
    script, kept = Script(timed(3, 3.5, 5), blocks=True), Kept()
    loop(script, kept, network=network(), clock=None).run()
    assert [float(y[1]) for y in kept.ys] == [1.0, 0.5, 1.5]
