"""Ready-made sinks, each a :class:`edge_rnn.loop.Sink`. Packages that one needs are imported when it is created."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_rnn.lazy import attach

if TYPE_CHECKING:
    from edge_rnn.loop.sinks.call import Call
    from edge_rnn.loop.sinks.lines import Lines
    from edge_rnn.loop.sinks.mqtt import Mqtt

__all__ = ["Call", "Lines", "Mqtt"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = attach(__name__, {"call": ("Call",), "lines": ("Lines",), "mqtt": ("Mqtt",)})
