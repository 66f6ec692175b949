"""Compilation of the model's own step while a loop runs that may last long enough to end up with it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from edge_rnn.kernels.entry.compile_aside import compiling_aside
from edge_rnn.loop.input.feed import Feed
from edge_rnn.streams.planner import plan_of
from edge_rnn.streams.stream import Stream

__all__ = ["compiling"]


def compiling(stream: Stream, feed: Feed) -> AbstractContextManager[None]:
    """Compile in a process of low priority, unless the feed is a recording; the stream changes over at a reset."""
    return nullcontext() if feed.kind == "stored" else compiling_aside(plan_of(stream.model).structure)
