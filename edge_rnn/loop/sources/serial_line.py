"""Lines of CSV or JSON from a serial port."""

from __future__ import annotations

import contextlib
import os
import termios
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.loop.protocols import SampleError, Timed
from edge_rnn.loop.scheme import Scheme, Url, flag, whole
from edge_rnn.loop.sources.line_buffer import LineBuffer
from edge_rnn.loop.sources.line_options import LINE_OPTIONS, line_options
from edge_rnn.loop.sources.line_sample import sample_of
from edge_rnn.loop.sources.remedies import device_problem, listed
from edge_rnn.model import Model
from edge_rnn.recordings.sample_lines import LineError, LineParser

__all__ = ["SERIAL", "SerialLine"]

_LONGEST_BYTES = 4096
_LOOK_S = 0.2
_QUIET_BITS = 200
"""Silence in bit times that separates two lines, and does not occur within one."""


class SerialLine:
    """Source that reads one sample per line from a serial port, via pyserial (``pip install 'edge-rnn[serial]'``).

    The port is opened at the first ``read``, and stays open during silence. The first line is discarded if it may be
    incomplete, because it could be the end of a number; it is used if 0.2 s of silence precede it, or if it is complete
    JSON. A line of noise counts as one bad sample; a port that disappears raises OSError, and the next ``read`` reopens
    it.

    Linux raises DTR and RTS when it opens a port; they are left so, also after closing (``-hupcl``), so that a board
    that resets on DTR is reset at most once, by the first opening.

    Parameters
    ----------
    port
        ``"/dev/ttyUSB0"``, or a pyserial URL.
    size
        Values per sample.
    names
        The model's input names, by which columns and JSON keys are found.
    baud
        Bits per second.
    kind
        ``"csv"``, ``"json"`` or ``"auto"``.
    dtr, rts
        True to raise these control lines while the port is open.
    time, columns, units, sample_rate_hz
        As for :class:`Lines`.

    Raises
    ------
    UnsupportedError
        pyserial is not installed.
    """

    blocks = True
    live = True
    timed = True

    def __init__(
        self,
        port: str,
        size: int,
        names: Sequence[str] = (),
        *,
        baud: int = 115200,
        kind: str = "auto",
        dtr: bool = True,
        rts: bool = True,
        time: str = "",
        columns: Sequence[str] = (),
        units: Sequence[str] = (),
        sample_rate_hz: float | None = None,
    ) -> None:
        try:
            import serial
        except ModuleNotFoundError:
            raise UnsupportedError(
                "a serial source needs pyserial, which is not installed; pip install 'edge-rnn[serial]'."
            ) from None
        if not port or baud < 1:
            raise InputError(
                f"SerialLine got port={port!r}, baud={baud}; expected a port and a rate such as /dev/ttyUSB0, 115200."
            )
        made = partial(serial.serial_for_url, port, baudrate=baud, timeout=_LOOK_S, exclusive=True, do_not_open=True)
        try:
            made()
        except ValueError as error:
            raise InputError(f"SerialLine got port={port!r}: {error}; expected a port such as /dev/ttyUSB0.") from None
        self._open: Callable[[], Any] = partial(_opened, made, port, dtr, rts)
        self._enough_quiet_s = max(_LOOK_S, _QUIET_BITS / baud)
        self._parse = LineParser(size, names, kind, units=units, columns=columns, time=time, chatty=True)
        self.sample_rate_hz = sample_rate_hz
        self._buffer = LineBuffer(_LONGEST_BYTES)
        self._port: Any = None
        self._whole = False
        self._quiet_s = 0.0
        self._closed = False

    def read(self) -> Timed | list[float] | None:
        """Return the sample of the next line.

        Raises
        ------
        SampleError
            The line contains no sample.
        SourceUnfit
            The columns of the header differ from the model's inputs.
        OSError
            The port is missing or was disconnected.
        """
        while not self._closed:
            line = self._buffer.take()
            if line is None:
                self._fetch()
                continue
            if not self._whole:  # reading may have started in the middle of this line
                self._whole = True
                if (values := self._whole_json(line)) is not None:
                    return values
                continue
            if len(line) > _LONGEST_BYTES:
                raise SampleError(f"a line is longer than {_LONGEST_BYTES} bytes; check the baud rate")
            sample = sample_of(self._parse, line, "a line from the port")
            if sample is not None:
                return sample
        return None

    def close(self) -> None:
        """Close the port; a waiting ``read`` returns soon."""
        self._closed = True
        if self._port is not None:
            self._port.close()

    def _whole_json(self, line: bytes) -> list[float] | None:
        """Return the sample of a JSON line, which cannot be parsed without its beginning; None for any other line."""
        if not line.lstrip().startswith((b"{", b"[")):
            return None
        try:
            return self._parse(line)
        except LineError:
            return None

    def _fetch(self) -> None:
        if self._port is None:
            self._buffer.clear()
            self._whole = False
            self._quiet_s = 0.0
            self._port = self._open()
        try:
            # Read all available bytes; if there are none, wait for one until the port's timeout.
            data = self._port.read(max(1, min(self._port.in_waiting, 1 << 16)))
        except Exception as error:  # pyserial has its own error types, and raises TypeError for a closed port
            port, self._port = self._port, None
            port.close()
            raise OSError(str(error) or type(error).__name__) from None
        if data:
            self._buffer.feed(data)
            self._quiet_s = float("-inf")  # a later silence is within or after a line
            return
        self._quiet_s += _LOOK_S
        if self._quiet_s >= self._enough_quiet_s:
            self._whole = True


def _opened(make: Callable[[], Any], name: str, dtr: bool, rts: bool) -> Any:
    """Open the port without changing its control lines.

    Raises
    ------
    OSError
        The port is missing, in use or not permitted; the message says what to do.
    """
    port = make()
    try:
        port.dtr, port.rts = dtr, rts
        port.open()
    except OSError as error:  # the base class of pyserial's own
        raise OSError(_problem(error, name)) from None
    with contextlib.suppress(AttributeError, OSError, TypeError, termios.error):  # not a terminal
        settings = termios.tcgetattr(port.fd)
        settings[2] &= ~termios.HUPCL
        termios.tcsetattr(port.fd, termios.TCSANOW, settings)
    return port


def _problem(error: OSError, name: str) -> str:
    from serial.tools.list_ports import comports

    ports = listed("serial ports", (f"{port.device} {port.description}".removesuffix(" n/a") for port in comports()))
    if "://" in name:
        return str(error)
    if error.errno is None:  # opened, but without baud rates
        return f"{name} is not a serial port ({error}); {ports}"
    return device_problem(OSError(error.errno, os.strerror(error.errno)), name, "dialout", ports)


def _source(url: Url, model: Model) -> Callable[[], SerialLine]:
    given = {"kind" if name == "format" else name: value for name, value in url.options.items()}
    return partial(SerialLine, url.place, model.input_size, model.input_names, **line_options(given, model))


SERIAL = Scheme(
    name="serial",
    place="PORT",
    help="lines from a serial port; ?baud=115200; ?dtr=0&rts=0 lowers its control lines; ?time, ?columns and ?rate as "
    "for csv",
    open=_source,
    options={"baud": whole, "format": str, "dtr": flag, "rts": flag, **LINE_OPTIONS},
    kind="device",
    group="dialout",
    packages=("pyserial",),
    install="edge-rnn[serial]",
    ability="read a serial line",
)
