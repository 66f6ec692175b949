"""Shortened time measurements: tests check the use of a time, and none depends on its precision."""

from __future__ import annotations

from collections.abc import Mapping

from edge_rnn import timing
from edge_rnn.timing import chunks


def _time_chunks(
    makes: Mapping[str, chunks.Make], *, seconds: float = 0.3, enough: int = 25
) -> dict[str, chunks.Chunks]:
    """Time a hundredth of a second of each, instead of 25 undisturbed chunks."""
    return chunks.time_chunks(makes, seconds=min(seconds, 0.01), enough=min(enough, 3))


timing.time_chunks = _time_chunks
