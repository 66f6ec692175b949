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
from edge_rnn.typing import F32

__all__ = ["MIC", "Microphone"]


class Microphone:
    """Samples ``(size,)`` of a device, one channel, as numbers from -1 to 1, through sounddevice.

    ``pip install 'edge-rnn[audio]'``, and on Linux the system's PortAudio (``apt install libportaudio2``). A model that
    reads I numbers gets I at a time, one after the other. The device is opened at the first ``read``, and again after
    an error.

    Parameters
    ----------
    size
        Numbers in a sample.
    rate_hz
        Of the sound.
    device
        Name, a part of it, or number; None for the system's own choice.
    block_s
        Seconds of sound that are fetched at a time.

    Attributes
    ----------
    sample_rate_hz
        Samples for the model a second.
    overflows
        How often sound was lost because nobody fetched it.

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
            raise InputError(f"Microphone got {rate_hz} Hz and blocks of {block_s} s, expected numbers above 0.")
        try:
            import sounddevice
        except ModuleNotFoundError:
            raise UnsupportedError(
                "a microphone takes sounddevice, which is not installed; pip install 'edge-rnn[audio]'."
            ) from None
        except OSError as error:
            raise UnsupportedError(
                f"a microphone takes PortAudio, which cannot be loaded ({error}); sudo apt install libportaudio2."
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
        """The next sample.

        Raises
        ------
        OSError
            The device is not there, or gone.
        """
        if self._place == len(self._block):
            try:
                if self._stream is None:
                    self._start()
                if self._closed:  # while it was opened: nobody else will give it back
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
        """Give the device back, for good."""
        self._closed = True
        self._let_go()

    def _start(self) -> None:
        try:
            self._stream = self._open()
            self._stream.start()
        except Exception as error:  # PortAudio's own, ValueError for a name that fits none or several
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
        except Exception as error:  # PortAudio itself does not work here
            return f"which there are cannot be found out ({error})"
        without = "" if found else "; plug one in, and look at arecord -l and at the group audio"
        return listed("microphones", found) + without

    def _let_go(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def _source(url: Url, model: Model) -> Callable[[], Microphone]:
    device: str | int | None = int(url.place) if url.place.isdecimal() else url.place or None
    given = {"rate_hz": url.options["rate"]} if "rate" in url.options else {}
    return partial(Microphone, model.input_size, device=device, **given)


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
