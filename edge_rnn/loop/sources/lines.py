"""Lines of CSV or JSON from a file, a pipe, or a file that grows."""

from __future__ import annotations

import contextlib
import os
import select
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

from edge_rnn.checks import choice
from edge_rnn.errors import FileError, InputError, file_access, no_regular_file
from edge_rnn.loop.protocols import SourceUnfit, Timed
from edge_rnn.loop.scheme import Scheme, Url, flag
from edge_rnn.loop.sources.line_buffer import LineBuffer
from edge_rnn.loop.sources.line_options import LINE_OPTIONS, line_options
from edge_rnn.loop.sources.line_sample import sample_of
from edge_rnn.model import Model
from edge_rnn.recordings.sample_lines import FORMATS, MAX_LINE_BYTES, HeaderError, LineError, LineParser

__all__ = ["CSV", "JSONL", "Lines"]

_CHUNK_BYTES = 1 << 16
_LOOK_S = 0.1


class Lines:
    """A sample a line, as ``edge-rnn run`` takes them.

    Parameters
    ----------
    path
        A file; ``"-"`` for stdin, which may be a pipe.
    size
        Numbers in a sample.
    names
        What the model calls its inputs; columns and keys are found by them.
    kind
        ``"csv"``, ``"json"`` or ``"auto"``.
    time
        Column or key of the time, and maybe its unit: ``"ts"``, ``"ts,ms"``, or its place from 1. Empty for a column
        that is called as times are and whose unit is beyond doubt, if there is one.
    columns
        Columns or keys that are meant, in the model's order: names, or places from 1. Empty to go by ``names``.
    units
        The model's; a header with other ones is an error.
    sample_rate_hz
        Of the recording or device, if it is known.
    follow
        Go on at the end of the file, as lines are added to it (``tail -F``). A file of another inode, or that has
        become shorter, is read from its start once the old one is done; one that is not there is waited for.
    from_start
        With ``follow``: begin at the start of the file that is there, not at its end.
    live
        Whether the lines come at the world's pace, and old ones lose their worth.

    Raises
    ------
    FileError
        The file is not there or cannot be read, and is not followed.
    InputError
        An option is none of those that there are; or what is to be followed is stdin, a pipe, a device or a folder.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: int,
        names: Sequence[str] = (),
        *,
        kind: str = "auto",
        time: str = "",
        columns: Sequence[str] = (),
        units: Sequence[str] = (),
        sample_rate_hz: float | None = None,
        follow: bool = False,
        from_start: bool = False,
        live: bool = False,
    ) -> None:
        choice("Lines", "kind", kind, FORMATS)
        self._path = None if os.fspath(path) == "-" else Path(path)
        if follow and self._path is None:
            raise InputError("Lines got stdin to follow, expected the name of a file.")
        self._parse = LineParser(size, names, kind, units=units, columns=columns, time=time)
        self._buffer = LineBuffer(MAX_LINE_BYTES)
        self._follow = follow
        self._at_end = follow and not from_start
        self._closed = threading.Event()
        self._line = 0
        self._descriptor: int | None = None
        self._ended = False
        if not follow:
            self._open()
        elif self._path is not None and self._path.exists():  # else it may come later
            self._check_followed(self._path.stat().st_mode)
        regular = self._descriptor is not None and stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self.blocks = not regular
        self.live = live
        self.sample_rate_hz = sample_rate_hz
        self.timed = True

    def read(self) -> Timed | list[float] | None:
        """The next line's sample; None at the end.

        Raises
        ------
        SampleError
            The line holds none.
        SourceUnfit
            The header has other columns than the model.
        OSError
            The file cannot be read; the next call goes on where this one was.
        """
        while True:
            line = self._buffer.take()
            if line is None:
                if self._ended or self._closed.is_set():
                    return None
                self._fetch()
                continue
            self._line += 1
            sample = sample_of(self._parse, line, f"line {self._line}", str(self._path or "stdin"))
            if sample is not None:
                return sample

    def close(self) -> None:
        """Have a ``read`` that waits return, soon."""
        self._closed.set()

    def __del__(self) -> None:
        self._let_go()

    def _open(self) -> None:
        if self._path is None:
            self._descriptor = os.dup(0)
            return
        with file_access(self._path):
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        mode = os.fstat(self._descriptor).st_mode
        if self._follow:
            try:
                self._check_followed(mode)
            except InputError:
                self._at_end = False  # what takes its place is new
                self._let_go()
                raise
        if stat.S_ISDIR(mode):
            self._let_go()
            raise no_regular_file(f"{self._path}: is a folder, expected a file of samples.", self._path)
        if self._at_end:
            self._skip_to_end(self._descriptor)
            self._at_end = False

    def _skip_to_end(self, descriptor: int) -> None:
        """Read the header, and go on with the line that is not complete yet, or the next one."""
        size = os.fstat(descriptor).st_size
        self._line = 0
        head = LineBuffer(MAX_LINE_BYTES)
        while not self._parse.begun and (data := os.read(descriptor, _CHUNK_BYTES)):
            head.feed(data)
            while not self._parse.begun and (line := head.take()) is not None:
                self._line += 1
                try:
                    self._parse(line)
                except HeaderError as problem:
                    self._at_end = False
                    raise SourceUnfit(f"{self._path}, line {self._line}: {problem}.") from None
                except LineError:
                    continue
        place = size
        while place > 0:
            begin = max(place - _CHUNK_BYTES, 0)
            end = os.pread(descriptor, place - begin, begin).rfind(b"\n")
            if end >= 0 or size - begin > MAX_LINE_BYTES:
                place = begin + end + 1 if end >= 0 else size
                break
            place = begin
        os.lseek(descriptor, place, os.SEEK_SET)

    def _check_followed(self, mode: int) -> None:
        if not stat.S_ISREG(mode):
            raise InputError(
                f"Lines got {self._path} to follow, expected a file that grows; a pipe or a device is read to its end "
                f"without follow."
            )

    def _let_go(self) -> None:
        descriptor, self._descriptor = getattr(self, "_descriptor", None), None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _fetch(self) -> None:
        """Read some more, or wait a little."""
        if self._descriptor is None:  # of a file that is followed, and not there yet
            try:
                self._open()
            except FileError:
                self._at_end = False  # all of a file that appears later is new
                self._closed.wait(_LOOK_S)
            return
        if self.blocks and not self._follow:
            poll = select.poll()  # select() takes no descriptor above 1023
            poll.register(self._descriptor, select.POLLIN)
            if not poll.poll(1000 * _LOOK_S):
                return
        data = os.read(self._descriptor, _CHUNK_BYTES)
        if data:
            self._buffer.feed(data)
        elif not self._follow:
            self._buffer.end()
            self._ended = True
            self._let_go()
        elif self._replaced():
            self._buffer.end()
            self._let_go()
            self._parse.renew()
            self._line = 0
        else:
            self._closed.wait(_LOOK_S)

    def _replaced(self) -> bool:
        """Whether the name belongs to another file now, or the file has been cut off."""
        assert self._path is not None
        assert self._descriptor is not None
        mine = os.fstat(self._descriptor)
        try:
            theirs = self._path.stat()
        except OSError:
            return False  # being rotated; the old one may still be written to
        if (mine.st_dev, mine.st_ino) != (theirs.st_dev, theirs.st_ino):
            data = os.read(self._descriptor, _CHUNK_BYTES)  # what came between the last read and the rename
            if data:
                self._buffer.feed(data)
                return False
            return True
        return mine.st_size < os.lseek(self._descriptor, 0, os.SEEK_CUR)


def _open(url: Url, model: Model) -> Lines:
    given = dict(url.options)
    if "start" in given:
        given["from_start"] = given.pop("start")
    kind = url.scheme.removesuffix("l")
    return Lines(url.place, model.input_size, model.input_names, kind=kind, **line_options(given, model))


_OPTIONS = {"follow": flag, "start": flag, "live": flag, **LINE_OPTIONS}

CSV = Scheme(
    name="csv",
    place="FILE",
    help="lines of CSV; - is stdin; ?follow=1 goes on as tail -F does, &start=1 from the first line; ?time=COLUMN or "
    "COLUMN,ms (s, us, ns, iso); ?columns=NAME,NAME; ?rate=HZ; ?live=1 lets old samples go",
    open=_open,
    options=_OPTIONS,
    kind="file",
)

JSONL = Scheme(
    name="jsonl", place="FILE", help="lines of JSON; all as for csv", open=_open, options=_OPTIONS, kind="file"
)
