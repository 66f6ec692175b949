"""How subcommands spell what went wrong in a loop."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["spell_troubles"]

_WORDS = {
    "missed_deadlines": "deadlines missed",
    "skipped_ticks": "ticks without a step",
    "late_samples": "samples late",
    "held": "samples held",
    "dropped": "samples dropped",
    "bad": "samples bad",
    "nonfinite": "samples not finite",
    "bad_times": "times not in order",
    "gaps": "gaps",
    "resets": "resets",
    "stalls": "stalls of the source",
    "source_failures": "failures of the source",
    "sink_failures": "failures of the sink",
    "unwritten": "results lost",
    "snapshot_failures": "snapshots not written",
}


def spell_troubles(counters: Mapping[str, int]) -> str:
    """Those counters that should be 0 and are not, in words; empty if all is well."""
    return ", ".join(f"{counters[name]:,} {words}" for name, words in _WORDS.items() if counters[name])
