"""Lines of CSV or JSON from a file, a pipe, or a growing file."""

from __future__ import annotations

import contextlib
import os
import select
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

from edge_rnn.checks import choice, whole
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
    """Source that reads one sample per line, in the formats of ``edge-rnn run``.

    Parameters
    ----------
    path
        A file; ``"-"`` for stdin, which may be a pipe.
    size
        Values per sample.
    names
        The model's input names, by which columns and keys are found.
    kind
        ``"csv"``, ``"json"`` or ``"auto"``.
    time
        Column or key of the time, optionally with its unit: ``"ts"``, ``"ts,ms"``, or its position from 1. Empty to
        detect it: a column with a usual name for times and an unambiguous unit, if there is one.
    columns
        Columns or keys to read, in the model's order: names, or positions from 1. Empty to use ``names``.
    units
        The model's units; a header with different units is an error.
    sample_rate_hz
        Sample rate of the recording or device in Hz, if known.
    follow
        True to keep reading at the end of the file, as lines are appended (``tail -F``). A file that is replaced (other
        inode) or truncated is read from its start once the old one is finished; a missing file is waited for.
    from_start
        With ``follow``: start at the beginning of an existing file, not at its end.
    live
        True if lines arrive in real time, so that old ones lose their value.

    Raises
    ------
    FileError
        The file is missing or unreadable, and not followed.
    InputError
        An option is invalid; or ``follow`` is given for stdin, a pipe, a device or a folder.
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
            raise InputError("Lines got follow for stdin, expected the name of a file.")
        self._parse = LineParser(whole("Lines", "size", size), names, kind, units=units, columns=columns, time=time)
        self._buffer = LineBuffer(MAX_LINE_BYTES)
        self._follow = follow
        self._at_end = follow and not from_start
        self._closed = threading.Event()
        self._line = 0
        self._descriptor: int | None = None
        self._ended = False
        if not follow:
            self._open()
        elif self._path is not None and self._path.exists():  # otherwise it may appear later
            self._check_followed(self._path.stat().st_mode)
        regular = self._descriptor is not None and stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self.blocks = not regular
        self.live = live
        self.sample_rate_hz = sample_rate_hz
        self.timed = True

    def read(self) -> Timed | list[float] | None:
        """Return the sample of the next line; None at the end.

        Raises
        ------
        SampleError
            The line contains no sample.
        SourceUnfit
            The columns of the header differ from the model's inputs.
        OSError
            The file cannot be read; the next call continues at the same position.
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
        """Make a waiting ``read`` return soon."""
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
                self._at_end = False  # the replacement is read from its start
                self._let_go()
                raise
        if stat.S_ISDIR(mode):
            self._let_go()
            raise no_regular_file(f"{self._path}: is a folder, expected a file of samples.", self._path)
        if self._at_end:
            self._skip_to_end(self._descriptor)
            self._at_end = False

    def _skip_to_end(self, descriptor: int) -> None:
        """Read the header, then seek to the last incomplete line, or to the end."""
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
                f"Lines got follow for {self._path}, expected a growing file; omit follow for a pipe or a device, "
                f"which is read to its end anyway."
            )

    def _let_go(self) -> None:
        descriptor, self._descriptor = getattr(self, "_descriptor", None), None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _fetch(self) -> None:
        """Read more bytes, or wait briefly."""
        if self._descriptor is None:  # a followed file that does not exist yet
            try:
                self._open()
            except FileError:
                self._at_end = False  # a file that appears later is read from its start
                self._closed.wait(_LOOK_S)
            return
        if self.blocks and not self._follow:
            poll = select.poll()  # select() is limited to descriptors below 1024
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
        """True if the path now refers to another file, or the file was truncated."""
        assert self._path is not None
        assert self._descriptor is not None
        mine = os.fstat(self._descriptor)
        try:
            theirs = self._path.stat()
        except OSError:
            return False  # rotation in progress; the old file may still be written to
        if (mine.st_dev, mine.st_ino) != (theirs.st_dev, theirs.st_ino):
            data = os.read(self._descriptor, _CHUNK_BYTES)  # bytes that arrived between the last read and the rename
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
    help="lines of CSV; - is stdin; ?follow=1 keeps reading as tail -F does, &start=1 from the first line; "
    "?time=COLUMN or COLUMN,ms (s, us, ns, iso); ?columns=NAME,NAME; ?rate=HZ; ?live=1 allows dropping old samples",
    open=_open,
    options=_OPTIONS,
    kind="file",
)

JSONL = Scheme(
    name="jsonl", place="FILE", help="lines of JSON; options as for csv", open=_open, options=_OPTIONS, kind="file"
)
