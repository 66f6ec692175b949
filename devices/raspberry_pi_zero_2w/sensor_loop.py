"""Recognize activities: an MPU-6050 on I²C bus 1 (SDA on GPIO 2, SCL on GPIO 3), and the smart watch's network.

    pip install 'edge-rnn[i2c]'
    python sensor_loop.py                # the sensor, or the recording if there is no bus
    python sensor_loop.py --recording    # the smart watch's recording

It reports each activity when it begins. The network was trained on one watch, whose axes are unknown: for your own
sensor, record some minutes of data and train it further (export/examples/finetune_wrist.py).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import edge_rnn
from edge_rnn.backend import Detector, Hysteresis, Smooth
from edge_rnn.loop import SensorLoop, Timed, sources

BUS = 1
GRAVITY_SHARE = 0.03  # share of a sample in the mean that estimates gravity: over about 3 s at 10 Hz


class WithoutGravity:
    """Sensor with the watch's conventions: m/s², rad/s, and the slow part of the acceleration removed."""

    blocks, live = False, True
    units = ("m/s^2",) * 3 + ("rad/s",) * 3

    def __init__(self) -> None:
        self.sensor = sources.Mpu6050(BUS, range_g=8, range_dps=2000, si=True)
        self.gravity: np.ndarray | None = None

    def read(self) -> np.ndarray:
        x = np.array(self.sensor.read())
        self.gravity = x[:3].copy() if self.gravity is None else self.gravity
        self.gravity += GRAVITY_SHARE * (x[:3] - self.gravity)
        x[:3] -= self.gravity
        return x


def recording() -> sources.Call:
    """Make a source of the watch's samples, ten per second."""
    xs = iter(enumerate(np.load(edge_rnn.data_path("smart_watch/recording.npz"))["x"]))
    return sources.Call(lambda: next((Timed(x, i / 10) for i, x in xs), None), live=False, sample_rate_hz=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recording", action="store_true", help="use the recording instead of the sensor")
    parser.add_argument("--rate", type=float, help="samples per second (default: the model's 10)")
    parser.add_argument("--snapshot", help="file to save the state in")
    args = parser.parse_args()
    played = args.recording or not Path(f"/dev/i2c-{BUS}").exists()
    if played and not args.recording:
        print(f"there is no /dev/i2c-{BUS}; using the recording.", file=sys.stderr)
    model = edge_rnn.load(edge_rnn.data_path("smart_watch/gru.safetensors"))
    rule = Hysteresis(model.output_size, enter=0.6, leave=0.4, labels=model.labels)
    sink = Detector(
        rule,
        [Smooth(5, model.output_size)],
        on_entered=lambda event: print(f"{event.t_s:.1f} s  {event.label}", flush=True),
    )
    source = recording() if played else WithoutGravity()
    rate_hz = args.rate or model.sample_rate_hz
    loop = SensorLoop(edge_rnn.Stream(model), source, sink, rate_hz, snapshot=args.snapshot)
    print(f"{loop.run().steps} steps", file=sys.stderr)  # SIGTERM and Ctrl-C end it with its state saved


if __name__ == "__main__":
    try:
        main()
    except edge_rnn.EdgeRnnError as error:
        raise SystemExit(str(error)) from None
