"""Compare a network read from a Keras file with Keras itself, if installed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from edge_rnn import reference
from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.layers import Embedding
from edge_rnn_export.limits.process import Limits, Worker
from edge_rnn_export.readers.keras.reader import KerasReading
from edge_rnn_export.readers.keras.source import file_source, open_file

__all__ = ["compare"]

STEPS = 32
"""Length of the random sequence, if the model does not fix one."""

SECONDS = 60.0
"""CPU time in s for loading and running a file in Keras; its backend compiles and imports meanwhile."""

_MEMORY = 2**31


def compare(read: KerasReading, path: str | PathLike[str]) -> tuple[str, str]:
    """Run the file in Keras and the imported network in the reference, on the same random input.

    Parameters
    ----------
    read
        Network that was read.
    path
        The file that it was read from. Keras loads it in its safe mode, in a limited process, and only if its
        configuration names no classes but Keras's own.

    Returns
    -------
    checked, unchecked
        Description of the comparison with the largest error, or the reason why none was made. One of the two is empty.
    """
    if find_spec("keras") is None:
        return "", "with Keras, which is not installed"
    data = open_file(path)
    if not _is_plain(file_source(data).document):
        return "", "with Keras: the file names classes that are not Keras's own"
    if not _is_patched(version("keras")):
        return "", f"with Keras {version('keras')}, whose reader has known vulnerabilities: pip install 'keras>=3.15.1'"
    limits = Limits(SECONDS, _MEMORY + 32 * len(data), opens_files=True, written_bytes=2**20 + 32 * len(data))
    try:
        with _backend(), Worker("edge_rnn_export.readers.keras.job", "Keras", limits) as worker:
            given = {"data": np.frombuffer(data, np.uint8)}
            about, _ = worker.call("open", given, suffix=Path(path).suffix, upto=read.upto, after=read.after)
            xs: Any = None
            xs, batches = (xs, _random(about["inputs"])) if read.after else _inputs(read, about["inputs"])
            _, found = worker.call("run", batches)
    except (FileError, UnsupportedError) as error:
        return "", f"with Keras: {str(error).rstrip('.')}"
    ys = np.concatenate([found[f"ys{place}"][0] for place in read.places], axis=-1)
    if read.after:  # its output is the samples
        xs = found[f"ys{len(found) - 1}"][0].reshape(-1, read.model.input_size).astype(np.float32)
    own, _ = reference.run(read.model, xs)
    own = own if ys.size == own.size and len(own) > 1 else own[-1:]
    if ys.size != own.size:
        return "", f"with Keras: it returns outputs of shape {ys.shape}, expected {own.shape}"
    off = float(np.abs(own - ys.reshape(own.shape)).max())
    return f"Keras {about['version']} on {len(xs)} random steps: {off:.1e} off at most", ""


def _random(shapes: Mapping[str, Sequence[int | None]]) -> dict[str, Any]:
    """Random inputs of a network whose first layers are not read."""
    rng = np.random.default_rng(0)
    lengths = {name: [shape[0] or 1, *(length or STEPS for length in shape[1:])] for name, shape in shapes.items()}
    return {name: rng.standard_normal(each).astype(np.float32) for name, each in lengths.items()}


def _inputs(read: KerasReading, shapes: Mapping[str, Sequence[int | None]]) -> tuple[Any, dict[str, Any]]:
    """Return a random sequence ``(time, input_size)``, and the inputs with a batch of it; states are zeros."""
    rng = np.random.default_rng(0)
    table = next((layer.weight for layer in read.model.layers if isinstance(layer, Embedding)), None)
    shape = shapes.get(read.samples[0][0], ())
    steps = (shape[1] or STEPS) if len(shape) > 1 + (table is None) else 1
    if table is None:
        xs: Any = rng.standard_normal((steps, read.model.input_size)).astype(np.float32)
    else:
        xs = rng.integers(min(1, len(table) - 1), len(table), (steps, 1))  # 0 may mean padding
    batches = {name: np.zeros([length or 1 for length in each], np.float32) for name, each in shapes.items()}
    parts = np.split(xs, np.cumsum([size for _, size in read.samples])[:-1], axis=1)
    for (name, _), part in zip(read.samples, parts, strict=True):
        whole = [length or 1 for length in shapes.get(name, ())]
        whole[1:2] = [steps] if len(shape) > 1 + (table is None) else whole[1:2]
        if part.size * whole[0] != prod(whole):
            raise UnsupportedError(f"its input {name!r} has the shape {tuple(whole)}, expected {part.shape[1]} values.")
        batches[name] = np.array(np.broadcast_to(part.reshape(whole[1:]), whole))
    return xs, batches


def _is_patched(installed: str) -> bool:
    """True if the known vulnerabilities of Keras's reader are fixed: in 3.15.1, and in 3.12.4 of its line."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", installed)[:3])
    return numbers >= (3, 15, 1) or (3, 12, 4) <= numbers < (3, 13)


def _is_plain(value: Any) -> bool:
    """True if a configuration names only Keras's own classes, and contains no code."""
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if not isinstance(value, dict):
        return True
    module, kind = value.get("module"), value.get("class_name")
    own = module is None or module == "keras" or str(module).startswith("keras.")
    return own and kind not in ("Lambda", "__lambda__", "function") and all(map(_is_plain, value.values()))


@contextmanager
def _backend() -> Iterator[None]:
    """Make Keras start with the backend of this process, or with an installed one."""
    here = sys.modules.get("keras")
    found = next((name for name in ("tensorflow", "jax", "torch") if find_spec(name) is not None), None)
    found = found if here is None else here.config.backend()
    if found is None or "KERAS_BACKEND" in os.environ:
        yield
        return
    os.environ["KERAS_BACKEND"] = found
    try:
        yield
    finally:
        del os.environ["KERAS_BACKEND"]
