"""Helpers of frontend tests."""

from __future__ import annotations

import numpy as np

from edge_rnn.frontend import FrontEnd

SPECS = [
    "resample:rate_in=44100,rate_out=16000",
    "resample:rate_in=8000,rate_out=16000,channels=3",
    "resample:rate_in=3,rate_out=2,channels=2,attenuation=40,passband=0.5",
    "resample:rate_in=49.7,rate_out=50",
    "resample:rate_in=50,rate_out=50",
    "moving:statistics=mean+std+min+max+range+rms+energy+crossings,window=7,hop=3,channels=2",
    "moving:statistics=max+mean,window=1",
    "moving:statistics=std,window=4,hop=9",
    "logmel:rate=8000,frame=64,hop=24,bands=12",
    "logmel:preset=kaldi,rate=8000,frame=50,hop=70,bands=6",
    "logmel:preset=torchaudio,rate=8000,frame=64,hop=20,bands=6,preemphasis=0.9,lead=32",
    "mfcc:preset=kaldi,rate=8000,frame=50,hop=20,bands=12,coefficients=5,energy=1",
    "mfcc:preset=tensorflow,rate=16000,frame=100,hop=50,bands=12,coefficients=5",
    "micro:rate=8000,frame=60,hop=20,bands=8,fmax=4000,scale=0.0390625",
    "standardize:mean=0.1/-2/3,scale=1/0.3/4",
    "resample:rate_in=8000,rate_out=12000|resample:rate_in=12000,rate_out=4000",
    "resample:rate_in=1,rate_out=7|moving:statistics=mean,window=3,hop=2|resample:rate_in=1,rate_out=2",
    "resample:rate_in=4000,rate_out=8000|logmel:rate=8000,frame=64,hop=3,bands=4|standardize:mean=0/1/2/3,scale=1/1/2/9",
]


def noise(front: FrontEnd, samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((samples, front.input_size)).astype(np.float32)


def pushed(front: FrontEnd, xs: np.ndarray) -> np.ndarray:
    """Outputs for single samples."""
    ys = []
    for x in xs:
        y = front.push(x)
        while y is not None:
            ys.append(y.copy())
            y = front.more()
    return np.array(ys, np.float32).reshape(-1, front.output_size)


NAMES = ["rate", "rate_in", "rate_out", "frame", "hop", "bands", "window", "channels", "fft", "fmin", "fmax", "mean"]
