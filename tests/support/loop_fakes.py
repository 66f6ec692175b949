"""Fakes for tests of the loop: a clock, and scripted sources and sinks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from edge_rnn.layers import Elman
from edge_rnn.loop import SensorLoop
from edge_rnn.model import Model
from edge_rnn.streams.stream import Stream


class FakeClock:
    """Clock that advances during sleep, or when a test advances it."""

    def __init__(self, start_s: float = 1000.0) -> None:
        self.ns = int(1e9 * start_s)
        self.asleep_ns = 0
        self.on_sleep: Callable[[float], None] | None = None

    def now_ns(self) -> int:
        return self.ns

    def elapsed_ns(self) -> int:
        return self.ns + self.asleep_ns

    def wall_s(self) -> float:
        return 1.7e9 + (self.ns + self.asleep_ns) / 1e9

    def sleep(self, seconds: float) -> None:
        self.ns += round(1e9 * seconds)
        if self.on_sleep is not None:
            self.on_sleep(seconds)

    def pass_s(self, seconds: float) -> None:
        self.ns += round(1e9 * seconds)


class Script:
    """Scripted source: samples to return, errors to raise, functions to call first."""

    def __init__(self, items: Iterable[Any], *, blocks: bool = False, live: bool = False) -> None:
        self.items = iter(items)
        self.blocks = blocks
        self.live = live
        self.closed = 0

    def read(self) -> Any:
        for item in self.items:
            if isinstance(item, BaseException):
                raise item
            if callable(item):
                item()
                continue
            return item
        return None

    def close(self) -> None:
        self.closed += 1


class Kept:
    """Sink that collects all results."""

    def __init__(self) -> None:
        self.ys: list[np.ndarray] = []
        self.times: list[float] = []

    def write(self, y: np.ndarray, t_s: float) -> None:
        self.ys.append(y.copy())
        self.times.append(t_s)


class Gate:
    """Source that waits until a test lets a sample through."""

    blocks = True
    live = True

    def __init__(self) -> None:
        self.open = threading.Semaphore(0)
        self.closed = False

    def read(self) -> Any:
        self.open.acquire()
        return None if self.closed else [1.0]

    def close(self) -> None:
        self.closed = True
        self.open.release()


def stream(width: int = 1, **options: Any) -> Stream:
    """Stream of a network with memory: h = tanh(sum of x / 10 + h / 2)."""
    return Stream(Model([Elman(np.full((1, width), 0.1, np.float32), [[0.5]])]), **options)


def outputs(xs: Iterable[Any], width: int = 1) -> list[float]:
    """Outputs of the stream for these samples."""
    fresh = stream(width)
    return [float(fresh.step(np.array(x, np.float32).reshape(width))[0]) for x in xs]


def loop(source: Any, sink: Any = None, rate_hz: float | None = None, **options: Any) -> SensorLoop:
    """Make a loop with a silent journal, on a fake clock by default."""
    options = {"clock": FakeClock(), "report": lambda text: None, "collect": "never"} | options
    network = options.pop("network", None) or stream()
    return SensorLoop(network, source, sink or Kept(), rate_hz, **options)
