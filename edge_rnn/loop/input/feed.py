"""Feeds: access to the samples of a source, whichever thread reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from edge_rnn.loop.backoff import Backoff, spell_delay
from edge_rnn.loop.context import LoopContext
from edge_rnn.loop.input.hanging import Hanging
from edge_rnn.loop.input.ring import Item
from edge_rnn.loop.input.sample import fill
from edge_rnn.loop.protocols import SampleError, Source, SourceUnfit
from edge_rnn.loop.schedule import Kind
from edge_rnn.typing import F32

__all__ = ["DirectFeed", "Feed", "read"]

_MANY = 1 << 62


class Feed(Protocol):
    """Supplier of samples to a loop."""

    kind: Kind
    state: str
    """``"running"``, ``"failing"``, ``"retrying"``, ``"stalled"`` or ``"ended"``."""
    failures: int
    stalls: int
    unfit: SourceUnfit | None
    """Error that made the loop give up the source for good; None if there was none."""

    @property
    def dropped(self) -> int:
        """Number of samples discarded or evicted from the full ring."""

    @property
    def waiting(self) -> int:
        """Number of samples available now."""

    @property
    def ended(self) -> bool:
        """True if no sample is available and none will come."""

    def start(self) -> None:
        """Begin."""

    def take(self, x: F32) -> Item | None:
        """Copy the next sample into ``x``; return None if none is available after all."""

    def discard(self, keep: int) -> None:
        """Discard all but the newest ``keep`` samples."""

    def wait(self, seconds: float) -> None:
        """Wait until a sample may be available, ``seconds`` at most."""

    def watch(self, now_ns: int) -> None:
        """Check for a stalled source and handle it."""

    def close(self) -> None:
        """Release the source."""


class DirectFeed:
    """Feed for a source that does not block, read in the loop's thread.

    Parameters
    ----------
    source
        The source.
    make
        Factory that re-creates the source after a failure; None to keep the same one.
    elapsed
        Index of a channel that samples may lack, see :func:`~edge_rnn.loop.input.sample.fill`.
    """

    def __init__(
        self, source: Source, make: Callable[[], Source] | None, elapsed: int | None, context: LoopContext
    ) -> None:
        self.kind: Kind = "polled" if getattr(source, "live", True) else "stored"
        self._source: Source | None = source
        self._make = make
        self._elapsed = elapsed
        self._clock = context.clock
        self._journal = context.journal
        self._backoff = Backoff()
        self._hanging = Hanging()
        self._retry_ns = 0
        self._ended = False
        self.state = "running"
        self.failures = 0
        self.stalls = 0
        self.unfit: SourceUnfit | None = None

    @property
    def dropped(self) -> int:
        return 0

    @property
    def waiting(self) -> int:
        return 0 if self._ended or (self._retry_ns and self._clock.now_ns() < self._retry_ns) else _MANY

    @property
    def ended(self) -> bool:
        return self._ended

    def start(self) -> None:
        """Do nothing: the source is already open."""

    def take(self, x: F32) -> Item | None:
        try:
            if self._source is None:
                assert self._make is not None
                self._source = self._make()
            value = read(self._source)
            if value is None:
                self._ended, self.state = True, "ended"
                return None
            t_s = fill(x, value, self._elapsed)
            problem = ""
        except SourceUnfit as error:
            self.unfit, self._ended, self.state = error, True, "ended"
            return None
        except SampleError as bad:
            t_s, problem = float("nan"), str(bad)
        except Exception as error:
            self._failed(error)
            return None
        if self._retry_ns:
            self._journal.tell("source back", "the source is back.")
            self._retry_ns, self.state = 0, "running"
            self._backoff.succeeded()
        return Item(problem, t_s, self._clock.elapsed_ns())

    def discard(self, keep: int) -> None:
        """Do nothing: no samples are buffered."""

    def wait(self, seconds: float) -> None:
        if not self.waiting:
            self._clock.sleep(seconds)

    def watch(self, now_ns: int) -> None:
        """Do nothing: the loop's thread itself reads the source."""

    def close(self) -> None:
        self._hanging.close(self._source)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        delay_s = self._backoff.failed()
        self._retry_ns = self._clock.now_ns() + int(1e9 * delay_s)
        self.state = "failing"
        self._journal.tell("source", f"the source failed: {_spell(error)}; retrying {spell_delay(delay_s)}.")
        if self._make is not None and not self._hanging.full:
            self._hanging.close(self._source)
            self._source = None


def read(source: Source) -> Any:
    """Read the source's next value; StopIteration from an iterator is returned as None."""
    try:
        return source.read()
    except StopIteration:
        return None


def _spell(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
