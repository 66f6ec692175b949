"""Streams: run a model step by step over one sequence, overlapping windows, or many sequences at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_rnn.lazy import attach

if TYPE_CHECKING:
    from edge_rnn.streams.compiled import warm_up
    from edge_rnn.streams.stream import MemoryBytes, Stream
    from edge_rnn.streams.stream_bank import StreamBank
    from edge_rnn.streams.windowed_stream import WindowedStream

__all__ = ["MemoryBytes", "Stream", "StreamBank", "WindowedStream", "warm_up"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = attach(
        __name__,
        {
            "compiled": ("warm_up",),
            "stream": ("MemoryBytes", "Stream"),
            "stream_bank": ("StreamBank",),
            "windowed_stream": ("WindowedStream",),
        },
    )
