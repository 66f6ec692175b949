"""Outputs as lines of CSV or JSON, in a file or on stdout, written without buffering."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from edge_rnn.atomic import refuse_planted_link
from edge_rnn.checks import choice
from edge_rnn.errors import file_access
from edge_rnn.loop.protocols import SinkClosed
from edge_rnn.loop.scheme import Scheme, Url
from edge_rnn.model import Model
from edge_rnn.recordings.result_lines import csv_header, csv_results, json_results
from edge_rnn.typing import F32

__all__ = ["CSV", "JSONL", "Lines"]


class Lines:
    """Sink that writes a line per output: ``t_s,label,OUTPUT,…`` or ``{"t_s": …, "label": …, "y": […]}``.

    ``t_s`` is the time of the output in seconds.

    Lines are appended. A file that is renamed or removed meanwhile, as by logrotate, is created again. A line that
    could only be written in part is terminated before the next one, so that the fragment stands alone on its line.

    Parameters
    ----------
    path
        A file; ``"-"`` for stdout. The loop ends when the reader of stdout closes it.
    model
        Provides the names of the outputs.
    kind
        ``"csv"`` or ``"json"``.
    header
        True to start CSV with a header line, in an empty file and on stdout. A header that could not be written is
        written before the next line.

    Raises
    ------
    FileError
        The file cannot be created.
    """

    def __init__(self, path: str | os.PathLike[str], model: Model, *, kind: str = "csv", header: bool = True) -> None:
        choice("Lines", "kind", kind, ("csv", "json"))
        self._path = None if os.fspath(path) == "-" else Path(path)
        self._header = csv_header(model, "t_s").encode() if kind == "csv" and header else b""
        self._line = csv_results(model) if kind == "csv" else json_results(model, "t_s")
        self._torn = False
        self._descriptor = -1
        self._inode = (0, 0)
        self._unwritten = b""
        self._open()
        with contextlib.suppress(OSError, SinkClosed):  # the first write reports it, and the loop handles that
            self._put(b"")

    def write(self, y: F32, t_s: float) -> None:
        """Write one line.

        Raises
        ------
        SinkClosed
            The reader of stdout has closed it.
        OSError
            The disk is full or gone.
        """
        if self._path is not None and not self._in_place():
            self._let_go()
            self._open()
        self._put(self._line(f"{t_s:.6f}", y).encode())

    def close(self) -> None:
        """Close the file."""
        self._let_go()

    def _open(self) -> None:
        if self._path is None:
            self._descriptor = os.dup(1)
            empty = True
        else:
            with file_access(self._path, "cannot be written"):
                refuse_planted_link(self._path)
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            found = os.fstat(self._descriptor)
            self._inode = found.st_dev, found.st_ino
            empty = found.st_size == 0
        self._torn = False
        self._unwritten = self._header if empty else b""

    def _in_place(self) -> bool:
        assert self._path is not None
        try:
            found = self._path.stat()
        except OSError:
            return False
        return self._descriptor >= 0 and (found.st_dev, found.st_ino) == self._inode

    def _put(self, line: bytes) -> None:
        line = self._unwritten + line
        if self._torn:
            line = b"\n" + line
        left = memoryview(line)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except BrokenPipeError:
            raise SinkClosed from None
        except OSError:
            self._torn = self._torn or 0 < len(left) < len(line)
            raise
        self._torn, self._unwritten = False, b""

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _sink(url: Url, model: Model) -> Callable[[], Lines]:
    return partial(Lines, url.place, model, kind=url.scheme.removesuffix("l"), header=url.header)


CSV = Scheme(name="csv", place="FILE", help="lines of CSV; - is stdout", open=_sink, kind="file")

JSONL = Scheme(name="jsonl", place="FILE", help="lines of JSON; - is stdout", open=_sink, kind="file")
