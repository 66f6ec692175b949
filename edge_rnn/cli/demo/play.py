"""The demo's recording, played sample by sample, and how well the network followed it."""

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

__all__ = ["FRAME_SECONDS", "Part", "Recording", "load_recording", "play", "score"]

FRAME_SECONDS = 1 / 20
"""Time between two pictures of a live view."""

_BATCH = 100


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A labelled recording, put together from several.

    Parameters
    ----------
    x
        ``(time, channels)`` float32, in the sensor's units.
    y
        ``(time,)`` intp: index of the true label.
    part
        ``(time,)`` intp: which recording a sample is from; each is in one piece.
    """

    x: F32
    y: NDArray[np.intp]
    part: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, slots=True)
class Part:
    """How the network did in one of the recordings.

    Parameters
    ----------
    start, stop
        Its samples: from ``start`` to before ``stop``.
    truth, majority
        Index of the true label, and of the one that most samples were given.
    right
        How many samples were given the true one.
    """

    start: int
    stop: int
    truth: int
    majority: int
    right: int


def load_recording(path: Path, samples: int | None = None) -> Recording:
    """Read a recording (``x``, ``y``, ``recording`` in an ``.npz``), or its first samples.

    Raises
    ------
    FileError
        It is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            x, y, part = (arrays[name][:samples] for name in ("x", "y", "recording"))
    except Exception as error:  # zipfile, zlib, numpy: each has kinds of its own
        raise FileError(f"{path}: the recording cannot be read: {error}; install edge-rnn anew.") from None
    return Recording(np.ascontiguousarray(x, np.float32), y.astype(np.intp), part.astype(np.intp))


def play(stream: Stream, xs: F32, out: F32, rate_hz: float | None) -> Iterator[int]:
    """Step through a recording, and yield after every few steps how many are done.

    Parameters
    ----------
    out
        ``(time, output_size)`` float32, written.
    rate_hz
        Samples a second: each is taken at its time after the start, by the monotonic clock, so that delays do not add
        up. None: at once.
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
    """The recordings that ``predicted``, ``(done,)`` label indices, covers, the last one perhaps in part."""
    done = len(predicted)
    starts = [0, *(np.flatnonzero(np.diff(recording.part[:done])) + 1).tolist()] if done else []
    parts = []
    for start, stop in zip(starts, [*starts[1:], done], strict=True):
        truth, given = int(recording.y[start]), predicted[start:stop]
        right = int(np.count_nonzero(given == recording.y[start:stop]))
        parts.append(Part(start, stop, truth, int(np.bincount(given).argmax()), right))
    return parts
