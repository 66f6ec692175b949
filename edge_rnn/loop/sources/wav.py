"""Sound from a file, block by block."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_rnn.errors import FileError, UnsupportedError, file_access
from edge_rnn.loop.protocols import SampleError, Timed
from edge_rnn.loop.scheme import Scheme, Url
from edge_rnn.model import Model
from edge_rnn.recordings.elapsed import measured_size
from edge_rnn.spelling import counted
from edge_rnn.typing import F32

__all__ = ["SUFFIXES", "WAV", "Wav"]

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".w64", ".rf64", ".caf", ".mp3")
"""Extensions of sound files."""

_BLOCK_FRAMES = 4096


class Wav:
    """Source that reads a sound file: values from -1 to 1, with their times, via soundfile.

    Needs ``pip install 'edge-rnn[audio]'``. Reads all formats of libsndfile: WAV (8 to 32 bits, floating point,
    extensible), RF64, FLAC, Ogg. A model that reads as many values as there are channels gets one frame per step; from
    a single channel, a model that reads I values gets I consecutive ones per step.

    Parameters
    ----------
    path
        The file.
    size
        Values per sample.
    channel
        Channels to read, from 1; empty for all.

    Attributes
    ----------
    name
        Name of the file.
    sample_rate_hz
        Sample rate in Hz as seen by the model.

    Raises
    ------
    FileError
        The file cannot be read, is not a sound file, or lacks a channel asked for.
    UnsupportedError
        soundfile is not installed.
    """

    blocks = False
    live = False

    def __init__(self, path: str | os.PathLike[str], size: int, *, channel: Sequence[int] = ()) -> None:
        self._path = Path(path)
        self.name = str(path)
        with file_access(path, "cannot be read as sound"):
            self._path.open("rb").close()  # raises the precise error, which libsndfile hides
        try:
            import soundfile
        except (ModuleNotFoundError, OSError) as error:  # OSError: libsndfile is missing
            raise UnsupportedError(
                f"a sound file needs soundfile, which cannot be loaded ({error}); pip install 'edge-rnn[audio]'."
            ) from None
        try:
            self._file: Any = soundfile.SoundFile(os.fspath(path))
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            reason = str(getattr(error, "error_string", None) or error)
            raise FileError(f"{path}: cannot be read as sound: {reason.rstrip('.')}.") from None
        chosen = [place - 1 for place in channel] or [*range(self._file.channels)]
        if max(chosen) >= self._file.channels or min(chosen) < 0 or len(chosen) not in (1, size):
            count = self._file.channels
            self._file.close()
            some = ",".join(map(str, range(1, size + 1))) if size <= count else "1"
            raise FileError(
                f"{path}: got {counted(len(chosen), 'channel')} of {count}, but the model reads "
                f"{counted(size, 'value')}; choose channels, counted from 1, with wav:FILE?channel={some}."
            )
        self._chosen = None if chosen == [*range(self._file.channels)] else chosen
        self._size = size
        self._frames = size // len(chosen)  # per sample
        self.sample_rate_hz = self._file.samplerate / self._frames
        self._block: F32 = np.empty((0, size), np.float32)
        self._place = 0
        self._given = 0
        self._reported = False

    def read(self) -> Timed | None:
        """Return the next sample, or None at the end; a remainder too short for a sample is ignored.

        Raises
        ------
        SampleError
            Raised once, at the end: the file is damaged, or shorter than its header claims.
        """
        if self._place == len(self._block):
            problem = self._fetch()
            if not len(self._block):
                self._tell_missing(problem)
                return None
        x = self._block[self._place]
        self._place += 1
        self._given += 1
        return Timed(x, (self._given - 1) / self.sample_rate_hz)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _fetch(self) -> str:
        """Read the next block; return a problem if the file is damaged. The block is empty at the end."""
        wanted = max(_BLOCK_FRAMES // self._frames, 1) * self._frames
        problem = ""
        try:
            frames = self._file.read(wanted, dtype="float32", always_2d=True)
        except (RuntimeError, ValueError, OSError) as error:
            frames, problem = np.empty((0, self._file.channels), np.float32), str(error)
        if self._chosen is not None:
            frames = frames[:, self._chosen]
        values = np.ascontiguousarray(frames).reshape(-1)
        whole = len(values) // self._size * self._size
        self._block = values[:whole].reshape(-1, self._size)
        self._place = 0
        return problem

    def _tell_missing(self, problem: str) -> None:
        if self._reported or self._file.closed:
            return
        self._reported = True
        claimed = max(self._file.frames, self._claimed()) // self._frames
        if claimed > self._given:
            why = f": {problem}" if problem else ""
            raise SampleError(
                f"{self._path} ends after {self._given} of the {claimed} samples that its header claims{why}"
            )

    def _claimed(self) -> int:
        """Return the number of frames claimed by the header but missing; libsndfile reports it only in its log."""
        log = self._file.extra_info
        lie = re.search(r"data\s*:\s*(\d+) \(should be (\d+)\)", log)
        align = re.search(r"Block Align\s*:\s*(\d+)", log)
        if not lie or not align or int(lie[1]) < int(lie[2]) or not int(align[1]):
            return 0
        return int(lie[1]) // int(align[1])


def _open(url: Url, model: Model) -> Wav:
    return Wav(url.place, measured_size(model), **url.options)


def _places(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


WAV = Scheme(
    name="wav",
    place="FILE",
    help="sound from a file, also .flac and .ogg; ?channel=1",
    open=_open,
    options={"channel": _places},
    kind="file",
    packages=("soundfile",),
    install="edge-rnn[audio]",
    ability="read sound from files",
)
