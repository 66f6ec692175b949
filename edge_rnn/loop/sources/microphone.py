"""Sound from a microphone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.loop.scheme import Scheme, Url
from edge_rnn.loop.sources.remedies import listed
from edge_rnn.model import Model
from edge_rnn.recordings.elapsed import measured_size
from edge_rnn.typing import F32

__all__ = ["MIC", "Microphone"]


class Microphone:
    """Source of sound from an audio device, one channel, ``(size,)`` values from -1 to 1, via sounddevice.

    Needs ``pip install 'edge-rnn[audio]'``, and on Linux the system's PortAudio (``apt install libportaudio2``). A
    model that reads I values gets I consecutive ones per step. The device is opened at the first ``read``, and reopened
    after an error.

    Parameters
    ----------
    size
        Values per sample.
    rate_hz
        Sample rate of the sound in Hz.
    device
        Device name, part of it, or number; None for the system's default device.
    block_s
        Seconds of sound per block read.

    Attributes
    ----------
    sample_rate_hz
        Sample rate in Hz as seen by the model.
    overflows
        Number of times that sound was lost because it was not read in time.

    Raises
    ------
    UnsupportedError
        sounddevice or PortAudio is not installed.
    """

    blocks = True
    live = True
    steady = True

    def __init__(
        self, size: int, *, rate_hz: float = 16000.0, device: str | int | None = None, block_s: float = 0.02
    ) -> None:
        if not (rate_hz > 0 and block_s > 0):
            raise InputError(f"Microphone got rate_hz={rate_hz}, block_s={block_s}; expected numbers above 0.")
        try:
            import sounddevice
        except ModuleNotFoundError:
            raise UnsupportedError(
                "a microphone needs sounddevice, which is not installed; pip install 'edge-rnn[audio]'."
            ) from None
        except OSError as error:
            raise UnsupportedError(
                f"a microphone needs PortAudio, which cannot be loaded ({error}); sudo apt install libportaudio2."
            ) from None
        self._size = size
        self.sample_rate_hz = rate_hz / size
        self._count = max(round(rate_hz * block_s / size), 1)
        self._sounddevice: Any = sounddevice
        self._device = device
        self._open: Callable[[], Any] = partial(
            sounddevice.InputStream,
            samplerate=rate_hz,
            channels=1,
            dtype="float32",
            device=device,
            blocksize=self._count * size,
        )
        self._stream: Any = None
        self._block: F32 = np.empty((0, size), np.float32)
        self._place = 0
        self._closed = False
        self.overflows = 0

    def read(self) -> F32:
        """Return the next sample.

        Raises
        ------
        OSError
            The device is missing or was disconnected.
        """
        if self._place == len(self._block):
            try:
                if self._stream is None:
                    self._start()
                if self._closed:  # closed while opening: release the device here
                    raise OSError("the microphone was closed")
                data, overflowed = self._stream.read(self._count * self._size)
            except Exception as error:
                self._let_go()
                raise OSError(str(error) or type(error).__name__) from None
            self.overflows += bool(overflowed)
            self._block = np.asarray(data, np.float32).reshape(-1, self._size)
            self._place = 0
        x: F32 = self._block[self._place]
        self._place += 1
        return x

    def close(self) -> None:
        """Release the device for good."""
        self._closed = True
        self._let_go()

    def _start(self) -> None:
        try:
            self._stream = self._open()
            self._stream.start()
        except Exception as error:  # PortAudio's own errors; ValueError for a name that matches no or several devices
            asked = "the microphone" if self._device is None else f"the microphone {self._device!r}"
            reason = str(error) or type(error).__name__
            raise OSError(f"{asked} cannot be opened: {reason}; {self._devices()}") from None

    def _devices(self) -> str:
        try:
            found = [
                f"{number}: {each['name']}"
                for number, each in enumerate(self._sounddevice.query_devices())
                if each["max_input_channels"] > 0
            ]
        except Exception as error:  # PortAudio itself does not work
            return f"the list of devices is not available ({error})"
        without = "" if found else "; plug one in, and check arecord -l and the group audio"
        return listed("microphones", found) + without

    def _let_go(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def _source(url: Url, model: Model) -> Callable[[], Microphone]:
    device: str | int | None = int(url.place) if url.place.isdecimal() else url.place or None
    given = {"rate_hz": url.options["rate"]} if "rate" in url.options else {}
    return partial(Microphone, measured_size(model), device=device, **given)


MIC = Scheme(
    name="mic",
    place="",
    help="sound from a microphone; mic:DEVICE?rate=16000",
    open=_source,
    options={"rate": float},
    kind="device",
    group="audio",
    packages=("sounddevice",),
    install="edge-rnn[audio]",
    ability="read a microphone",
)
