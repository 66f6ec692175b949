"""What a loop counts: whole numbers, one addition each, so that they cost the same after a year."""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """What has happened since the loop started."""

    samples: int = 0
    """Taken from the source, the bad ones among them."""
    steps: int = 0
    """Of the network, the held ones among them."""
    written: int = 0
    """Outputs that the sink took; what it could not deliver in the end is taken off."""
    missed_deadlines: int = 0
    """Ticks that had not begun when the next one was due."""
    overruns: int = 0
    """Ticks whose work was not done when the next one was due."""
    skipped_ticks: int = 0
    """Ticks that got no step."""
    late_samples: int = 0
    """Ticks at which no sample was there."""
    held: int = 0
    """Steps with the last sample once more, for want of one."""
    dropped: int = 0
    """Samples thrown away: too old at a tick, or pushed out of the full ring."""
    bad: int = 0
    """Samples of the wrong size, or that were no numbers."""
    nonfinite: int = 0
    """Samples with a NaN or an infinity, or that made the output so."""
    bad_times: int = 0
    """Times that were no number, or went backwards."""
    gaps: int = 0
    """Pauses between samples beyond the bound."""
    resets: int = 0
    """How often the state was put back to the start, after a gap."""
    stalls: int = 0
    """How often the source was silent beyond the bound."""
    source_failures: int = 0
    """Errors of the source."""
    sink_failures: int = 0
    """Errors of the sink."""
    unwritten: int = 0
    """Outputs that were lost because the sink failed, or could not deliver them in the end."""
    snapshots: int = 0
    """Snapshots that are on the disk."""
    snapshot_failures: int = 0
    """Snapshots that could not be written."""
    collections: int = 0
    """Garbage collections in slack time."""

    def as_json(self) -> dict[str, int]:
        """All of them by name."""
        return asdict(self)
