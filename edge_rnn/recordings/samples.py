"""Samples from lines of CSV or JSON; problems of a line are reported in the sample, never raised."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from edge_rnn.recordings.sample_lines import FORMATS, MAX_LINE_BYTES, HeaderError, LineError, LineParser

__all__ = ["FORMATS", "Sample", "read_samples"]


@dataclass(frozen=True, slots=True)
class Sample:
    """Line that contains a sample, or should.

    Parameters
    ----------
    line
        Line number in the input, from 1.
    values
        One value per model input; NaN for a missing one. Empty if there is a problem.
    t_s
        Time in seconds; NaN if there is none.
    problem
        Description of the problem; empty if there is none.
    final
        True if no later line can be read either.
    """

    line: int
    values: Sequence[float] = ()
    t_s: float = math.nan
    problem: str = ""
    final: bool = False


def read_samples(source: BinaryIO, parse: LineParser) -> Iterator[Sample]:
    """Yield samples from a file or pipe, each as soon as its line is complete; skip blank lines and comments.

    Parameters
    ----------
    source
        Binary file.
    parse
        Parser of the lines, used for this source only.
    """
    for number, line in _lines(source):
        try:
            values = parse(line)
        except LineError as problem:
            yield Sample(number, problem=str(problem), final=isinstance(problem, HeaderError))
        else:
            if values is not None:
                yield Sample(number, values, parse.t_s)


def _lines(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield numbered lines of bounded length; the rest of a longer line is discarded."""
    number = 0
    while line := source.readline(MAX_LINE_BYTES + 1):
        number += 1
        yield number, line
        while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            line = source.readline(MAX_LINE_BYTES + 1)
