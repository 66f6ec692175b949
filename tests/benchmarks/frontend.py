"""Measure front ends and back ends from Python: nanoseconds per sample, the minimum of many batches.

    taskset -c 1 python tests/benchmarks/frontend.py

A batch is a whole number of features and some milliseconds long, so that what a feature costs is spread over its
samples. Times of installed rivals are for the same features over the same block.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from report import markdown

from edge_rnn.backend import Detector, Hysteresis, Majority, Smooth
from edge_rnn.bench.conditions import conditions, spell_conditions
from edge_rnn.frontend import FrontEnd, parse
from edge_rnn.timing import collector_off

# What is measured, and the rate in Hz that it is usual at.
FRONT_ENDS = [
    ("resample:rate_in=48000,rate_out=16000", 48000),
    ("resample:rate_in=44100,rate_out=16000", 44100),
    ("resample:rate_in=8000,rate_out=16000", 8000),
    ("resample:rate_in=100,rate_out=50,channels=6", 100),
    ("moving:statistics=mean+std,window=100,channels=6", 100),
    ("moving:statistics=mean+std+min+max+range+rms+energy+crossings,window=100,hop=50,channels=6", 100),
    ("moving:statistics=rms,window=16000,hop=160", 16000),
    ("logmel:frame=400,hop=160,bands=40,fft=512", 16000),
    ("logmel:preset=kaldi,frame=400,hop=160,bands=40", 16000),
    ("mfcc:preset=tensorflow,frame=640,hop=320,bands=40,coefficients=10", 16000),
    ("micro:frame=480,hop=320", 16000),
    ("standardize:mean=0/0/0/0/0/0,scale=1/1/1/1/1/1", 100),
    ("resample:rate_in=44100,rate_out=16000|logmel:frame=400,hop=160,bands=40,fft=512", 44100),
]
BLOCK = 16000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=100, help="batches of each; the minimum counts")
    args = parser.parse_args()
    rows = [front_end(spec, rate, args.batches) for spec, rate in FRONT_ENDS]
    print(
        "\n".join(
            markdown(("", "push, ns per sample", "run, ns per sample", "µs per feature", "times real time"), rows)
        )
    )
    print()
    print("\n".join(markdown(("", "ns per output vector"), [*back_ends(args.batches)])))
    print()
    print(
        "\n".join(
            markdown(("over a block of 16000", "run, ns a sample", "the other, ns a sample"), [*rivals(args.batches)])
        )
    )
    found = conditions()
    print(f"\n{found['date']}: {spell_conditions(found)}")
    return 0


def front_end(spec: str, rate_hz: int, batches: int) -> tuple[str, ...]:
    front = parse(spec)
    period = front.ratio.denominator
    samples = period * max(1, 4000 // period)
    xs = np.random.default_rng(0).standard_normal((samples, front.input_size)).astype(np.float32)
    rows = list(xs)
    idle = least(partial(nothing, rows), batches)
    pushed = (least(partial(push_all, front, rows), batches) - idle) / samples
    front.reset()
    block = np.resize(xs, (period * max(1, BLOCK // period), front.input_size))
    ran = least(partial(front.run, block), batches) / len(block)
    return (
        spec.replace("|", r"\|"),
        f"{pushed:.0f}",
        f"{ran:.1f}",
        f"{ran / float(front.ratio) / 1000:.1f}",
        f"{1e9 / rate_hz / pushed:.0f}",
    )


def back_ends(batches: int) -> Any:
    ys = list(np.random.default_rng(0).dirichlet(np.ones(12), 4000).astype(np.float32))
    idle = least(partial(nothing, ys), batches)
    rule = partial(Hysteresis, 12, 0.7, 0.4, enter_after=3, leave_after=3, refractory=50)
    for name, push in {
        "Smooth, 12 outputs": Smooth(5, 12).push,
        "Majority of 9, 12 outputs": Majority(9, 12).push,
        "Hysteresis, 12 outputs": rule().push,
        "Detector of all three": Detector(rule(), [Smooth(5, 12), Majority(9, 12)]).push,
    }.items():
        yield name, f"{(least(partial(call_all, push, ys), batches) - idle) / len(ys):.0f}"


def rivals(batches: int) -> Any:
    x = np.random.default_rng(0).standard_normal(BLOCK).astype(np.float32)
    for spec, make in {
        "resample:rate_in=48000,rate_out=16000": scipy_resample,
        "logmel:frame=400,hop=160,bands=40,fft=512": librosa_mel,
        "logmel:preset=kaldi,frame=400,hop=160,bands=40": kaldi_mel,
    }.items():
        front = parse(spec)
        ours = least(partial(front.run, x), batches) / BLOCK
        try:
            theirs = f"{least(partial(make(front), x), max(10, batches // 10)) / BLOCK:.1f} ({make.__name__})"
        except ImportError as error:
            theirs = str(error)
        yield spec, f"{ours:.1f}", theirs


def scipy_resample(front: Any) -> Callable[[Any], Any]:
    from scipy.signal import upfirdn

    taps = front.taps
    return lambda x: upfirdn(taps, x, front.up, front.down)


def librosa_mel(front: FrontEnd) -> Callable[[Any], Any]:
    import librosa

    options = {"sr": 16000, "n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 40, "center": False}
    return lambda x: librosa.power_to_db(librosa.feature.melspectrogram(y=x, **options), top_db=None)


def kaldi_mel(front: FrontEnd) -> Callable[[Any], Any]:
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 40

    def run(x: Any) -> Any:
        online = kaldi_native_fbank.OnlineFbank(options)
        online.accept_waveform(16000, x)
        return [online.get_frame(i) for i in range(online.num_frames_ready)]

    return run


def least(call: Callable[[], Any], batches: int) -> int:
    """Nanoseconds of the fastest of many calls."""
    best = 1 << 62
    with collector_off(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call()
        for _ in range(batches):
            start = time.perf_counter_ns()
            call()
            best = min(best, time.perf_counter_ns() - start)
    return best


def push_all(front: FrontEnd, rows: list[Any]) -> None:
    push, more = front.push, front.more
    if not front.several:
        for x in rows:
            push(x)
        return
    for x in rows:
        y = push(x)
        while y is not None:
            y = more()


def call_all(push: Callable[[Any], Any], rows: list[Any]) -> None:
    for y in rows:
        push(y)


def nothing(rows: list[Any]) -> None:
    for _ in rows:
        pass


if __name__ == "__main__":
    raise SystemExit(main())
