"""LiteRT (formerly TensorFlow Lite): a converted step, whose tensors are read and written in place."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

from edge_rnn.errors import UnsupportedError
from edge_rnn.model import Model
from edge_rnn.typing import F32
from edge_rnn_export.rivals.rival import Rival, Step, chain

__all__ = ["litert_rivals"]


@contextmanager
def _unsaid() -> Iterator[None]:
    """Suppress what the library prints to stderr when an interpreter is created."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def litert_rivals(model: Model, folder: str | PathLike[str] | None, kind: str = "") -> Iterator[Rival]:
    """One rival for steps only, if the folder has a file for the network's cell and sizes.

    ``kind`` is ``"int8"`` for a quantized file: ``lstm_16_64_int8.tflite``.
    """
    from ai_edge_litert import interpreter as runtime

    if folder is None:
        raise UnsupportedError("it needs .tflite files: --litert DIR")
    (cell, *_), sizes = chain(model, "GRU", "LSTM", "Dense"), model.output_sizes
    stem = f"{cell.kind.lower()}_{model.input_size}_{sizes[0]}"
    path = Path(folder) / f"{stem}_{kind}.tflite" if kind else Path(folder) / f"{stem}.tflite"
    if [layer.kind for layer in model.layers] not in (["GRU", "Dense"], ["LSTM", "Dense"]) or not path.is_file():
        raise UnsupportedError(f"the folder has no {path.name} for this network")

    def start() -> Step:
        with _unsaid():
            loaded = runtime.Interpreter(str(path), num_threads=1)
            loaded.allocate_tensors()
        signature = loaded._get_full_signature_list()["serving_default"]
        views = {
            name: loaded.tensor(place)() for side in ("inputs", "outputs") for name, place in signature[side].items()
        }
        # The public invoke() refuses to run while views exist, which would force copies of all inputs and outputs.
        invoke, x_in, y, h, h2 = (loaded._interpreter.Invoke, *(views[name] for name in ("x", "y", "h", "h2")))
        c: Any = views.get("c")
        c2: Any = views.get("c2")
        output = y[0]
        for name, value in cell.initial_state.items():
            views[name][:] = value

        def step_h(x: F32, keep_alive: Any = loaded) -> F32:
            x_in[:] = x
            invoke()
            h[:] = h2
            return output  # type: ignore[no-any-return]

        def step_hc(x: F32, keep_alive: Any = loaded) -> F32:
            x_in[:] = x
            invoke()
            h[:] = h2
            c[:] = c2
            return output  # type: ignore[no-any-return]

        return step_h if c is None else step_hc

    name = f"LiteRT {kind}" if kind else "LiteRT"
    yield Rival(name, version("ai-edge-litert"), "one thread, views of its tensors through private calls", start)
