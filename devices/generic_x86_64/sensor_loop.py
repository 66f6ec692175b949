"""Detect unusual activity of this machine: processor, memory and load from /proc, compared with the last minutes.

    python sensor_loop.py                           # any Linux, any board
    python sensor_loop.py --recording FILE.csv      # lines of cpu,memory,load in %, % and tasks per processor

The network is constructed by hand, not trained: it computes a fast and a slow mean of each value, and their difference.
--model replaces it by a network that was trained on the usual activity of your machine.
"""

from __future__ import annotations

import argparse

import numpy as np

import edge_rnn
from edge_rnn.backend import Detector, Hysteresis
from edge_rnn.loop import SensorLoop, sources

FIELDS = ("cpu", "memory", "load")
APART = np.array([40.0, 10.0, 1.0])  # difference of the two means of each value that counts as unusual
QUICK, SLOW = 0.2, 0.003  # share of a sample in a mean: over about 5 s, and over 5 minutes


def unlike_before() -> edge_rnn.Model:
    """Build the network: two leaky means of each value, their differences up and down, and the sum of these."""
    one = np.eye(len(FIELDS))
    share = np.repeat([QUICK, SLOW], len(FIELDS))
    means = edge_rnn.Elman(share[:, None] * np.vstack([one, one]), np.diag(1 - share), activation="none")
    change = np.hstack([one, -one]) / APART[:, None]
    apart = edge_rnn.Dense(np.vstack([change, -change]), activation="relu")
    unusual = edge_rnn.Dense([[0] * 2 * len(FIELDS), [8] * 2 * len(FIELDS)], [0, -8], activation="softmax")
    return edge_rnn.Model([means, apart, unusual], labels=("usual", "unusual"), input_names=FIELDS, sample_rate_hz=1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="model file with the inputs cpu, memory and load")
    parser.add_argument("--recording", metavar="FILE.csv", help="samples to use instead of this machine, at full speed")
    parser.add_argument("--rate", type=float, default=1.0, help="samples per second of this machine (default: 1)")
    parser.add_argument("--snapshot", help="file to save the state in")
    args = parser.parse_args()
    model = edge_rnn.load(args.model) if args.model else unlike_before()
    rule = Hysteresis(model.output_size, 0.7, 0.3, labels=model.labels, ignore=[0])
    sink = Detector(
        rule,
        on_entered=lambda event: print(f"sample {event.sample}: {event.label}", flush=True),
        on_left=lambda event: print(f"sample {event.sample}: as usual", flush=True),
    )
    if args.recording:
        source, rate_hz = sources.Lines(args.recording, len(FIELDS), FIELDS), None
    else:
        source, rate_hz = sources.Machine(FIELDS, len(FIELDS)), args.rate
    stream = edge_rnn.Stream(model)
    if not args.model:  # the means start at the first sample, unless a snapshot replaces them
        stream.set_state({"elman1.h": np.tile(source.read(), 2)})
    loop = SensorLoop(stream, source, sink, rate_hz, snapshot=args.snapshot)
    print(f"{loop.run().steps} steps")  # SIGTERM and Ctrl-C end it with its state saved


if __name__ == "__main__":
    try:
        main()
    except edge_rnn.EdgeRnnError as error:
        raise SystemExit(str(error)) from None
