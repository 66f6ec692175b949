"""Random Keras networks: what they compute by themselves, and as ``from_keras`` reads their files."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras

from edge_rnn.model import Model
from edge_rnn_export import from_keras
from tests.readers.trials.judge import Run, Trial, UntriedError
from tests.readers.trials.keras_write import KerasProgram, write

__all__ = ["built", "outputs", "trial"]

SEQUENCES = ((1.0, 120), (0.1, 24), (100.0, 24))
"""Scale and length of each sequence of samples."""
LENGTHS = (1, 2, 7, 24)
"""Lengths of sequences, for networks that return only the last step."""


def trial(seed: int, number: int) -> Trial:
    """Return a trial of ``from_keras`` with a file, in one of Keras's two formats."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    rng = Random(f"keras/{seed}/{number}")
    program = write(rng)
    ending = rng.choice(("keras", "keras", "h5"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = built(program, number, "float32")
        data = _saved(model, ending)
    text = f"{program.text}\n\n# Net().save('net.{ending}')\n"
    return Trial(text, program.obstacle, lambda: _read(program, data, ending), lambda: runs(program, model, number))


def built(program: KerasProgram, number: int, dtype: str) -> Any:
    """Return the network with random weights, which follow from the number, computing in ``dtype``."""
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    keras.utils.clear_session(free_memory=False)
    try:
        space: dict[str, Any] = {}
        exec(program.text, space)
        model = space["Net"]()
        rng = np.random.default_rng(number)
        for variable in model.weights:
            low = 0.3 if "variance" in variable.path else -0.5
            if "seed" not in variable.path and "count" not in variable.path:
                variable.assign(rng.uniform(low, 0.7, variable.shape).astype(np.float32))
        return model
    finally:
        keras.config.set_floatx(before)


def _saved(model: Any, ending: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"net.{ending}")
        try:
            model.save(path)
        except Exception as error:  # of Keras
            raise UntriedError(f"not saved: {type(error).__name__}: {str(error).splitlines()[0]}") from None
        return path.read_bytes()


def _read(program: KerasProgram, data: bytes, ending: str) -> Model:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"net.{ending}")
        path.write_bytes(data)
        return from_keras(path, unpadded=True) if program.masked else from_keras(path)


def runs(program: KerasProgram, model: Any, number: int) -> list[Run]:
    """Return outputs in float64, on sequences of several scales."""
    wide = built(program, number, "float64")
    for ours, other in zip(wide.weights, model.weights, strict=True):
        ours.assign(keras.ops.convert_to_numpy(other.value))
    rng, found = np.random.default_rng(0), []
    for scale, length in SEQUENCES:
        steps = length if program.stateful else program.steps or length
        if program.symbols:  # 0 is what a mask skips
            xs = rng.integers(program.masked, program.inputs[0], (steps, 1)).astype(np.float32)
        else:
            xs = (scale * rng.standard_normal((steps, sum(program.inputs)))).astype(np.float32)
        again = None if program.symbols else lambda xs: outputs(program, wide, xs)[1]
        found.append(Run(xs, *outputs(program, wide, xs), again))
    return found


def outputs(program: KerasProgram, model: Any, xs: np.ndarray) -> tuple[Any, list[np.ndarray]]:
    """Return the steps that the network returns, and its heads there, from its initial state."""
    if program.stateful:
        for layer in model.layers:
            if getattr(layer, "stateful", False):
                layer.reset_state()
        calls = [xs[start : start + program.steps] for start in range(0, len(xs), program.steps)]
        rows: Any = slice(program.steps - 1, None, program.steps) if program.last else slice(None)
    elif program.last:
        lengths = [program.steps] if program.steps else [each for each in LENGTHS if each <= len(xs)]
        calls, rows = [xs[:length] for length in lengths], [length - 1 for length in lengths]
    else:
        calls, rows = [xs], slice(None)
    parts = [_called(program, model, call) for call in calls]
    return rows, [np.concatenate(each) for each in zip(*parts, strict=True)]


def _called(program: KerasProgram, model: Any, xs: np.ndarray) -> list[np.ndarray]:
    """Heads of one call, each ``(steps, O)``."""
    if program.symbols:
        given: Any = [xs[None, :, 0].astype(np.int64)]
    else:
        given = np.split(xs[None].astype(np.float64), np.cumsum(program.inputs)[:-1], axis=-1)
    try:
        returned = model(given[0] if len(given) == 1 else given, training=False)
    except ValueError as error:  # a Softmax that gets the mask of another shape, which Keras itself refuses
        raise UntriedError(f"Keras does not run it: {str(error).splitlines()[0]}") from None
    heads = returned if isinstance(returned, list | tuple) else [returned]
    arrays = [keras.ops.convert_to_numpy(head).astype(np.float64) for head in heads]
    return [array.reshape(-1, array.shape[-1]) for array in arrays]
