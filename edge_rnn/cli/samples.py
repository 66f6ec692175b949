"""Lines of text into samples: CSV or JSON lines, what is wrong with a line told and never raised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from edge_rnn.sample_lines import FORMATS, MAX_LINE_BYTES, LineError, LineParser

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
    problem
        What is wrong with the line, in words; empty if nothing is.
    """

    line: int
    values: Sequence[float] = ()
    problem: str = ""


def read_samples(source: BinaryIO, size: int, names: Sequence[str] = (), kind: str = "auto") -> Iterator[Sample]:
    """Samples from a file or pipe, each as soon as its line is complete; blank lines are passed over.

    Parameters
    ----------
    source
        Opened for reading bytes.
    size
        Numbers in a sample.
    names
        What the model calls its inputs; columns and keys are found by them.
    kind
        ``"csv"``, ``"json"``, or ``"auto"``: JSON if the first line begins with ``[`` or ``{``.
    """
    parse = LineParser(size, names, kind)
    for number, line in _lines(source):
        try:
            values = parse(line)
        except LineError as problem:
            yield Sample(number, problem=str(problem))
        else:
            if values is not None:
                yield Sample(number, values)


def _lines(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Numbered lines, none longer than a bound: the rest of such a line is thrown away."""
    number = 0
    while line := source.readline(MAX_LINE_BYTES + 1):
        number += 1
        yield number, line
        while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            line = source.readline(MAX_LINE_BYTES + 1)
