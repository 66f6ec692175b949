"""Playback of the demo's recording, sample by sample, and its evaluation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_rnn.errors import FileError
from edge_rnn.typing import F32, AnyArray

if TYPE_CHECKING:
    from edge_rnn.streams.stream import Stream

__all__ = ["FRAME_SECONDS", "Part", "Played", "Recording", "load_recording", "play", "score"]

FRAME_SECONDS = 1 / 20
"""Time in s between two frames of the live view."""

_BATCH = 100


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Labelled recording, joined from several.

    Parameters
    ----------
    x
        ``(time, channels)`` float32, in the sensor's units.
    y
        ``(time,)`` intp: index of the true label.
    part
        ``(time,)`` intp: recording that each sample is from; each recording is contiguous.
    """

    x: F32
    y: NDArray[np.intp]
    part: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.x)

    def first(self, samples: int) -> Recording:
        """Return the first samples."""
        return Recording(self.x[:samples], self.y[:samples], self.part[:samples])


@dataclass(frozen=True, slots=True)
class Part:
    """Result for one of the recordings.

    Parameters
    ----------
    start, stop
        Its samples: from ``start`` up to, but not including, ``stop``.
    truth, majority
        Index of the true label, and of the most frequently predicted one.
    right
        Number of samples classified correctly.
    """

    start: int
    stop: int
    truth: int
    majority: int
    right: int


@dataclass(slots=True)
class Played:
    """Number of samples done, also after an interrupt."""

    samples: int = 0

    def follow(self, done: Iterator[int]) -> Iterator[int]:
        """Pass on the numbers that :func:`play` yields."""
        for self.samples in done:
            yield self.samples


def load_recording(path: Path, samples: int | None = None) -> Recording:
    """Read a recording (``x``, ``y``, ``recording`` in an ``.npz``), or its first samples.

    Raises
    ------
    FileError
        The file is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            x, y, part = (arrays[name][:samples] for name in ("x", "y", "recording"))
    except Exception as error:  # zipfile, zlib and numpy each raise their own types
        raise FileError(f"{path}: the recording cannot be read: {error}; reinstall edge-rnn.") from None
    return Recording(np.ascontiguousarray(x, np.float32), y.astype(np.intp), part.astype(np.intp))


def play(stream: Stream, xs: F32, out: F32, rate_hz: float | None) -> Iterator[int]:
    """Step through a recording; yield the number of samples done, every few steps.

    Parameters
    ----------
    out
        ``(time, output_size)`` float32, receives the outputs.
    rate_hz
        Samples per second: each is processed at its time after the start, by the monotonic clock, so that delays do not
        accumulate. None: as fast as possible.
    """
    step = stream.step
    start, done = time.monotonic(), 0
    while done < len(xs):
        due = done + _BATCH if rate_hz is None else int((time.monotonic() - start) * rate_hz) + 1
        for t in range(done, min(due, len(xs))):
            out[t] = step(xs[t])
        done = max(done, min(due, len(xs)))
        yield done
        if rate_hz is not None and done < len(xs):
            now = time.monotonic()
            time.sleep(max(start + done / rate_hz - now, FRAME_SECONDS if rate_hz * FRAME_SECONDS > 1 else 0.0, 0.0))


def score(recording: Recording, predicted: AnyArray) -> list[Part]:
    """Evaluate the recordings covered by ``predicted``, ``(done,)`` label indices; the last one may be incomplete."""
    done = len(predicted)
    starts = [0, *(np.flatnonzero(np.diff(recording.part[:done])) + 1).tolist()] if done else []
    parts = []
    for start, stop in zip(starts, [*starts[1:], done], strict=True):
        truth, given = int(recording.y[start]), predicted[start:stop]
        right = int(np.count_nonzero(given == recording.y[start:stop]))
        parts.append(Part(start, stop, truth, int(np.bincount(given).argmax()), right))
    return parts
