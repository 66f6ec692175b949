"""Ready-made sources, each a :class:`edge_rnn.loop.Source`. Packages that one needs are imported when it is created."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_rnn.lazy import attach

if TYPE_CHECKING:
    from edge_rnn.loop.sources.call import Call
    from edge_rnn.loop.sources.lines import Lines
    from edge_rnn.loop.sources.machine import Machine
    from edge_rnn.loop.sources.microphone import Microphone
    from edge_rnn.loop.sources.mpu6050 import Mpu6050
    from edge_rnn.loop.sources.mqtt import Mqtt
    from edge_rnn.loop.sources.serial_line import SerialLine
    from edge_rnn.loop.sources.wav import Wav

__all__ = ["Call", "Lines", "Machine", "Microphone", "Mpu6050", "Mqtt", "SerialLine", "Wav"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = attach(
        __name__,
        {
            "call": ("Call",),
            "lines": ("Lines",),
            "machine": ("Machine",),
            "microphone": ("Microphone",),
            "mpu6050": ("Mpu6050",),
            "mqtt": ("Mqtt",),
            "serial_line": ("SerialLine",),
            "wav": ("Wav",),
        },
    )
