"""Warn a minute before this board gets too hot: its temperature once a second, and Holt's linear trend as a network.

    python sensor_loop.py                           # any Linux that reports its temperature
    python sensor_loop.py --recording FILE.csv      # one temperature in °C per line, one line per second

A Raspberry Pi 4 slows down from 80 °C on. Holt's method (1957) is a recurrent network of two units, level and trend,
whose weights need no training.
"""

from __future__ import annotations

import argparse

import edge_rnn
from edge_rnn.backend import Detector, Hysteresis
from edge_rnn.loop import SensorLoop, sources

HOT_C, COOL_C = 80, 75
AHEAD_S = 60
LEVEL, TREND = 0.2, 0.05  # weight of a sample in the level, and of its change in the trend


def trend() -> edge_rnn.Model:
    """Build the network: l' = a x + (1 - a)(l + b), b' = t (l' - l) + (1 - t) b, and the forecast l + seconds b."""
    a, both = LEVEL, LEVEL * TREND
    holt = edge_rnn.Elman([[a], [both]], [[1 - a, 1 - a], [-both, 1 - both]], activation="none")
    return edge_rnn.Model([holt, edge_rnn.Dense([[1, AHEAD_S]])], input_names=("temperature",), sample_rate_hz=1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recording", metavar="FILE.csv", help="samples to use instead of this board, at full speed")
    parser.add_argument("--snapshot", help="file to save the state in")
    args = parser.parse_args()
    model = trend()
    sink = Detector(
        Hysteresis(1, enter=HOT_C, leave=COOL_C, enter_after=5),
        on_entered=lambda event: print(f"sample {event.sample}: {event.confidence:.0f} °C in a minute", flush=True),
        on_left=lambda event: print(f"sample {event.sample}: cool enough", flush=True),
    )
    if args.recording:
        source, rate_hz = sources.Lines(args.recording, 1, model.input_names), None
    else:
        source, rate_hz = sources.Machine(["temperature"], 1), model.sample_rate_hz
    stream = edge_rnn.Stream(model)
    # The level starts at the first sample, unless a snapshot replaces it.
    stream.set_state({"elman1.h": [*source.read(), 0.0]})
    loop = SensorLoop(stream, source, sink, rate_hz, snapshot=args.snapshot)
    print(f"{loop.run().steps} steps")  # SIGTERM and Ctrl-C end it with its state saved


if __name__ == "__main__":
    try:
        main()
    except edge_rnn.EdgeRnnError as error:
        raise SystemExit(str(error)) from None
