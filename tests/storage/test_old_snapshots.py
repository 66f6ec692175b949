"""Snapshots written by edge_rnn 0.1.0: after restoring them, outputs are those of that version.

They are in ``tests/golden/snapshots.npz``, in the folder of the script that made it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn import Stream, load
from edge_rnn.backend import Hysteresis, Majority, Smooth
from edge_rnn.frontend import FrontEnd, parse
from edge_rnn.loop.persist import snapshot_file

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "snapshots.npz")
BACK_ENDS = {"smooth": Smooth(samples=3, size=2), "majority": Majority(last=5, size=3)}


def names(kind: str) -> list[str]:
    return sorted({name.split("/")[1] for name in GOLDEN.files if name.startswith(f"{kind}/")})


def of(kind: str, name: str) -> dict[str, Any]:
    begin = f"{kind}/{name}/"
    return {key.removeprefix(begin): GOLDEN[key] for key in GOLDEN.files if key.startswith(begin)}


def stream_of(kept: dict[str, Any], folder: Path) -> Stream:
    path = folder / "m.safetensors"
    path.write_bytes(kept["model"].tobytes())
    return Stream(load(path))


def check_goes_on(stream: Stream, kept: dict[str, Any]) -> None:
    """Rounding differs between processors by less than 1e-4 with 16-bit vectors; a wrong state by far more."""
    ys = stream.run(kept["xs"])
    np.testing.assert_allclose(ys, kept["ys"], rtol=0, atol=1e-4)
    stream.reset()
    assert np.abs(stream.run(kept["xs"]) - kept["ys"])[0].max() > 1e-3


@pytest.mark.parametrize("name", names("stream"))
@pytest.mark.sampled(2)
def test_a_stream_continues(name: str, tmp_path: Path) -> None:
    kept = of("stream", name)
    stream = stream_of(kept, tmp_path)
    stream.restore(kept["snapshot"].tobytes())
    assert stream.snapshot() == kept["snapshot"].tobytes()
    check_goes_on(stream, kept)


@pytest.mark.parametrize("name", names("loop"))
def test_a_loop_continues(name: str, tmp_path: Path) -> None:
    kept = of("loop", name)
    stream = stream_of(kept, tmp_path)
    (tmp_path / "state").write_bytes(kept["snapshot"].tobytes())
    said: list[str] = []
    saved = snapshot_file.restore(stream, tmp_path / "state", said.append)
    assert saved is not None
    assert not said
    assert (saved.steps, saved.at_s) == (7, 1.7e9) == (kept["steps"], kept["at_s"])
    assert snapshot_file.encode(stream, 7, 1.7e9) == kept["snapshot"].tobytes()
    check_goes_on(stream, kept)


@pytest.mark.parametrize("name", names("front"))
def test_a_front_end_continues(name: str) -> None:
    kept = of("front", name)
    front: FrontEnd = BACK_ENDS[name] if name in BACK_ENDS else parse(str(kept["spec"]))
    front.restore(kept["snapshot"].tobytes())
    assert front.snapshot() == kept["snapshot"].tobytes()
    ys = front.run(kept["xs"])
    np.testing.assert_allclose(ys, kept["ys"], rtol=1e-5, atol=1e-5)


def test_a_rule_goes_on() -> None:
    kept = of("rule", "hysteresis")
    rule = Hysteresis(2, enter=0.6, leave=0.4, enter_after=2, leave_after=3)
    rule.restore(kept["snapshot"].tobytes())
    assert rule.snapshot() == kept["snapshot"].tobytes()
    events = [event for x in kept["xs"] for event in rule.push(x)]
    assert len(events) > 3
    assert [(event.output, event.sample, event.since) for event in events] == [tuple(row) for row in kept["events"]]
