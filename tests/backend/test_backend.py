"""Back ends against plain definitions of their results."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_rnn.backend import Detector, Event, Hysteresis, Majority, Smooth
from edge_rnn.errors import InputError, StateError
from edge_rnn.frontend import Resample

VALUES = st.one_of(st.floats(0, 1, width=32), st.just(math.nan))
LOST = st.one_of(VALUES, st.sampled_from([math.inf, -math.inf]))
RULES: list[dict[str, Any]] = [
    {},
    {"enter": 0.5, "leave": 0.5},
    {"enter": 0.8, "leave": 0.2, "enter_after": 3, "leave_after": 2},
    {"enter": [0.9, 0.5, 0.6], "leave": [0.1, 0.5, 0.3], "refractory": 7, "enter_after": 2},
    {"refractory": 4, "leave_after": 3, "ignore": [1], "labels": ["a", "b", "c"]},
]


def expected_events(values: list[float], output: int, options: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Events of one output by the definition in the docstring, looked up in the whole recording."""

    def of(name: str, default: float) -> float:
        value = options.get(name, default)
        return value[output] if isinstance(value, list) else value

    enter, leave = of("enter", 0.7), of("leave", 0.4)
    rise, fall = options.get("enter_after", 1), options.get("leave_after", 1)
    found: list[tuple[Any, ...]] = []
    entered = last_entered = last_change = None
    for t in range(len(values)):
        begin = 0 if last_change is None else last_change + 1
        if entered is None:
            if last_entered is not None and t - last_entered <= options.get("refractory", 0):
                continue
            row = values[max(begin, t - rise + 1) : t + 1]
            if len(row) == rise and all(value >= enter for value in row):
                since = t
                while since > begin and values[since - 1] >= enter:
                    since -= 1
                found.append(("entered", output, t, since, values[t]))
                entered = last_entered = last_change = t
        else:
            row = values[max(begin, t - fall + 1) : t + 1]
            if len(row) == fall and not any(value >= leave for value in row):
                peak = max(value for value in values[entered : t + 1] if value >= leave)
                found.append(("left", output, t, entered, peak))
                entered, last_change = None, t
    return found


@pytest.mark.parametrize("options", RULES)
@given(ys=st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=60))
def test_events_are_what_the_definition_says(options: dict[str, Any], ys: list[tuple[float, float, float]]) -> None:
    rule = Hysteresis(3, **options)
    events = [event for t, y in enumerate(ys) for event in rule.push(np.array(y, np.float32), t / 10)]
    got = sorted((e.sample, e.output, e.kind, e.since, e.confidence) for e in events)
    expected = [
        (sample, output, kind, since, value)
        for output in range(3)
        if output not in options.get("ignore", ())
        for kind, output, sample, since, value in expected_events([y[output] for y in ys], output, options)
    ]
    assert got == sorted(expected)
    assert all(event.t_s == event.sample / 10 for event in events)
    assert all(event.label == ("abc"[event.output] if "labels" in options else "") for event in events)
    still = [output for output in range(3) if [e.kind for e in events if e.output == output][-1:] == ["entered"]]
    assert rule.active == tuple(still)


@pytest.mark.parametrize("options", RULES)
@given(ys=st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=40), cut=st.integers(0, 40))
def test_a_rule_continues_from_its_snapshot(
    options: dict[str, Any], ys: list[tuple[float, float, float]], cut: int
) -> None:
    rule = Hysteresis(3, **options)
    for y in ys[:cut]:
        rule.push(y)
    other = Hysteresis(3, **options)
    other.push([1, 1, 1])
    other.restore(rule.snapshot())
    assert [other.push(y, 0.0) for y in ys[cut:]] == [rule.push(y, 0.0) for y in ys[cut:]]
    assert other.snapshot() == rule.snapshot()
    rule.reset()
    assert rule.snapshot() == Hysteresis(3, **options).snapshot()


@given(samples=st.floats(0.01, 1e6), ys=st.lists(st.tuples(LOST, LOST), min_size=1, max_size=30))
def test_smoothing_by_its_definition(samples: float, ys: list[tuple[float, float]]) -> None:
    smooth = Smooth(samples, size=2)
    got = smooth.run(np.array(ys, np.float32))
    for output in range(2):
        mean = None
        for t, value in enumerate(np.array(ys, np.float32)[:, output].astype(np.float64)):
            if math.isfinite(value):
                mean = value if mean is None else mean + (1 - math.exp(-1 / samples)) * (value - mean)
            # 30 steps in float64; 1 - exp(-1/samples) itself loses 1e6 times its rounding
            expected = math.nan if mean is None else mean  # nothing is known before the first number
            assert got[t, output] == pytest.approx(expected, rel=2**-23, abs=1e-9, nan_ok=True)


def test_smoothing_follows_a_step_to_63_percent() -> None:
    smooth = Smooth(50)
    smooth.push(0.0)
    ys = smooth.run(np.ones(50, np.float32))
    assert ys[-1, 0] == pytest.approx(1 - math.exp(-1), rel=2**-23)


@given(
    last=st.integers(1, 9),
    threshold=st.one_of(st.none(), st.floats(0, 1, width=32)),
    ys=st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=40),
)
def test_majority_by_its_definition(last: int, threshold: float | None, ys: list[tuple[float, ...]]) -> None:
    majority = Majority(last, 3, threshold)
    votes = []
    for y in ys:
        top = -1 if any(map(math.isnan, y)) else max(range(3), key=lambda output: (y[output], -output))
        votes.append(top if top >= 0 and (threshold is None or y[top] >= threshold) else -1)
        counts = [votes[-last:].count(output) for output in range(3)]
        got = majority.push(y)
        np.testing.assert_array_equal(got, (np.array(counts) / last).astype(np.float32))
        assert majority.winner == (counts.index(max(counts)) if max(counts) else -1)


