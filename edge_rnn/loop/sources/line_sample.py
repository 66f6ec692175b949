"""Conversion of lines into samples, with errors as a loop expects them from a source."""

from __future__ import annotations

import math

from edge_rnn.loop.protocols import SampleError, SourceUnfit, Timed
from edge_rnn.recordings.sample_lines import HeaderError, LineError, LineParser

__all__ = ["sample_of"]


def sample_of(parse: LineParser, line: bytes, where: str, source: str = "") -> Timed | list[float] | None:
    """Return the sample of a line, with its time if it has one; None for a header, a comment or a blank line.

    Parameters
    ----------
    where
        Name of the line in messages: ``"line 3"``.
    source
        Origin of the line, if ``where`` does not state it.

    Raises
    ------
    SampleError
        The line contains no sample.
    SourceUnfit
        The columns of the header differ from the model's inputs.
    """
    try:
        values = parse(line)
    except HeaderError as problem:
        raise SourceUnfit(f"{source}{source and ', '}{where}: {problem}.") from None
    except LineError as problem:
        raise SampleError(f"{where}: {problem}") from None
    return values if values is None or math.isnan(parse.t_s) else Timed(values, parse.t_s)
