"""Detect sounds: a microphone, mel bands in dB, and a network that compares the last moment with the last second.

    pip install 'edge-rnn[audio]' && sudo apt install libportaudio2
    python sensor_loop.py                             # the microphone
    python sensor_loop.py --recording FILE.wav        # one channel, any rate
    python sensor_loop.py --model KEYWORDS.safetensors

The network is constructed by hand, not trained: it computes a fast and a slow mean of each band. --model replaces it by
your own network, which gets as many bands as it has inputs; all its labels are reported, except the first.
"""

from __future__ import annotations

import argparse

import numpy as np

import edge_rnn
from edge_rnn.backend import Detector, Hysteresis
from edge_rnn.frontend import Chain, Features, LogMel, Resample
from edge_rnn.loop import SensorLoop, sources

RATE_HZ, HOP = 16000, 160
BANDS = 40
QUICK, SLOW = 0.3, 0.01  # share of a frame of 10 ms in a mean: over about 30 ms, and over a second
LOUDER_DB = 12  # rise of a band over the last second that noise alone does not reach
ENOUGH_DB = 20  # sum over all bands of the rise above that
START_DB = -40.0  # assumed level of each band before the first second


def louder_than_before() -> edge_rnn.Model:
    """Build the network: two leaky means of each band, the rise of the fast over the slow one, and the sum of these."""
    one, share = np.eye(BANDS), np.repeat([QUICK, SLOW], BANDS)
    means = edge_rnn.Elman(
        share[:, None] * np.vstack([one, one]),
        np.diag(1 - share),
        activation="none",
        h0=np.full(2 * BANDS, START_DB),
    )
    louder = edge_rnn.Dense(np.hstack([one, -one]), np.full(BANDS, -LOUDER_DB), activation="relu")
    sound = edge_rnn.Dense([[0] * BANDS, [0.2] * BANDS], [0, -0.2 * ENOUGH_DB], activation="softmax")
    return edge_rnn.Model([means, louder, sound], labels=("quiet", "sound"), sample_rate_hz=RATE_HZ / HOP)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="model file whose inputs are mel bands in dB, 100 times per second")
    parser.add_argument("--recording", metavar="FILE.wav", help="sound to use instead of the microphone")
    parser.add_argument("--snapshot", help="file to save the state in")
    parser.add_argument("--device", help="microphone; the system's default if not given")
    args = parser.parse_args()
    model = edge_rnn.load(args.model) if args.model else louder_than_before()
    front = LogMel(RATE_HZ, frame=400, hop=HOP, bands=model.input_size)
    if args.recording:
        sound = sources.Wav(args.recording, 1)
        source = Features(sound, Chain([Resample(int(sound.sample_rate_hz), RATE_HZ), front]))
    else:
        source = Features(sources.Microphone(1, rate_hz=RATE_HZ, device=args.device), front)
    rule = Hysteresis(model.output_size, 0.7, 0.3, leave_after=10, labels=model.labels, ignore=[0])
    sink = Detector(
        rule,
        on_entered=lambda event: print(f"{event.t_s:.2f} s  {event.label}", flush=True),
        on_left=lambda event: print(f"{event.t_s:.2f} s  {event.label} is over", flush=True),
    )
    SensorLoop(edge_rnn.Stream(model), source, sink, snapshot=args.snapshot).run()  # SIGTERM ends it


if __name__ == "__main__":
    try:
        main()
    except edge_rnn.EdgeRnnError as error:
        raise SystemExit(str(error)) from None
