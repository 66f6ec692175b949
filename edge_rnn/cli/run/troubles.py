"""Wording of problems in a loop."""

from __future__ import annotations

from collections.abc import Mapping

from edge_rnn.spelling import counted

__all__ = ["spell_troubles"]

_WORDS = {
    "missed_deadlines": ("deadline missed", "deadlines missed"),
    "skipped_ticks": ("tick without a step", "ticks without a step"),
    "late_samples": ("sample late", "samples late"),
    "held": ("sample held", "samples held"),
    "dropped": ("sample dropped", "samples dropped"),
    "bad": ("sample bad", "samples bad"),
    "nonfinite": ("sample not finite", "samples not finite"),
    "bad_times": ("time not in order", "times not in order"),
    "gaps": ("gap", "gaps"),
    "resets": ("reset", "resets"),
    "stalls": ("stall of the source", "stalls of the source"),
    "source_failures": ("failure of the source", "failures of the source"),
    "sink_failures": ("failure of the sink", "failures of the sink"),
    "unwritten": ("result lost", "results lost"),
    "snapshot_failures": ("snapshot not written", "snapshots not written"),
}


def spell_troubles(counters: Mapping[str, int]) -> str:
    """List the counters that should be 0 and are not, in words; empty if all are."""
    return ", ".join(counted(counters[name], *words) for name, words in _WORDS.items() if counters[name])
