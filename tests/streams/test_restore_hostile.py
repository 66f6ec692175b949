"""Hostile snapshots with a correct checksum: refused, or the restored object runs in bounded memory."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn import Dense, Elman, Model, Stream
from edge_rnn.backend import Detector, Hysteresis, Majority, Smooth
from edge_rnn.errors import StateError
from edge_rnn.frontend import Chain, FrontEnd, parse
from edge_rnn.frontend.parsing import KINDS
from edge_rnn.loop.persist import snapshot_file

HEAD = 48
WHOLE = (-(2**63), -(2**62), -1000, -2, -1, 0, 1, 2, 3, 7, 8, 9, 1000, 2**31, 2**32, 2**45, 2**62, 2**63 - 1)
REAL = (np.nan, np.inf, -np.inf, 1e308, -1e308, 3e38, 1e-310, -0.0)
FRONT_ENDS = {
    "resample": parse("resample:rate_in=44100,rate_out=16000,channels=2"),
    "resample up": parse("resample:rate_in=100,rate_out=330"),
    "standardize": parse("standardize:mean=1/2,scale=3/4"),
    "moving": parse("moving:window=8,hop=3,statistics=mean+std+crossings"),
    "logmel": parse("logmel:rate=16000,frame=64,hop=32,bands=8"),
    "mfcc": parse("mfcc:rate=16000,frame=64,hop=100,bands=8,coefficients=4"),
    "micro": parse("micro:rate=16000,frame=64,hop=32,bands=8"),
    "chain": parse("resample:rate_in=100,rate_out=150|moving:window=4"),
    "smooth": Smooth(samples=3, size=2),
    "majority": Majority(last=5, size=3),
}


def resealed(data: bytes, payload: bytes) -> bytes:
    """Replace the payload of a front end's snapshot, with a correct checksum."""
    return data[:44] + struct.pack("<I", zlib.crc32(payload)) + payload


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Replace words of a snapshot's payload by integers at the limits, extreme reals, or noise."""
    payload = bytearray(data[HEAD:])
    for _ in range(int(rng.integers(1, 4))):
        if len(payload) < 8:
            break
        place = 8 * int(rng.integers(0, len(payload) // 8)) if rng.random() < 0.7 else 0
        payload[place : place + 8] = (
            struct.pack("<q", WHOLE[rng.integers(len(WHOLE))])
            if rng.random() < 0.5
            else struct.pack("<d", REAL[rng.integers(len(REAL))])
            if rng.random() < 0.7
            else rng.bytes(8)
        )
    if rng.random() < 0.1:
        payload[:] = rng.bytes(len(payload))
    return resealed(data, bytes(payload))


def hostile(front: FrontEnd, rng: np.random.Generator) -> bytes:
    if not isinstance(front, Chain):
        return mutated(front.snapshot(), rng)
    head = front.snapshot()[:HEAD]
    return head + b"".join(mutated(stage.snapshot(), rng) for stage in front.stages)


def test_every_kind_of_front_end_is_among_them() -> None:
    assert {*KINDS} <= {*FRONT_ENDS}


@pytest.mark.parametrize("front", FRONT_ENDS.values(), ids=FRONT_ENDS.keys())
def test_front_end_refuses_or_runs_on(front: FrontEnd) -> None:
    rng = np.random.default_rng(5)
    xs = rng.normal(size=(120, front.input_size)).astype(np.float32)
    most = 2 * (len(xs) + 2) * max(front.ratio, 1) + 2
    taken = refused = 0
    for _ in range(120):
        front.reset()
        front.run(xs[: rng.integers(0, 40)])
        before = front.snapshot()
        try:
            front.restore(hostile(front, rng))
        except StateError:
            refused += 1
            assert front.snapshot() == before
        else:
            taken += 1
            assert len(front.run(xs)) <= most
            front.push(xs[0])
            while front.more() is not None:
                pass
            front.restore(front.snapshot())
    assert taken + refused == 120
    if len(before) > HEAD and not isinstance(front, Chain):
        assert refused


@pytest.mark.parametrize("number", WHOLE)
def test_whole_number_out_of_bounds_is_refused(number: int) -> None:
    front = parse("moving:window=8,hop=2")
    data = front.snapshot()
    restored = resealed(data, struct.pack("<q", number) + data[HEAD + 8 :])
    if 1 <= number <= 8:
        front.restore(restored)
        assert front.due(8) >= 1
    else:
        with pytest.raises(StateError, match="cannot have; use a snapshot made by it"):
            front.restore(restored)


@pytest.mark.parametrize("smoothing", [[], [Smooth(samples=2, size=2)], [Majority(last=3, size=2)]])
def test_rule_and_detector_refuse_or_run_on(smoothing: list[FrontEnd]) -> None:
    rng = np.random.default_rng(6)
    detector = Detector(Hysteresis(2, enter=0.6, leave=0.4, refractory=2), smoothing)
    ys = rng.random((60, 2)).astype(np.float32)
    refused = 0
    for _ in range(300):
        detector.reset()
        for y in ys[:9]:
            detector.push(y)
        rule = mutated(detector.rule.snapshot(), rng)
        before = detector.snapshot()
        try:
            detector.restore(rule + before[len(rule) :])
        except StateError:
            refused += 1
            assert detector.snapshot() == before
        else:
            for y in ys:
                for event in detector.push(y):
                    assert event.since <= event.sample
            detector.snapshot()
    assert 0 < refused < 300


@pytest.mark.parametrize(("steps", "at_s"), [(2**64 - 1, 0.0), (2**63, 0.0), (1, 1e300), (1, -1e12), (1, np.nan)])
def test_loop_refuses_counts_and_times_that_cannot_be(tmp_path: Path, steps: int, at_s: float) -> None:
    stream = Stream(Model([Elman([[0.5]], [[0.5]]), Dense([[1.0]])]))
    snapshot_file.write(tmp_path / "state", snapshot_file.encode(stream, steps, at_s))
    said: list[str] = []
    assert snapshot_file.restore(stream, tmp_path / "state", said.append) is None
    assert "is damaged" in said[0]


@pytest.mark.parametrize("given", [None, 3, "text", [b"1"]])
def test_restore_of_another_type_is_refused(given: Any) -> None:
    rule = Hysteresis(1)
    for one in (parse("moving:window=2"), FRONT_ENDS["chain"], rule, Detector(rule)):
        with pytest.raises(StateError, match=r"expected the bytes of snapshot\(\)"):
            one.restore(given)
