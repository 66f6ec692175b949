"""Event counters of a loop: integers, so that counting costs the same after a year."""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """Counts of events since the loop started."""

    samples: int = 0
    """Samples taken from the source, including bad ones."""
    steps: int = 0
    """Steps of the network, including held ones."""
    written: int = 0
    """Outputs accepted by the sink, minus those it could not deliver in the end."""
    missed_deadlines: int = 0
    """Deadline misses: ticks that began after the next tick was due."""
    overruns: int = 0
    """Overruns: ticks whose work ended after the next tick was due."""
    skipped_ticks: int = 0
    """Ticks without a step."""
    late_samples: int = 0
    """Ticks at which no sample was available."""
    held: int = 0
    """Steps that repeated the last sample, because no new one was available."""
    dropped: int = 0
    """Samples discarded: too old at a tick, or evicted from the full ring."""
    bad: int = 0
    """Samples of the wrong size, or that are not numbers."""
    nonfinite: int = 0
    """Samples that contain NaN or infinity, or that made the output do so."""
    bad_times: int = 0
    """Sample times that are not numbers, or went backwards."""
    gaps: int = 0
    """Pauses between samples that exceeded the bound."""
    resets: int = 0
    """State resets after a gap."""
    stalls: int = 0
    """Silences of the source that exceeded the bound."""
    source_failures: int = 0
    """Failures of the source."""
    sink_failures: int = 0
    """Failures of the sink."""
    unwritten: int = 0
    """Outputs lost because the sink failed, or could not deliver them in the end."""
    snapshots: int = 0
    """Snapshots written to disk."""
    snapshot_failures: int = 0
    """Snapshots that could not be written."""
    collections: int = 0
    """Garbage collections in slack time."""

    def as_json(self) -> dict[str, int]:
        """Return all counts by name."""
        return asdict(self)
