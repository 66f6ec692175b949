"""Helpers of loop tests."""

from __future__ import annotations

import os
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_rnn.layers import Elman
from edge_rnn.loop import SampleError
from edge_rnn.model import Model

XS = np.random.default_rng(5).standard_normal((20, 3)).astype(np.float32)
CSV = "".join(",".join(map(str, x)) + "\n" for x in XS)


def model(width: int = 3, **options: Any) -> Model:
    return Model([Elman(np.full((2, width), 0.1, np.float32), np.eye(2, dtype=np.float32))], **options)


def all_of(source: Any) -> list[Any]:
    """Read everything until the end, with problems as texts."""
    found: list[Any] = []
    while True:
        try:
            value = source.read()
        except SampleError as problem:
            found.append(str(problem))
            continue
        if value is None:
            return found
        found.append(value)


def numbers(found: list[Any]) -> np.ndarray:
    return np.array([each for each in found if not isinstance(each, str)], np.float32)


def within(seconds: float, condition: Callable[[], bool]) -> None:
    """Wait for a condition that another thread fulfills, much longer than it should take."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def garbage() -> list[bytes]:
    """Thousand lines that are not samples."""
    rng = np.random.default_rng(6)
    kinds: list[Callable[[int], bytes]] = [
        lambda i: rng.bytes(20).replace(b"\n", b"").replace(b"\r", b"") + b"\xff",
        lambda i: b"1,2",
        lambda i: b"1,2,3,4",
        lambda i: b"1,two,3",
        lambda i: b"{" * i,
        lambda i: b'{"x": [1, 2]}',
        lambda i: b"?",
        lambda i: b"\0" * 9,
        lambda i: b"9" * 5000 + b"x,1,2",
        lambda i: "½,¾,∞".encode(),
    ]
    return [kinds[i % len(kinds)](i) for i in range(1000)]


def with_close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        return


# Sound


def write_wav(path: Path, values: np.ndarray, width: int, channels: int = 1, rate: int = 8000) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        scaled = np.round(values * (1 << (8 * width - 1))).astype(np.int64) + (128 if width == 1 else 0)
        file.writeframes(b"".join(int(v).to_bytes(width, "little", signed=width > 1) for v in scaled))
