"""A histogram of durations that costs nothing to keep: fixed memory, an addition for each value."""

from __future__ import annotations

from array import array

from edge_rnn.timing.latency import Histogram

__all__ = ["LogHistogram"]

_PARTS_BITS = 3
_PARTS = 1 << _PARTS_BITS
_BUCKETS = _PARTS * (64 - _PARTS_BITS)


class LogHistogram:
    """How many durations in ns fell where: eight buckets to each doubling, so a quantile is right within 12.5 %.

    Attributes
    ----------
    count, max_ns
        How many there were, and the longest, exactly.
    """

    __slots__ = ("_buckets", "count", "max_ns")

    def __init__(self) -> None:
        self._buckets = array("Q", bytes(8 * _BUCKETS))
        self.count = 0
        self.max_ns = 0

    def record(self, ns: int) -> None:
        """Count a duration; a negative one as 0, one beyond 2⁶³ as that."""
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
        """Count all that another one has."""
        for bucket, count in enumerate(other._buckets):
            self._buckets[bucket] += count
        self.count += other.count
        self.max_ns = max(self.max_ns, other.max_ns)

    def quantile_ns(self, share: float) -> float:
        """The duration that this share of all did not exceed: the upper edge of its bucket, at most the longest.

        0 where there were none.
        """
        wanted = share * self.count
        seen = 0
        for bucket, count in enumerate(self._buckets):
            seen += count
            if count and seen >= wanted:
                return float(min(_edge(bucket + 1), self.max_ns))
        return 0.0

    def as_json(self) -> dict[str, float]:
        """Quantiles and the longest in ns, by name."""
        quantiles = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
        return {name: self.quantile_ns(share) for name, share in quantiles.items()} | {
            "max": self.max_ns,
            "count": self.count,
        }

    def histogram(self) -> Histogram:
        """All of it, from the first bucket that holds something to the last."""
        filled = [bucket for bucket, count in enumerate(self._buckets) if count]
        if not filled:
            return Histogram((0.0,), ())
        buckets = range(filled[0], filled[-1] + 1)
        edges = tuple(float(_edge(bucket)) for bucket in (*buckets, buckets[-1] + 1))
        return Histogram(edges, tuple(self._buckets[bucket] for bucket in buckets))


def _edge(bucket: int) -> int:
    """Least duration that falls into a bucket."""
    if bucket < 2 * _PARTS:
        return bucket
    shift = (bucket >> _PARTS_BITS) - 1
    return (bucket - (shift << _PARTS_BITS)) << shift
