"""Columns, times and rates of lines: found by name, distinguished, or refused with a message."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_rnn.errors import InputError
from edge_rnn.recordings.rate import RateMeter, check_rate, same_rate
from edge_rnn.recordings.sample_lines import HeaderError, LineError, LineParser
from edge_rnn.recordings.times import TimeReader, names_a_time, spell_seconds, unit_of_name
from edge_rnn.recordings.units import unit_of

NAMES = ("hip", "knee")


def parsed(text: str, parse: LineParser) -> list[list[float]]:
    found = (parse(line.encode()) for line in text.splitlines())
    return [values for values in found if values is not None]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("knee,hip\n2,1\n", {}),
        ("n;knee;toe;hip;\n9;2;9;1;\n", {}),
        ("# by me\n\n#knee hip\n2 1\n", {}),
        (",Hip,KNEE\n0,1,2\n", {}),
        ("hip [deg/s],knee (°/s)\n1,2\n", {"units": ("°/s", "°/s")}),
        ("hip_dps,knee_dps\n1,2\n", {"units": ("°/s", "rad")}),
        ("\ufeff'a',b,c\r\n1,2,0\r\n", {"columns": ("'a'", "b")}),
        ("2,9,1\n", {"columns": ("3", "1")}),
        ("a,b,c\n2,9,1\n", {"columns": ("3", "1")}),
        ("9,1,2,\n", {"time": "1"}),
        ('{"knee": 2, "HIP": 1, "more": "x"}\n', {}),
        ('{"k": 2, "h": 1}\n', {"columns": ("h", "k")}),
        ('{"x": [1, 2], "at": 7}\n', {"time": "at"}),
        ("# a log\n[1, 2]\n", {}),
        ("sep=;\nknee;hip\n2;1\n", {}),
    ],
)
def test_columns_are_found_by_name_in_any_order(text: str, options: dict) -> None:
    assert parsed(text, LineParser(2, NAMES, **options)) == [[1, 2]]


@pytest.mark.parametrize(
    ("text", "words", "options"),
    [
        ("toe,heel\n1,2\n", "columns toe, heel, but the model reads hip, knee: hip, knee missing", {}),
        ("hip,toe\n1,2\n", "knee missing; columns=NAME,NAME", {}),
        ("hip,hip,knee\n1,2,3\n", "hip more than once", {}),
        ("# toe,heel\n1,2\n", "columns toe, heel", {}),
        ("hip [g],knee\n1,2\n", "gives hip in g, but the model reads m/s^2", {"units": ("m/s^2", "")}),
        ("1,2,3\n", "no header that names a column a; give positions", {"columns": ("a", "b")}),
        ("hip,knee\n1,2\n", "the time column at is missing", {"time": "at"}),
    ],
)
def test_header_of_something_else_refuses_all_that_follows(text: str, words: str, options: dict) -> None:
    parse = LineParser(2, NAMES, **options)
    for line in text.encode().splitlines():
        try:
            assert parse(line) is None  # a comment that may be a header
        except HeaderError as error:
            assert words in str(error)
    with pytest.raises(HeaderError):
        parse(b"1,2")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,5;2,5", "'1,5' is a number with a decimal comma, expected a point"),
        ("1,5\t2,5", "'1,5' is a number with a decimal comma"),
        ("1,5,2,5", "expected 2; if these are decimal commas"),
        ("1,2,3", "it has 3 values, expected 2 (hip, knee); columns=1,2 selects the first"),
        ('{"hip": 1, "hip": 2, "knee": 3}', "'hip' occurs more than once"),
        ('{"hip": 1, "toe": 2}', "one with the keys hip, knee"),
    ],
)
def test_line_that_is_refused_says_what_to_do(text: str, words: str) -> None:
    with pytest.raises(LineError) as caught:
        LineParser(2, NAMES)(text.encode())
    assert not isinstance(caught.value, HeaderError)
    assert words in str(caught.value)


def test_another_file_of_the_same_writer_has_a_header_of_its_own_or_the_same_columns() -> None:
    parse = LineParser(2, NAMES)
    assert parsed("t,knee,hip\n0,2,1\n", parse) == [[1, 2]]
    parse.renew()
    assert parsed("0,4,3\n", parse) == [[3, 4]]
    parse.renew()
    assert parsed("hip,knee\n5,6\n", parse) == [[5, 6]]


def test_device_that_prints_words_when_it_starts_is_listened_to() -> None:
    parse = LineParser(1, ("level",), chatty=True)
    with pytest.raises(LineError, match="neither 1 numbers nor a header"):
        parse(b"ready")
    assert parse(b"4") == [4]
    assert parse(b"level") is None  # it started again


EPOCH = 1_764_530_000


@pytest.mark.parametrize(
    ("name", "said", "values", "seconds"),
    [
        ("at", "", [EPOCH, f"{EPOCH}.25"], [EPOCH, EPOCH + 0.25]),
        ("at", "", [f"{EPOCH}250"], [EPOCH + 0.25]),
        ("at", "", [EPOCH * 10**6 + 5], [EPOCH + 5e-6]),
        ("at", "", [f"{EPOCH}000000500"], [EPOCH + 5e-7]),
        ("at_ms", "", [1500, "1600.5"], [1.5, 1.6005]),
        ("Time (us)", "", ["2000000"], [2]),
        ("at", "ms", ["2000", "", None], [2, math.nan, math.nan]),
        ("at", "", ["2025-11-30T19:13:20Z"], [EPOCH]),
        ("at", "", ["2025-11-30 20:13:20.500+01:00"], [EPOCH + 0.5]),
        ("at", "", ["2025-11-30 19:13:20"], [EPOCH]),
        ("at", "", [0, "0.1"], [0, 0.1]),
    ],
)
def test_units_of_times_are_distinguished(name: str, said: str, values: list, seconds: list[float]) -> None:
    read = TimeReader(name, said)
    np.testing.assert_allclose([read(value) for value in values], seconds, rtol=0, atol=3e-7)


def test_time_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'soon' is not a time in ISO 8601"):
        TimeReader("at")("soon")
    with pytest.raises(ValueError, match="'soon' is not a time in ms"):
        TimeReader("at_ms")("soon")
    with pytest.raises(InputError, match="the unit 'days'"):
        LineParser(1, time="at,days")
    with pytest.raises(LineError, match="'soon' is not a time"):
        parsed("at,level\nsoon,1\n", LineParser(1, ("level",), time="at"))


def test_time_that_was_not_asked_for_counts_where_its_unit_is_beyond_doubt() -> None:
    times = []
    for head, value in (("t", "3"), ("t_ms", "3"), ("timestamp", str(EPOCH)), ("time", "12:00"), ("depth_m", "3")):
        parse = LineParser(1, ("level",))
        assert parsed(f"{head},level\n{value},7\n", parse) == [[7]]
        times.append(parse.t_s)
    np.testing.assert_equal(times, [math.nan, 0.003, EPOCH, math.nan, math.nan])


def test_names_and_units() -> None:
    assert [unit_of_name(each) for each in ("t_ms", "time [µs]", "ts (ns)", "t", "items", "ms")] == [
        "ms", "us", "ns", "", "", "ms"
    ]  # fmt: skip
    assert [names_a_time(each) for each in ("Timestamp", "t_s", "time [s]", "times_table", "tms")] == [
        True, True, True, False, False
    ]  # fmt: skip
    assert unit_of("m/s²") == unit_of(" M / s^2 ") == "m/s^2"
    assert unit_of("furlong") == ""
    assert spell_seconds(1764530000.1) == "1764530000.1"


def rate_of(times: list[float], expected: float | None = None) -> float | None:
    meter = RateMeter(expected)
    for t_s in times:
        meter.add(t_s)
    meter.finish()
    return meter.rate_hz


def test_rate_of_times_withstands_jitter_gaps_and_rounding() -> None:
    rng = np.random.default_rng(1)
    even = np.arange(200) / 50
    assert rate_of((even + rng.uniform(-0.004, 0.004, 200)).tolist()) == pytest.approx(50, rel=0.1)
    gap = even.copy()
    gap[5:] += 30
    assert rate_of(gap.tolist()) == pytest.approx(50)
    for hz in (60.0, 400.0, 700.0):  # a clock of milliseconds
        found = rate_of((np.floor(np.arange(200) / hz * 1000) / 1000).tolist(), hz)
        assert found is not None
        assert same_rate(found, hz)
    assert rate_of(np.floor(np.arange(400) / 10).tolist(), 10.0) == 10  # a clock of seconds
    coarse = rate_of(np.floor(np.arange(400) / 25).tolist(), 10.0)
    assert coarse is not None
    assert not same_rate(coarse, 10)
    assert rate_of([1.0]) is None
    assert rate_of([1.0] * 300) is None


def test_rates_within_a_few_percent_are_the_same() -> None:
    assert check_rate(52, 50, "it") == check_rate(48, 50, "it") == check_rate(48, None, "it") == ""
    assert "of it is 48000 Hz, but the model is for 44100 Hz" in check_rate(48000, 44100, "it")
