"""Recorder: samples a loop from its own thread for the live view, up to ten times per second."""

from __future__ import annotations

import json
import math
import threading
import time
from typing import Any

from edge_rnn.live.channel import Channel
from edge_rnn.loop.sensor_loop import SensorLoop
from edge_rnn.spelling import spell_unit
from edge_rnn.typing import AnyArray

__all__ = ["Recorder", "as_json", "event"]

_PERIOD_S = 0.1
_STATUS_EVERY = 5
"""Periods between status messages."""
_KEPT_S = 300.0
_MOST = 24
"""Maximum number of inputs, and of outputs, that are shown."""


class Recorder:
    """Observer of a loop that publishes to a channel.

    It costs the loop nothing: it reads without a lock, so the input and output of a point may belong to two consecutive
    samples. Each point is encoded once for all listeners; without listeners there are no messages.

    Parameters
    ----------
    loop
        The loop.

    Attributes
    ----------
    channel
        Channel for points and messages.
    """

    def __init__(self, loop: SensorLoop) -> None:
        self._loop = loop
        self._start_s = time.monotonic()
        self._steps = 0
        self._period = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="edge_rnn live", daemon=True)
        self.channel = Channel(round(_KEPT_S / _PERIOD_S))

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Publish the final state, and stop."""
        self._over.set()
        self._thread.join(5)
        self._look()
        self._tell()

    def status(self) -> dict[str, Any]:
        """Status of the loop with its histograms: ``edges_ns``, and ``counts`` between consecutive edges."""
        histograms = {"lateness_ns": self._loop.lateness.histogram(), "work_ns": self._loop.work.histogram()}
        return self._loop.status() | {
            "histograms": {
                name: {"edges_ns": found.edges_ns, "counts": found.counts} for name, found in histograms.items()
            }
        }

    def greeting(self) -> dict[str, Any]:
        """Facts that do not change while the loop runs."""
        model = self._loop.stream.model
        return {
            "model": model.name or model.fingerprint[:12],
            "inputs": list(model.input_names or (f"x{i}" for i in range(model.input_size)))[:_MOST],
            "units": [spell_unit(unit) for unit in model.input_units[:_MOST]],
            "outputs": list(model.labels or (f"y{i}" for i in range(model.output_size)))[:_MOST],
            "more_inputs": max(model.input_size - _MOST, 0),
            "more_outputs": max(model.output_size - _MOST, 0),
            "labels": list(model.labels) if len(model.labels) > 1 else [],
            "kept_s": _KEPT_S,
            "now_s": self._now_s(),
        }

    def brief(self) -> dict[str, Any]:
        """Status without the fields that points and greeting contain."""
        left_out = ("x", "y", "input_names", "labels")
        return {name: value for name, value in self.status().items() if name not in left_out} | {"now_s": self._now_s()}

    def _repeat(self) -> None:
        while not self._over.wait(_PERIOD_S):
            self._period += 1
            self._look()
            if self._period % _STATUS_EVERY == 0:
                self._tell()

    def _look(self) -> None:
        steps, x, y = self._loop.latest()
        if steps == self._steps or y is None:
            return
        self._steps = steps
        best = -1 if math.isnan(y[0]) else int(y.argmax())
        point = f"[{self._now_s()},{steps},{best},{_numbers(x)},{_numbers(y)}]".encode()
        self.channel.keep(point)
        if self.channel.listeners:
            self.channel.publish(event("points", b"[%s]" % point))

    def _tell(self) -> None:
        if self.channel.listeners:
            self.channel.publish(event("status", as_json(self.brief())))

    def _now_s(self) -> float:
        return round(time.monotonic() - self._start_s, 3)


def event(name: str, data: bytes) -> bytes:
    """One server-sent event (HTML standard, section 9.2); ``data`` is a single line."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


def as_json(value: dict[str, Any]) -> bytes:
    """Encode as a single line of ASCII JSON."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _numbers(values: AnyArray) -> str:
    """JSON list of the first values with six significant digits; non-finite values become null."""
    return f"[{','.join(f'{value:.6g}' if math.isfinite(value) else 'null' for value in values[:_MOST].tolist())}]"
