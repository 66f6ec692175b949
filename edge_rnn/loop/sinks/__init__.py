"""Ready-made sinks. Each fits :class:`edge_rnn.loop.Sink`; packages that one needs are imported when it is made."""

from __future__ import annotations

from edge_rnn.loop.sinks.call import Call
from edge_rnn.loop.sinks.lines import Lines
from edge_rnn.loop.sinks.mqtt import Mqtt

__all__ = ["Call", "Lines", "Mqtt"]
