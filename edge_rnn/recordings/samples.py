"""Lines of text into samples: CSV or JSON lines, what is wrong with a line told and never raised."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from edge_rnn.recordings.sample_lines import FORMATS, MAX_LINE_BYTES, HeaderError, LineError, LineParser

__all__ = ["FORMATS", "Sample", "read_samples"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One line that holds a sample, or should.

    Parameters
    ----------
    line
        Number of the line in the input, from 1.
    values
        As many numbers as the model reads; NaN for a missing one. Empty if there is a problem.
    t_s
        Its time in seconds, NaN for none.
    problem
        What is wrong with the line, in words; empty if nothing is.
    final
        Whether no later line can be read either.
    """

    line: int
    values: Sequence[float] = ()
    t_s: float = math.nan
    problem: str = ""
    final: bool = False


def read_samples(source: BinaryIO, parse: LineParser) -> Iterator[Sample]:
    """Samples from a file or pipe, each as soon as its line is complete; blank lines and comments are passed over.

    Parameters
    ----------
    source
        Opened for reading bytes.
    parse
        What reads a line; of this source alone.
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
    """Numbered lines, none longer than a bound: the rest of such a line is thrown away."""
    number = 0
    while line := source.readline(MAX_LINE_BYTES + 1):
        number += 1
        yield number, line
        while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            line = source.readline(MAX_LINE_BYTES + 1)
