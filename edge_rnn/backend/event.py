"""Event: the start or end of an active period of an output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Event"]


@dataclass(frozen=True, slots=True)
class Event:
    """Start or end of an active period of an output.

    Parameters
    ----------
    kind
        ``"entered"`` or ``"left"``.
    output
        Index of the network output.
    label
        Label of the output; empty without labels.
    sample
        Index of the output vector that triggered the event, from 0 since the start or the last reset.
    since
        For ``"entered"``: index of the first vector of the run that led to it. For ``"left"``: ``sample`` of the
        matching ``"entered"`` event.
    confidence
        For ``"entered"``: value of the output at ``sample``. For ``"left"``: largest value during the active period.
    t_s
        Time of ``sample`` in seconds as passed to ``push``, NaN if none was passed.
    """

    kind: Literal["entered", "left"]
    output: int
    label: str
    sample: int
    since: int
    confidence: float
    t_s: float
