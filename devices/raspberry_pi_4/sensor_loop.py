"""Will this board be too hot in a minute? Its temperature once a second, and Holt's linear trend as a network.

    python sensor_loop.py                           # any Linux that tells its temperature
    python sensor_loop.py --recording FILE.csv      # a temperature in °C a line, one a second

A Raspberry Pi 4 slows down from 80 °C on; this tells it before. Holt's method (1957) is a recurrent network of two
units, level and trend, whose weights need no training.
"""

from __future__ import annotations

import argparse

import edge_rnn
from edge_rnn.backend import Detector, Hysteresis
from edge_rnn.loop import SensorLoop, sources

HOT_C, COOL_C = 80, 75
AHEAD_S = 60
LEVEL, TREND = 0.2, 0.05  # how much a sample counts for the level, and a change of it for the trend


def trend() -> edge_rnn.Model:
    """Level and trend: l' = a x + (1 - a)(l + b), b' = t (l' - l) + (1 - t) b; the forecast l + seconds b."""
    a, both = LEVEL, LEVEL * TREND
    holt = edge_rnn.Elman([[a], [both]], [[1 - a, 1 - a], [-both, 1 - both]], activation="none")
    return edge_rnn.Model([holt, edge_rnn.Dense([[1, AHEAD_S]])], input_names=("temperature",), sample_rate_hz=1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recording", metavar="FILE.csv", help="instead of this board, as quickly as it goes")
    parser.add_argument("--snapshot", help="file that keeps the state")
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
    stream.set_state(
        {"elman1.h": [*source.read(), 0.0]}
    )  # the level begins with the first sample, unless a snapshot tells it
    loop = SensorLoop(stream, source, sink, rate_hz, snapshot=args.snapshot)
    print(f"{loop.run().steps} steps")  # SIGTERM and Ctrl-C end it, and it saves its state


if __name__ == "__main__":
    try:
        main()
    except edge_rnn.EdgeRnnError as error:
        raise SystemExit(str(error)) from None
