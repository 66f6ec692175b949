"""What a page shows of a loop, taken by a thread of its own, twenty times a second at most."""

from __future__ import annotations

import json
import math
import threading
import time
from typing import Any

from edge_rnn.live.channel import Channel
from edge_rnn.loop.sensor_loop import SensorLoop
from edge_rnn.typing import AnyArray

__all__ = ["Recorder", "as_json", "event"]

_PERIOD_S = 0.05
_POINTS_EVERY = 2
"""Periods from one message of points to the next."""
_STATUS_EVERY = 10
"""Periods from one message of the status to the next."""
_KEPT_S = 30.0
_MOST = 24
"""Inputs and outputs that are shown, each."""


class Recorder:
    """Looks at a loop, and tells a channel.

    The loop does nothing for it: it is looked at without a lock, so input and output of a point may be of two samples
    that followed each other. A point is put into words once, whoever listens; without listeners there are no messages.

    Parameters
    ----------
    loop
        The loop.

    Attributes
    ----------
    channel
        Where points and messages go.
    """

    def __init__(self, loop: SensorLoop) -> None:
        self._loop = loop
        self._start_s = time.monotonic()
        self._steps = 0
        self._period = 0
        self._fresh: list[bytes] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="edge_rnn live", daemon=True)
        self.channel = Channel(round(_KEPT_S / _PERIOD_S))

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Tell how it ended, and no more."""
        self._over.set()
        self._thread.join(5)
        self._look()
        self._tell(points=True, status=True)

    def status(self) -> dict[str, Any]:
        """The loop's status, with its histograms: ``edges_ns``, and ``counts`` between each two of them."""
        histograms = {"lateness_ns": self._loop.lateness.histogram(), "work_ns": self._loop.work.histogram()}
        return self._loop.status() | {
            "histograms": {
                name: {"edges_ns": found.edges_ns, "counts": found.counts} for name, found in histograms.items()
            }
        }

    def greeting(self) -> dict[str, Any]:
        """What does not change while the loop runs."""
        model = self._loop.stream.model
        return {
            "model": model.name or model.fingerprint[:12],
            "inputs": list(model.input_names or (f"x{i}" for i in range(model.input_size)))[:_MOST],
            "units": list(model.input_units)[:_MOST],
            "outputs": list(model.labels or (f"y{i}" for i in range(model.output_size)))[:_MOST],
            "more_inputs": max(model.input_size - _MOST, 0),
            "more_outputs": max(model.output_size - _MOST, 0),
            "labels": list(model.labels) if len(model.labels) > 1 else [],
            "kept_s": _KEPT_S,
            "now_s": self._now_s(),
        }

    def brief(self) -> dict[str, Any]:
        """The status without what points and greeting tell."""
        left_out = ("x", "y", "input_names", "labels")
        return {name: value for name, value in self.status().items() if name not in left_out} | {"now_s": self._now_s()}

    def _repeat(self) -> None:
        while not self._over.wait(_PERIOD_S):
            self._period += 1
            self._look()
            self._tell(points=self._period % _POINTS_EVERY == 0, status=self._period % _STATUS_EVERY == 0)

    def _look(self) -> None:
        steps, x, y = self._loop.latest()
        if steps == self._steps or y is None:
            return
        self._steps = steps
        best = -1 if math.isnan(y[0]) else int(y.argmax())
        point = f"[{self._now_s()},{steps},{best},{_numbers(x)},{_numbers(y)}]".encode()
        self._fresh.append(point)
        self.channel.keep(point)

    def _tell(self, *, points: bool, status: bool) -> None:
        if points:
            fresh, self._fresh = self._fresh, []
            if fresh and self.channel.listeners:
                self.channel.publish(event("points", b"[" + b",".join(fresh) + b"]"))
        if status and self.channel.listeners:
            self.channel.publish(event("status", as_json(self.brief())))

    def _now_s(self) -> float:
        return round(time.monotonic() - self._start_s, 3)


def event(name: str, data: bytes) -> bytes:
    """One event of a stream (HTML standard, section 9.2); ``data`` is a single line."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


def as_json(value: dict[str, Any]) -> bytes:
    """One line, in ASCII."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _numbers(values: AnyArray) -> str:
    """The first of them, six digits each, as JSON has it: what is not finite is null."""
    return f"[{','.join(f'{value:.6g}' if math.isfinite(value) else 'null' for value in values[:_MOST].tolist())}]"
