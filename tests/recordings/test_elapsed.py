"""The time since the last sample in recordings: filled in from times, rates, or refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn import Dense, Model, Standardize, save
from edge_rnn.cli import main
from edge_rnn.errors import FileError, InputError
from edge_rnn.recordings.elapsed import Elapsed, measured, measured_size
from edge_rnn.recordings.files import read_recording
from edge_rnn.recordings.range_watch import RangeMonitor
from edge_rnn.recordings.sample_lines import HeaderError, LineError, LineParser

NAMES = ("ax", "elapsed", "ay")
TIMES = [10.0, 10.5, 12.0, 12.25]
AX, AY = [1.0, 2.0, 3.0, 4.0], [-1.0, -2.0, -3.0, -4.0]
SINCE = [1.0, 0.5, 1.5, 0.25]  # the first for want of a rate


def model(**more: Any) -> Model:
    return Model([Dense(np.eye(3))], **{"input_names": NAMES, **more})


def parsed(text: str, parse: LineParser) -> list[list[float]]:
    found = (parse(line.encode()) for line in text.splitlines())
    return [values for values in found if values is not None]


def csv_of(*columns: tuple[str, list[Any]]) -> str:
    rows = [",".join(map(str, row)) for row in zip(*(values for _, values in columns), strict=True)]
    return "\n".join([",".join(name for name, _ in columns), *rows]) + "\n"


def file_of(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


# ---- the time itself


def test_time_is_that_since_the_sample_that_was_kept() -> None:
    elapsed, x = Elapsed(0), np.full(1, np.nan, np.float32)
    found = []
    for t_s, keeps in ((5.0, True), (5.5, True), (7.0, False), (7.25, True)):
        x[0] = math.nan
        elapsed.fill(x, t_s)
        found.append(float(x[0]))
        if keeps:
            elapsed.keep(t_s)
    assert found == [1.0, 0.5, 1.5, 1.75]
    elapsed.restart()
    assert elapsed.since(8.0) == 1.0


def test_times_that_stand_or_go_back() -> None:
    elapsed = Elapsed(0, rate_hz=50)
    elapsed.keep(5.0)
    assert elapsed.since(5.0) == 1e-6
    assert elapsed.since(4.0) == 1 / 50
    elapsed.pass_s(0.5)  # a step without a sample, half a second later by the clock
    assert elapsed.since(5.75) == 0.25
    assert elapsed.since(5.25) == 1e-6
    assert elapsed.since(4.75) == 1 / 50


@pytest.mark.parametrize(("unit", "parts"), [("", 1), ("s", 1), ("ms", 1e3), ("µs", 1e6), ("ns", 1e9)])
def test_time_is_in_the_models_unit(unit: str, parts: float) -> None:
    elapsed = Elapsed.of(model(input_units=("g", unit, "g")))
    assert elapsed is not None
    elapsed.keep(1.0)
    x = np.array([0, np.nan, 0], np.float32)
    elapsed.fill(x, 1.5)
    np.testing.assert_allclose(x[1], 0.5 * parts)


def test_other_models_have_none() -> None:
    assert Elapsed.of(Model([Dense(np.eye(3))], input_names=("a", "b", "c"))) is None
    assert measured(model(), NAMES) == ("ax", "ay")
    assert measured_size(model()) == 2
    assert measured_size(Model([Dense(np.eye(3))])) == 3
    with pytest.raises(InputError, match="the model reads elapsed in min, expected one of the units s, ms, us, ns"):
        Elapsed.of(model(input_units=("", "min", "")))


def test_first_sample_has_the_models_period_or_that_of_the_recording() -> None:
    firsts = [Elapsed.of(each, rate_hz) for each in (model(sample_rate_hz=50), model()) for rate_hz in (None, 20.0)]
    assert [each.first_s for each in firsts if each is not None] == [1 / 50, 1 / 50, 1.0, 1 / 20]


# ---- lines


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("ax,ay\n1,3\n", {}),
        ("t_s,ay,ax\n0,3,1\n", {}),
        ("ay,ax,more\n3,1,9\n", {}),
        ("1,3\n", {}),
        ("7,1,3\n", {"time": "1"}),
        ("9,1,3\n", {"columns": ("2", "3")}),
        ("u,v\n1,3\n", {"columns": ("u", "v")}),
        ("[1, 3]\n", {}),
        ('{"ax": 1, "ay": 3}\n', {}),
        ('{"x": [1, 3], "t": 5}\n', {}),
        ('{"u": 1, "v": 3}\n', {"columns": ("u", "v")}),
    ],
)
def test_lines_may_lack_the_time_since_the_last(text: str, options: dict[str, Any]) -> None:
    np.testing.assert_array_equal(parsed(text, LineParser(3, NAMES, **options)), [[1, np.nan, 3]])


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("ax,ay,elapsed\n1,3,2\n", {}),
        ("ax [g],ay [g],elapsed [s]\n1,3,2\n", {"units": ("g", "s", "g")}),
        ("1,2,3\n", {}),
        ("u,w,v\n1,2,3\n", {"columns": ("u", "w", "v")}),
        ("[1, 2, 3]\n", {}),
        ('{"ax": 1, "ay": 3, "elapsed": 2}\n', {}),
    ],
)
def test_lines_that_have_it_are_taken_as_they_are(text: str, options: dict[str, Any]) -> None:
    assert parsed(text, LineParser(3, NAMES, **options)) == [[1, 2, 3]]


def test_other_columns_are_needed_all_the_same() -> None:
    with pytest.raises(HeaderError, match="but the model reads ax, ay: ay missing"):
        parsed("ax,az\n1,3\n", LineParser(3, NAMES))
    with pytest.raises(LineError, match="it has 1 values, expected 3"):
        parsed("1\n", LineParser(3, NAMES))
    with pytest.raises(InputError, match="has 1, but the model reads 3"):
        LineParser(3, NAMES, columns=("u",))
    with pytest.raises(HeaderError, match="ax in m/s2, but the model reads g"):
        parsed("ax [m/s2],ay [g]\n1,3\n", LineParser(3, NAMES, units=("g", "s", "g")))


# ---- recordings


@pytest.mark.parametrize("with_column", [False, True])
def test_recording_of_lines_gets_it_from_the_times(with_column: bool, tmp_path: Path) -> None:
    own = [("elapsed", [7, 8, "", 9])] if with_column else []
    path = file_of(tmp_path / "walk.csv", csv_of(("t_s", TIMES), ("ay", AY), *own, ("ax", AX)))
    found = read_recording(path, model())
    np.testing.assert_array_equal(found.xs[:, [0, 2]], np.transpose([AX, AY]))
    np.testing.assert_array_equal(found.xs[:, 1], [7, 8, 1.5, 9] if with_column else SINCE)


def test_archive_gets_it_from_times_or_the_rate(tmp_path: Path) -> None:
    path, x = tmp_path / "walk.npz", np.transpose([AX, AY])
    np.savez(path, x=x, t_s=TIMES, y=[0, 1, 2, 0])
    found = read_recording(path, model())
    np.testing.assert_array_equal(found.xs, np.transpose([AX, SINCE, AY]))
    np.testing.assert_array_equal(found.labels, [0, 1, 2, 0])
    np.savez(path, x=x, sample_rate_hz=20.0)
    np.testing.assert_allclose(read_recording(path, model()).xs[:, 1], 1 / 20)
    np.savez(path, x=x, t_s=TIMES[:3])
    with pytest.raises(FileError, match=r"has t_s of shape \(3,\), expected \(4,\), a time for each sample"):
        read_recording(path, model())


def test_rate_of_an_archive_is_measured_from_its_times(tmp_path: Path) -> None:
    path = tmp_path / "walk.npz"
    np.savez(path, x=np.zeros((40, 2)), t_s=np.arange(40) / 50)
    assert read_recording(path, model()).sample_rate_hz == pytest.approx(50)
    with pytest.raises(FileError, match="is 50 Hz, but the model is for 10 Hz"):
        read_recording(path, model(sample_rate_hz=10))


def test_resampled_recording_has_the_models_period(tmp_path: Path) -> None:
    path = tmp_path / "walk.npz"
    np.savez(path, x=np.ones((100, 2)), sample_rate_hz=50.0)
    found = read_recording(path, model(sample_rate_hz=10), resample=True)
    assert len(found.xs) == 20
    np.testing.assert_allclose(found.xs[:, 1], 0.1)
    np.testing.assert_allclose(found.xs[:, [0, 2]], 1, rtol=2e-3)


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".npy"])
def test_recording_without_times_is_refused(suffix: str, tmp_path: Path) -> None:
    path, x = tmp_path / f"walk{suffix}", np.transpose([AX, AY])
    if suffix == ".csv":
        file_of(path, csv_of(("ax", AX), ("ay", AY)))
    else:
        (np.savez(path, x=x) if suffix == ".npz" else np.save(path, x))
    with pytest.raises(FileError, match=r"sample 1: elapsed is missing, and there are no times .*--time COLUMN"):
        read_recording(path, model())


# ---- run


def ran(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, *options: str, **about: Any) -> Any:
    save(model(**about), tmp_path / "m.safetensors")
    path = file_of(tmp_path / "walk.csv", text)
    code = main(["run", str(tmp_path / "m.safetensors"), str(path), "--output", "json", *options])
    shown = capsys.readouterr()
    return code, [json.loads(line)["y"] for line in shown.out.splitlines()], shown.err


def test_run_fills_it_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, ys, _ = ran(tmp_path, capsys, csv_of(("t_s", TIMES), ("ax", AX), ("ay", AY)))
    assert code == 0
    np.testing.assert_allclose(ys, np.transpose([AX, SINCE, AY]))


def test_run_spans_lines_that_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = csv_of(("t_s", TIMES), ("ax", [1.0, "oh", 3.0, 4.0]), ("ay", AY))
    code, ys, _ = ran(tmp_path, capsys, rows, "--on-bad", "skip", "--any-rate", sample_rate_hz=4)
    assert code == 0
    assert [y[1] for y in ys] == [0.25, 2.0, 0.25]
    rows = csv_of(("t_s", TIMES), ("ax", [1.0, "", 3.0, 4.0]), ("ay", AY))
    for policy, since in (("skip", [0.25, 0.25, 2.0, 0.25]), ("hold", [0.25, 0.5, 1.5, 0.25])):
        _, ys, _ = ran(tmp_path, capsys, rows, "--on-nonfinite", policy, "--any-rate", sample_rate_hz=4)
        assert [y[1] for y in ys] == since, policy


def test_run_without_times_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, ys, err = ran(tmp_path, capsys, csv_of(("ax", AX), ("ay", AY)))
    assert (code, ys) == (1, [])
    assert "walk.csv, line 2: elapsed is missing, and there are no times to compute it from; name the column" in err


def test_times_are_out_of_no_range() -> None:
    scaled = Model([Standardize([0, 0, 0], [1, 1, 1])], input_names=NAMES)
    monitor = RangeMonitor(scaled)
    for _ in range(600):
        assert monitor.add(np.array([0, 60, 0], np.float32)) == ""
    assert monitor.finish() == ""
    monitor = RangeMonitor(Model([Standardize([0, 0, 0], [1, 1, 1])], input_names=("ax", "late", "ay")))
    assert any(monitor.add(np.array([0, 60, 0], np.float32)) for _ in range(512))
