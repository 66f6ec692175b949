"""Lines into samples, with what a loop expects of a source where a line holds none."""

from __future__ import annotations

import math

from edge_rnn.loop.protocols import SampleError, SourceUnfit, Timed
from edge_rnn.recordings.sample_lines import HeaderError, LineError, LineParser

__all__ = ["sample_of"]


def sample_of(parse: LineParser, line: bytes, where: str, source: str = "") -> Timed | list[float] | None:
    """The sample of a line, with its time where it has one; None of a header and the like.

    Parameters
    ----------
    where
        What the line is called: ``"line 3"``.
    source
        Where the line comes from, if that is not told by ``where``.

    Raises
    ------
    SampleError
        The line holds none.
    SourceUnfit
        The header has other columns than the model.
    """
    try:
        values = parse(line)
    except HeaderError as problem:
        raise SourceUnfit(f"{source}{source and ', '}{where}: {problem}.") from None
    except LineError as problem:
        raise SampleError(f"{where}: {problem}") from None
    return values if values is None or math.isnan(parse.t_s) else Timed(values, parse.t_s)
