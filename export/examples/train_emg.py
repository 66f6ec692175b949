"""Train a network that tells the gestures of a hand by the muscles of the forearm, and write it.

    python export/examples/train_emg.py DATA --out FILE     # needs the extra `train`
    python export/examples/train_emg.py DATA --validate     # cross-validate the recipe on sessions 1 and 2 alone

``--recording FILE`` and ``--calibration FILE`` write the streams that it is tested on and that it was trained on.

DATA is an .npz with envelopes, at 20 Hz, of right-hand recordings of myo-readings-dataset (MIT): an armband of eight
electrodes, five people, three sessions each. For every person and session it holds ``x<person>-<session>`` uint8
(time, 8) and ``y<person>-<session>`` uint8 (time,), index into LABELS. A session is a minute of rest, then rest and
gesture in turn, five seconds each, six times a gesture. Sessions 1 and 2 are trained on, sessions 3 are the test.

As recorded, a gesture comes six times running and the next one is always the same: a network would learn that. So a
session is cut into blocks, a rest and the gesture after it, and the blocks are shuffled. For training, rest and gesture
are shortened at random too, so that it is the muscles that tell when a gesture begins and not the clock; and each time
a session comes by, every electrode has another gain, as when the band is put on again.

The recipe was chosen by ``--validate``; the test recordings are touched once, for the figure at the end. It is that of
one stream: all sessions 3 one after another, state carried from the first sample to the last without a reset.
"""

from __future__ import annotations

import argparse
import io
import re
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from streams import Network, fit

from edge_rnn import Model, Stream, atomic, save
from edge_rnn_export import from_torch

__all__ = ["main"]

LABELS = ("rest", "flexion", "extension", "radial deviation", "ulnar deviation", "pronation", "supination", "fist")
REST = 0
SAMPLE_RATE_HZ = 20.0
INPUT_NAMES = tuple(f"emg{electrode}" for electrode in range(1, 9))
TRAIN, TEST = (1, 2), (3,)  # sessions

SEED = 0
HIDDEN = 32
EPOCHS = 10
STREAMS = 16  # trained side by side
CHUNK = 200  # samples that the gradient goes back through; the state goes on
SHORTEST = 30  # samples that are left of a rest or a gesture
GAIN = 0.3  # deviation of an electrode's log gain
NOISE = 0.3  # deviation, once the samples are standardized
LEARNING_RATE = 0.01


@dataclass(frozen=True, slots=True)
class Block:
    """A rest and the gesture after it: ``x`` float32 (time, electrode), ``y`` int64 (time,) index into LABELS."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]


Sessions = Mapping[str, list[Block]]
"""Blocks by ``<person>-<session>``."""


# The data


def read(path: Path) -> Sessions:
    """All sessions of the file, in the order of their names."""
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("it is not an .npz")
    with np.load(path, allow_pickle=False) as arrays:
        names = sorted(name[1:] for name in arrays.files if re.fullmatch(r"x.+-\d+", name))
        if not {number_of(name) for name in names}.issuperset(TRAIN + TEST):
            raise ValueError("arrays x<person>-<session> and y<person>-<session> for sessions 1, 2 and 3 are expected")
        return {name: blocks(name, arrays[f"x{name}"], arrays[f"y{name}"]) for name in names}


def blocks(name: str, x: NDArray[Any], y: NDArray[Any]) -> list[Block]:
    """Cut a session where a rest begins."""
    if x.shape != (y.size, len(INPUT_NAMES)) or y.ndim != 1 or y.max(initial=0) >= len(LABELS):
        raise ValueError(f"{name} has x {x.shape} and y {y.shape}, expected (time, 8) and (time,) with labels 0 to 7")
    ends = [0, *(np.flatnonzero((y[:-1] != REST) & (y[1:] == REST)) + 1).tolist(), y.size]
    return [Block(x[begin:end].astype(np.float32), y[begin:end].astype(np.int64)) for begin, end in pairwise(ends)]


def number_of(name: str) -> int:
    return int(name.rpartition("-")[2])


def chosen(sessions: Sessions, numbers: Iterable[int]) -> Sessions:
    """Everybody's sessions of these numbers."""
    return {name: each for name, each in sessions.items() if number_of(name) in numbers}


def joined(sessions: Sessions, seed: int = SEED) -> dict[str, NDArray[Any]]:
    """One stream: session after session, the blocks of each in a mixed order, nothing shortened.

    With every sample its label, which stretch of one label it is in, and the index of its session.
    """
    rng = np.random.default_rng(seed)
    order = [(n, each[k]) for n, each in enumerate(sessions.values()) for k in rng.permutation(len(each))]
    y = np.concatenate([block.y for _, block in order]).astype(np.uint8)
    session = np.repeat([n for n, _ in order], [block.y.size for _, block in order]).astype(np.uint8)
    seams = (np.diff(y) != 0) | (np.diff(session) != 0)
    return {
        "x": np.concatenate([block.x for _, block in order]),
        "y": y,
        "recording": np.concatenate([[0], np.cumsum(seams)]).astype(np.uint16),
        "session": session,
    }


