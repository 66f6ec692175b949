"""Back ends: convert network outputs into events, sample by sample.

>>> from edge_rnn.backend import Detector, Hysteresis, Smooth
>>> detector = Detector(Hysteresis(1, enter=0.6, leave=0.3), [Smooth(samples=2)])
>>> [event.kind for y in (0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0) for event in detector.push(y)]
['entered', 'left']

:class:`Smooth` and :class:`Majority` output numbers and have the interface of front ends; :class:`Hysteresis` turns
numbers into events; :class:`Detector` combines them, and is a sink for a SensorLoop.
"""

from __future__ import annotations

from edge_rnn.backend.detector import Detector
from edge_rnn.backend.event import Event
from edge_rnn.backend.hysteresis import Hysteresis
from edge_rnn.backend.majority import Majority
from edge_rnn.backend.smooth import Smooth

__all__ = ["Detector", "Event", "Hysteresis", "Majority", "Smooth"]
