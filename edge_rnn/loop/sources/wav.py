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
from edge_rnn.spelling import counted
from edge_rnn.typing import F32

__all__ = ["SUFFIXES", "WAV", "Wav"]

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".w64", ".rf64", ".caf", ".mp3")
"""Of files that are sound."""

_BLOCK_FRAMES = 4096


class Wav:
    """Samples of a recording as numbers from -1 to 1, with their times, through soundfile.

    ``pip install 'edge-rnn[audio]'``. All that libsndfile reads: WAV of 8 to 32 bits, floating point and extensible,
    RF64, FLAC, Ogg. A model that reads as many numbers as there are channels gets one frame at a time; where there is
    one channel, a model that reads I numbers gets I at a time, one after the other.

    Parameters
    ----------
    path
        The file.
    size
        Numbers in a sample.
    channel
        The channels to take, from 1; empty for all.

    Attributes
    ----------
    name
        The file's.
    sample_rate_hz
        Samples for the model a second.

    Raises
    ------
    FileError
        The file cannot be read, is no sound, or has other channels.
    UnsupportedError
        soundfile is not installed.
    """

    blocks = False
    live = False

    def __init__(self, path: str | os.PathLike[str], size: int, *, channel: Sequence[int] = ()) -> None:
        self._path = Path(path)
        self.name = str(path)
        with file_access(path, "cannot be read as sound"):
            self._path.open("rb").close()  # says why not, which libsndfile does not
        try:
            import soundfile
        except (ModuleNotFoundError, OSError) as error:  # the latter: libsndfile is missing
            raise UnsupportedError(
                f"a sound file takes soundfile, which cannot be loaded ({error}); pip install 'edge-rnn[audio]'."
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
                f"{path}: has {counted(count, 'channel')}, {len(chosen)} asked for, but the model reads "
                f"{counted(size, 'number')}; ?channel={some} of wav:FILE says which are meant, from 1."
            )
        self._chosen = None if chosen == [*range(self._file.channels)] else chosen
        self._size = size
        self._frames = size // len(chosen)  # in a sample
        self.sample_rate_hz = self._file.samplerate / self._frames
        self._block: F32 = np.empty((0, size), np.float32)
        self._place = 0
        self._given = 0
        self._reported = False

    def read(self) -> Timed | None:
        """The next sample, None at the end; what is too short for a sample is left out.

        Raises
        ------
        SampleError
            Once, at the end: the file is shorter than its header says, or damaged.
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
        """Read the next block; empty at the end, and where the file is damaged, which is said."""
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
        """Frames that a header claims beyond the file's end, which libsndfile tells in its log alone; else 0."""
        log = self._file.extra_info
        lie = re.search(r"data\s*:\s*(\d+) \(should be (\d+)\)", log)
        align = re.search(r"Block Align\s*:\s*(\d+)", log)
        if not lie or not align or int(lie[1]) < int(lie[2]) or not int(align[1]):
            return 0
        return int(lie[1]) // int(align[1])


def _open(url: Url, model: Model) -> Wav:
    return Wav(url.place, model.input_size, **url.options)


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
