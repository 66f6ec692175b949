"""Event: something began or ended in what a network puts out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Event"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something began or ended.

    Parameters
    ----------
    kind
        ``"entered"`` or ``"left"``.
    output
        Which output of the network.
    label
        What it is called; empty without labels.
    sample
        Which output vector it was decided with, counted from 0 since the start or the last reset.
    since
        Of ``"entered"``: the first of the output vectors in a row that led to it. Of ``"left"``: ``sample`` of the
        ``"entered"`` that it ends.
    confidence
        Of ``"entered"``: the output's value at ``sample``. Of ``"left"``: the largest one in between.
    t_s
        Time of ``sample`` in seconds as it was handed over, NaN if it was not.
    """

    kind: Literal["entered", "left"]
    output: int
    label: str
    sample: int
    since: int
    confidence: float
    t_s: float
