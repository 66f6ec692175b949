"""Histogram of durations with logarithmic buckets: fixed memory, one addition per value."""

from __future__ import annotations

from array import array

from edge_rnn.timing.latency import Histogram

__all__ = ["LogHistogram"]

_PARTS_BITS = 3
_PARTS = 1 << _PARTS_BITS
_BUCKETS = _PARTS * (64 - _PARTS_BITS)


class LogHistogram:
    """Histogram of durations in ns, with eight buckets per octave, so that a quantile is exact to 12.5 %.

    Attributes
    ----------
    count, max_ns
        Number of durations and the longest one, both exact.
    """

    __slots__ = ("_buckets", "count", "max_ns")

    def __init__(self) -> None:
        self._buckets = array("Q", bytes(8 * _BUCKETS))
        self.count = 0
        self.max_ns = 0

    def record(self, ns: int) -> None:
        """Count a duration; a negative one counts as 0, and one beyond 2⁶³ as 2⁶³."""
        if ns < _PARTS:
            bucket = ns if ns > 0 else 0
        else:
            shift = ns.bit_length() - _PARTS_BITS - 1
            bucket = (shift << _PARTS_BITS) + (ns >> shift)
            if bucket >= _BUCKETS:
                bucket = _BUCKETS - 1
        self._buckets[bucket] += 1
        self.count += 1
        if ns > self.max_ns:
            self.max_ns = ns

    def add(self, other: LogHistogram) -> None:
        """Add all counts of another histogram."""
        for bucket, count in enumerate(other._buckets):
            self._buckets[bucket] += count
        self.count += other.count
        self.max_ns = max(self.max_ns, other.max_ns)

    def quantile_ns(self, share: float) -> float:
        """Return a quantile in ns: the upper edge of its bucket, but at most the longest duration.

        ``share`` is the quantile's rank, 0 to 1. The result is 0 for an empty histogram.
        """
        wanted = share * self.count
        seen = 0
        for bucket, count in enumerate(self._buckets):
            seen += count
            if count and seen >= wanted:
                return float(min(_edge(bucket + 1), self.max_ns))
        return 0.0

    def as_json(self) -> dict[str, float]:
        """Return quantiles and maximum in ns, by name."""
        quantiles = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
        return {name: self.quantile_ns(share) for name, share in quantiles.items()} | {
            "max": self.max_ns,
            "count": self.count,
        }

    def histogram(self) -> Histogram:
        """Return all buckets from the first to the last that is not empty."""
        filled = [bucket for bucket, count in enumerate(self._buckets) if count]
        if not filled:
            return Histogram((0.0,), ())
        buckets = range(filled[0], filled[-1] + 1)
        edges = tuple(float(_edge(bucket)) for bucket in (*buckets, buckets[-1] + 1))
        return Histogram(edges, tuple(self._buckets[bucket] for bucket in buckets))


def _edge(bucket: int) -> int:
    """Return the lower edge of a bucket."""
    if bucket < 2 * _PARTS:
        return bucket
    shift = (bucket >> _PARTS_BITS) - 1
    return (bucket - (shift << _PARTS_BITS)) << shift