@pytest.mark.parametrize("make", [lambda: Smooth(7, 3), lambda: Majority(5, 3), lambda: Majority(4, 3, 0.5)])
@given(cut=st.integers(0, 60))
def test_smoothing_has_the_guarantees_of_a_front_end(make: Any, cut: int) -> None:
    xs = np.random.default_rng(0).random((60, 3)).astype(np.float32)
    xs[20, 1] = np.nan
    whole = make().run(xs)
    one, two = make(), make()
    np.testing.assert_array_equal([one.push(x).copy() for x in xs], whole)
    first = two.run(xs[:cut])
    other = make()
    other.run(xs[:9])
    other.restore(two.snapshot())
    np.testing.assert_array_equal(np.concatenate([first, other.run(xs[cut:])]), whole)
    other.reset()
    assert other.snapshot() == make().snapshot()
    np.testing.assert_array_equal(other.run(xs), whole)


def make_detector(events: list[Event] | None = None) -> Detector:
    keep = None if events is None else events.append
    rule = Hysteresis(2, 0.6, 0.3, labels=["rest", "wave"], ignore=[0])
    return Detector(rule, [Smooth(2, 2), Majority(5, 2)], on_entered=keep, on_left=keep)


def test_a_detector_calls_back_and_continues_from_its_snapshot() -> None:
    ys = np.zeros((60, 2), np.float32)
    ys[:, 0], ys[20:40, 1] = 0.5, 0.9
    events: list[Event] = []
    detector = make_detector(events)
    for t, y in enumerate(ys):
        detector.write(y, t * 0.1)
        if t == 30:
            snapshot = detector.snapshot()
    assert [(event.kind, event.label) for event in events] == [("entered", "wave"), ("left", "wave")]
    first, second = events
    assert 20 < first.sample < 30
    assert first.sample == second.since
    assert 40 < second.sample < 50
    assert second.t_s == second.sample * 0.1
    assert second.confidence == 1
    again: list[Event] = []
    other = make_detector(again)
    other.restore(snapshot)
    for t in range(31, 60):
        other.push(ys[t], t * 0.1)
    assert again == [second]
    other.reset()
    assert other.snapshot() == make_detector().snapshot()
    for bad in (snapshot[:-1], b"", snapshot[:60], make_detector().rule.snapshot()):
        before = detector.snapshot()
        with pytest.raises(StateError):
            detector.restore(bad)
        assert detector.snapshot() == before


def test_an_error_of_a_callback_propagates_and_nothing_is_lost() -> None:
    def fail(event: Event) -> None:
        raise OSError("no siren")

    detector = Detector(Hysteresis(), on_entered=fail)
    with pytest.raises(OSError, match="no siren"):
        detector.push(1.0)
    assert detector.rule.active == (0,)
    assert [event.kind for event in detector.push(0.0)] == ["left"]


def test_a_detector_takes_all_that_a_front_end_gives() -> None:
    detector = Detector(Hysteresis(enter=0.5, leave=0.2, enter_after=5), [Resample(1, 2)])
    entered = [event for y in [0.0] * 30 + [1.0] * 60 for event in detector.push(y)]
    assert [event.kind for event in entered] == ["entered"]
    assert entered[0].sample > 90  # twice as many outputs as samples
    assert [event.sample for event in detector.rule.push(0.0)] == [180]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Hysteresis(0), "size got 0"),
        (lambda: Hysteresis(2, [0.1, 0.2, 0.3]), "enter got 3 values"),
        (lambda: Hysteresis(2, [0.5, 0.2], 0.3), "leave got 0.3 for output 1, expected at most its enter, 0.2"),
        (lambda: Hysteresis(enter=math.nan), "enter got nan"),
        (lambda: Hysteresis(enter_after=0), "enter_after got 0"),
        (lambda: Hysteresis(2, labels=["a"]), "1 label, expected 2"),
        (lambda: Hysteresis(2, ignore=[2]), "ignore got 2"),
        (lambda: Hysteresis(2).push([1.0]), r"got shape \(1,\), expected \(2,\)"),
        (lambda: Smooth(0), "samples got 0, expected a number above 0"),
        (lambda: Majority(0), "last got 0"),
        (lambda: Majority(3, threshold=math.inf), "threshold got inf"),
        (lambda: Detector(Hysteresis(2), [Smooth(3, 3)]), "outputs 3 values, and a rule that reads 2"),
    ],
)
def test_what_does_not_fit_is_refused(make: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


def test_nan_outputs_are_not_counted() -> None:
    """NaN, which a stream outputs before its first good sample, gives no mean, no vote and no event."""
    nothing, answer = np.full(2, np.nan, np.float32), np.array([0.9, 0.1], np.float32)
    smooth = Smooth(3, size=2)
    assert np.isnan(smooth.run([nothing] * 3)).all()
    assert np.array_equal(smooth.push(answer), answer)
    smooth.reset()
    assert np.isnan(smooth.push(nothing)).all()
    majority = Majority(3, 2)
    assert not majority.run([nothing] * 2).any()
    assert majority.winner == -1
    assert majority.push(answer).tolist() == pytest.approx([1 / 3, 0])
    for smoothing in ([], [Smooth(2, 2)], [Majority(1, 2)]):
        detector = Detector(Hysteresis(2, enter=0.5, leave=0.3), smoothing)
        assert detector.push(nothing) == ()
        (event,) = detector.push(answer)
        assert (event.kind, event.output, event.sample) == ("entered", 0, 1)