# Training


def train(sessions: Sessions, seed: int = SEED) -> Model:
    """Train the network: truncated backpropagation through streams, cross-entropy at every sample."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x = np.concatenate([block.x for each in sessions.values() for block in each])
    mean, scale = (part.astype(np.float32) for part in (x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)))
    network = Network("gru", len(INPUT_NAMES), HIDDEN, len(LABELS))

    def streams() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            drawn = [draw(sessions, len(x), rng) for _ in range(STREAMS)]
            xs = torch.from_numpy((np.stack([x for x, _ in drawn]) - mean) / scale)
            xs += NOISE * torch.randn_like(xs)
            yield xs, torch.from_numpy(np.stack([y for _, y in drawn]))

    fit(network, streams(), EPOCHS, len(x), CHUNK, LEARNING_RATE)
    return from_torch(
        network.eval(),
        activations={"head": "softmax"},  # cross_entropy has it inside
        standardize=(mean, scale),
        name="forearm EMG gru",
        labels=LABELS,
        sample_rate_hz=SAMPLE_RATE_HZ,
        input_names=INPUT_NAMES,
    )


def draw(sessions: Sessions, length: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A training stream of ``length`` samples: sessions in a mixed order, shortened blocks of each in a mixed order."""
    names, drawn = list(sessions), 0
    xs, ys = [], []
    while drawn < length:
        rng.shuffle(names)
        for name in names:
            gain = np.exp(GAIN * rng.standard_normal(len(INPUT_NAMES))).astype(np.float32)
            for k in rng.permutation(len(sessions[name])):
                block = sessions[name][k]
                rest = int(np.count_nonzero(block.y == REST))
                begin = rest - shortened(rest, rng)
                end = rest + shortened(block.y.size - rest, rng)
                xs.append(block.x[begin:end] * gain)
                ys.append(block.y[begin:end])
                drawn += end - begin
    return np.concatenate(xs)[:length], np.concatenate(ys)[:length]


def shortened(samples: int, rng: np.random.Generator) -> int:
    return int(rng.integers(min(SHORTEST, samples), samples + 1))


# Figures


def score(model: Model, sessions: Sessions, seed: int = SEED) -> str:
    """Frames that are right in one stream of all sessions, by ``Stream``; no reset."""
    stream = joined(sessions, seed)
    right = Stream(model).run(stream["x"]).argmax(axis=1) == stream["y"]
    each = ", ".join(f"{name} {right[stream['session'] == n].mean():.1%}" for n, name in enumerate(sessions))
    return f"{right.sum()} of {right.size} frames ({right.mean():.2%}): {each}"


def validate(sessions: Sessions) -> None:
    """Cross-validate: train on one session of everybody, and follow the other."""
    for held_out in TRAIN:
        model = train(chosen(sessions, set(TRAIN) - {held_out}))
        print(f"session {held_out} held out: {score(model, chosen(sessions, (held_out,)))}", flush=True)


# Files


def write(path: Path, stream: dict[str, NDArray[Any]]) -> None:
    packed = io.BytesIO()
    np.savez_compressed(packed, **stream)  # type: ignore[arg-type]
    atomic.write(path, packed.getvalue())


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Train a network that tells gestures by forearm EMG, and write it.",
        epilog="example: python export/examples/train_emg.py envelope_20hz.npz --out emg.safetensors",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="file with x<person>-<session> and y<person>-<session>")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--out", type=Path, metavar="FILE", help="model file to write, .safetensors")
    task.add_argument("--validate", action="store_true", help="cross-validate by the training sessions alone")
    parser.add_argument("--recording", type=Path, metavar="FILE", help="write the test's stream too, .npz")
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="write the training sessions' too, .npz")
    options = parser.parse_args(None if arguments is None else list(arguments))
    torch.set_num_threads(1)  # as fast for networks this small, and sums always in one order
    try:
        sessions = read(options.data)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise SystemExit(f"{options.data}: the recordings cannot be had: {error}.") from None
    training, test = chosen(sessions, TRAIN), chosen(sessions, TEST)
    for path, kept in ((options.recording, test), (options.calibration, training)):
        if path is not None:
            write(path, joined(kept))
    if options.validate:
        validate(training)
        return
    started_s = time.perf_counter()
    model = train(training)
    print(f"{model.num_parameters} parameters, trained in {time.perf_counter() - started_s:.0f} s", flush=True)
    save(model, options.out)
    print(f"test: {score(model, test)}")


if __name__ == "__main__":
    main()
