"""The time since the last sample in a loop, for models that read it: by the source's times, its rate, or the clock."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from edge_rnn.loop.input.ring import Item
from edge_rnn.loop.schedule import Kind
from edge_rnn.loop.system.clock import Clock
from edge_rnn.model import Model
from edge_rnn.recordings.elapsed import LEAST_S, Elapsed
from edge_rnn.typing import F32

__all__ = ["SinceLast"]


class SinceLast:
    """Fills in the time since the last sample that the network used.

    The first usable sample decides what times are: the source's own if it has one; else counts of samples, if the
    source states its rate; else the times of arrival, if the source is live. A recording without times and rate has
    none.

    Parameters
    ----------
    elapsed
        The channel.
    rate_hz
        Rate that the source states, in Hz; None if it states none.
    live
        True if samples arrive in real time.
    clock
        The clock of the loop.
    """

    def __init__(self, elapsed: Elapsed, rate_hz: float | None, live: bool, clock: Clock) -> None:
        self._elapsed = elapsed
        self._rate_hz = rate_hz
        self._live = live
        self._clock = clock
        self._by: Literal["", "time", "count", "clock", "nothing"] = ""
        self._now_s = math.nan  # time of the current sample
        self._stepped_ns = clock.elapsed_ns()
        self._again_s = 0.0
        self._paused_s = 0.0  # since the last sample of the resampler
        self._silent_s = 0.0  # all gaps, in which no samples were counted
        self._saved_s = math.nan

    @classmethod
    def of(cls, model: Model, source: Any, kind: Kind, rate_hz: float | None, clock: Clock) -> Self | None:
        """Make one for a model and a source; None if the model does not read the time.

        ``rate_hz`` is the loop's: the rate of a recording that has neither times nor a rate of its own.
        """
        stated = getattr(source, "sample_rate_hz", None) or (rate_hz if kind == "stored" else None)
        elapsed = Elapsed.of(model, stated or rate_hz)
        return None if elapsed is None else cls(elapsed, stated, kind != "stored", clock)

    def arrived(self, item: Item, number: int) -> None:
        """Begin with a sample; ``number`` counts all samples so far, lost ones included."""
        has_time = math.isfinite(item.t_s)
        if not self._by:
            self._by = "time" if has_time else "count" if self._rate_hz else "clock" if self._live else "nothing"
        if self._by == "time":
            self._now_s = item.t_s if has_time else self._elapsed.last_s + self._estimate_s()
        elif self._by == "count" and self._rate_hz:
            self._now_s = number / self._rate_hz + self._silent_s
        elif self._by == "clock":
            self._now_s = item.arrived_ns / 1e9
        age_s, self._saved_s = self._clock.wall_s() - self._saved_s, math.nan
        if self._live and age_s > 0:
            self._paused_s = age_s
            self._elapsed.keep(self._now_s - age_s)

    def fill(self, x: F32) -> None:
        """Set the time in the current sample, if the source did not.

        Raises
        ------
        InputError
            The source is a recording that has neither times nor a rate.
        """
        if self._by == "nothing":
            self._elapsed.fill(x, math.nan)  # which refuses it
        elif self._elapsed.is_missing(x):
            self._elapsed.put(x, self._elapsed.since(self._now_s))

    def kept(self) -> None:
        """Register the current sample as used."""
        self._elapsed.keep(self._now_s)
        self._stepped_ns = self._clock.elapsed_ns()

    def held(self, x: F32) -> F32:
        """Copy a sample that is used again, with the time since the last step."""
        again, self._again_s = x.copy(), self._estimate_s()
        self._elapsed.put(again, self._again_s)
        return again

    def kept_again(self) -> None:
        """Register that a sample was used again."""
        self._elapsed.pass_s(self._again_s)
        self._stepped_ns = self._clock.elapsed_ns()

    def clear(self, x: F32) -> None:
        """Set a finite number in a sample that goes through the resampler."""
        self._elapsed.put(x, 0.0)

    def fill_resampled(self, x: F32) -> None:
        """Set the time in a sample from the resampler: one period of the model, or the gap before it."""
        self._elapsed.put(x, self._paused_s or self._elapsed.first_s)
        self._paused_s = 0.0

    def gap(self, seconds: float, resets: bool) -> None:
        """Handle a gap in the input."""
        self._paused_s = 0.0 if resets else self._paused_s + seconds
        self._silent_s += max(seconds - 1 / self._rate_hz, 0.0) if self._rate_hz else 0.0
        if resets:
            self._elapsed.restart()
            self._saved_s = math.nan

    def resume(self, saved_s: float) -> None:
        """Continue from a snapshot that was saved at a Unix time."""
        self._saved_s = saved_s

    def _estimate_s(self) -> float:
        """Seconds since the last step: by the clock, or one period of a recording."""
        if not self._live:
            return self._elapsed.first_s
        return max((self._clock.elapsed_ns() - self._stepped_ns) / 1e9, LEAST_S)
