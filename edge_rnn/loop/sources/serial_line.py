"""Lines of CSV or JSON from a serial port."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.loop.line_buffer import LineBuffer
from edge_rnn.loop.protocols import SampleError
from edge_rnn.sample_lines import LineError, LineParser

__all__ = ["SerialLine"]

_LONGEST_BYTES = 4096
_LOOK_S = 0.2


class SerialLine:
    """A sample a line from a port, through pyserial (``pip install 'edge-rnn[serial]'``).

    The port is opened at the first ``read``. What comes before the first end of a line is thrown away: it may be the
    end of a number. A line of noise is one bad sample; a port that disappears is an OSError, and the next ``read``
    opens it again.

    Parameters
    ----------
    port
        ``"/dev/ttyUSB0"``, or a URL that pyserial takes.
    size
        Numbers in a sample.
    names
        What the model calls its inputs; JSON's keys are found by them.
    baud
        Bits a second.
    kind
        ``"csv"``, ``"json"`` or ``"auto"``.

    Raises
    ------
    UnsupportedError
        pyserial is not installed.
    """

    blocks = True
    live = True

    def __init__(
        self, port: str, size: int, names: Sequence[str] = (), *, baud: int = 115200, kind: str = "auto"
    ) -> None:
        try:
            import serial
        except ModuleNotFoundError:
            raise UnsupportedError(
                "a serial source takes pyserial, which is not installed; pip install 'edge-rnn[serial]'."
            ) from None
        if not port or baud < 1:
            raise InputError(
                f"SerialLine got the port {port!r} and baud {baud}, expected such as /dev/ttyUSB0, 115200."
            )
        self._open: Callable[[], Any] = partial(
            serial.serial_for_url, port, baudrate=baud, timeout=_LOOK_S, exclusive=True
        )
        self._parse = LineParser(size, names, kind)
        self._buffer = LineBuffer(_LONGEST_BYTES)
        self._port: Any = None
        self._whole = False
        self._closed = False

    def read(self) -> list[float] | None:
        """The next line's sample.

        Raises
        ------
        SampleError
            The line holds none.
        OSError
            The port is not there, or gone.
        """
        while not self._closed:
            line = self._buffer.take()
            if line is None:
                self._fetch()
                continue
            if not self._whole:  # we came in the middle of it
                self._whole = True
                continue
            if len(line) > _LONGEST_BYTES:
                raise SampleError(f"a line is longer than {_LONGEST_BYTES} bytes; the baud rate may be another one")
            try:
                values = self._parse(line)
            except LineError as problem:
                raise SampleError(f"a line from the port: {problem}") from None
            if values is not None:
                return values
        return None

    def close(self) -> None:
        """Give the port back; a ``read`` that waits returns soon."""
        self._closed = True
        if self._port is not None:
            self._port.close()

    def _fetch(self) -> None:
        if self._port is None:
            self._buffer.clear()
            self._whole = False
            self._port = self._open()
        try:
            # What is there, and at least one byte, for which the port's timeout is waited.
            data = self._port.read(max(1, min(self._port.in_waiting, 1 << 16)))
        except Exception as error:  # pyserial has a few kinds of its own, and lets TypeError out of a closed port
            port, self._port = self._port, None
            port.close()
            raise OSError(str(error) or type(error).__name__) from None
        if data:
            self._buffer.feed(data)
