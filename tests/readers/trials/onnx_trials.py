"""Random PyTorch modules as both of PyTorch's exporters write them, and as ``from_onnx`` reads the graph."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import onnx
import torch

from edge_rnn_export import from_onnx
from tests.readers.trials.judge import Trial, UntriedError
from tests.readers.trials.torch_program import Program
from tests.readers.trials.torch_trials import arguments, made, runs
from tests.readers.trials.torch_write import write

__all__ = ["dynamo", "script"]


def script(seed: int, number: int) -> Trial:
    """Return a trial with the older exporter, which traces TorchScript."""
    return _trial(seed, number, dynamo=False, opsets=range(11, 21))


def dynamo(seed: int, number: int) -> Trial:
    """Return a trial with the newer exporter, of ``torch.export``."""
    return _trial(seed, number, dynamo=True, opsets=range(18, 24))


def _trial(seed: int, number: int, *, dynamo: bool, opsets: range) -> Trial:
    rng = Random(f"onnx/{dynamo}/{seed}/{number}")
    program = write(rng)
    module = made(program, number)
    options: dict[str, Any] = {"opset_version": rng.choice(opsets), "dynamo": dynamo}
    axis = {"batch": 1, "turned": 1, "time": 0, "single": 0, "channels": 2}.get(program.layout)
    if axis is not None and rng.random() < 0.5:
        options |= _open_time(program, axis, dynamo=dynamo)
    if "LogSigmoid" in program.text:
        raise UntriedError("written as the logarithm of a sigmoid, which is minus infinity for large samples")
    data = exported(module, arguments(program), options)
    text = f"{program.text}\n\n# torch.onnx.export(Net(), ..., {', '.join(f'{k}={v!r}' for k, v in options.items())})\n"
    return Trial(
        text,
        program.obstacle,
        lambda **options: from_onnx(data, **options),
        lambda: runs(program, module),
        program.logs,
    )


def _open_time(program: Program, axis: int, *, dynamo: bool) -> dict[str, Any]:
    if dynamo:
        states = [(None,) * len(shapes) if len(shapes) > 1 else None for shapes in program.states]
        return {"dynamic_shapes": ({axis: torch.export.Dim("time", min=2, max=4096)}, *states)}
    return {"input_names": ["x"], "dynamic_axes": {"x": {axis: "time"}}}


@contextmanager
def _silent() -> Iterator[None]:
    """Drop what C++ prints: PyTorch prints a graph that it does not export."""
    sys.stdout.flush()
    kept = os.dup(1)
    with Path(os.devnull).open("w", encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), 1)
        try:
            yield
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)


def exported(module: Any, given: tuple[Any, ...], options: dict[str, Any]) -> bytes:
    """Return a graph as bytes; ``UntriedError`` if PyTorch does not export the module."""
    for name in ("torch", "torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), _silent():
            warnings.simplefilter("ignore")
            if options["dynamo"]:
                program = torch.onnx.export(module, given, verbose=False, **options)
                proto = program.model_proto
                if proto.opset_import[0].version != options["opset_version"]:
                    raise UntriedError("PyTorch writes another opset")
                data: bytes = proto.SerializeToString()
                return data
            file = io.BytesIO()
            torch.onnx.export(module, given, file, **options)
            onnx.checker.check_model(file.getvalue())
            return file.getvalue()
    except UntriedError:
        raise
    except Exception as error:  # of PyTorch
        said = (str(error).splitlines() or [""])[0]
        raise UntriedError(f"not exported: {type(error).__name__}: {said}") from None
