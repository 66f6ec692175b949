"""Sound from a WAV file, block by block."""

from __future__ import annotations

import os
import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.errors import FileError
from edge_rnn.loop.protocols import Array, SampleError, Timed

__all__ = ["Wav", "pcm"]

_BLOCK_FRAMES = 4096


class Wav:
    """Samples of a recording in PCM with 8, 16, 24 or 32 bits, as numbers from -1 to 1, with their times.

    A model that reads as many numbers as there are channels gets one frame at a time; where there is one channel, a
    model that reads I numbers gets I at a time, one after the other.

    Parameters
    ----------
    path
        The file.
    size
        Numbers in a sample.

    Attributes
    ----------
    rate_hz
        Samples for the model a second.

    Raises
    ------
    FileError
        The file cannot be read, is none that the standard library's ``wave`` takes, or has other channels.
    """

    blocks = False
    live = False

    def __init__(self, path: str | os.PathLike[str], size: int) -> None:
        self._path = Path(path)
        try:
            self._file = wave.open(os.fspath(path), "rb")  # noqa: SIM115 - read from for as long as the source lives
        except (OSError, EOFError, wave.Error, ValueError, RuntimeError) as error:  # the last: a chunk beyond its end
            reason = getattr(error, "strerror", None) or str(error) or "it ends too early"
            raise FileError(f"{path}: cannot be read as a WAV file of PCM: {reason}.") from None
        channels = self._file.getnchannels()
        if channels not in (1, size) or self._file.getsampwidth() not in (1, 2, 3, 4) or self._file.getframerate() < 1:
            bits = 8 * self._file.getsampwidth()
            self._file.close()
            raise FileError(
                f"{path}: has {channels} channels of {bits} bits, but the model reads {size} numbers; expected 1 or "
                f"{size} channels of 8, 16, 24 or 32 bits."
            )
        self._size = size
        self._frames = size // channels  # in a sample
        self.rate_hz = self._file.getframerate() / self._frames
        self._block = np.empty((0, size), np.float32)
        self._place = 0
        self._given = 0
        self._told = False

    def read(self) -> Timed | None:
        """The next sample, None at the end; what is too short for a sample is left out.

        Raises
        ------
        SampleError
            Once, at the end: the file is shorter than its header says.
        """
        if self._place == len(self._block):
            self._fetch()
            if not len(self._block):
                self._tell_missing()
                return None
        x = self._block[self._place]
        self._place += 1
        self._given += 1
        return Timed(x, (self._given - 1) / self.rate_hz)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _fetch(self) -> None:
        wanted = max(_BLOCK_FRAMES // self._frames, 1) * self._frames
        try:
            data = self._file.readframes(wanted)
        except (EOFError, wave.Error, ValueError, RuntimeError):  # it is damaged here, and would be the next time
            data = b""
        values = pcm(data, self._file.getsampwidth())
        whole = len(values) // self._size * self._size
        self._block = values[:whole].reshape(-1, self._size)
        self._place = 0

    def _tell_missing(self) -> None:
        claimed = self._file.getnframes() // self._frames
        if claimed > self._given and not self._told:
            self._told = True
            raise SampleError(f"{self._path} ends after {self._given} of the {claimed} samples that its header claims")


def pcm(data: bytes, width: int) -> Array:
    """Samples ``(n,)`` float32 from -1 to 1 from little-endian PCM of ``width`` bytes; 8 bits are unsigned."""
    raw = np.frombuffer(data, np.uint8, len(data) // width * width)
    if width == 1:
        unsigned: Array = (raw.astype(np.float32) - 128) / np.float32(128)
        return unsigned
    if width == 3:  # into the upper bytes of 32 bits
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        raw, width = wide.reshape(-1), 4
    whole: NDArray[np.signedinteger[Any]] = raw.view(f"<i{width}")
    scaled: Array = (whole / float(1 << (8 * width - 1))).astype(np.float32)
    return scaled
