"""Random PyTorch modules as both of PyTorch's exporters write them, and as ``from_onnx`` reads the graph."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stdout
from random import Random
from typing import Any

import numpy as np
import onnx
import torch

from edge_rnn_export import from_onnx
from tests.readers.trials.judge import Trial, UntriedError
from tests.readers.trials.torch_program import Program
from tests.readers.trials.torch_trials import made, runs, shaped, zeros
from tests.readers.trials.torch_write import write

__all__ = ["dynamo", "script"]

STEPS = 12
"""Length of the sequence with which a module is exported."""


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
    if "proj_size" in program.text and not dynamo:  # PyTorch prints its whole graph
        raise UntriedError("not exported: an LSTM with projections")
    data = exported(module, arguments(program), options)
    text = f"{program.text}\n\n# torch.onnx.export(Net(), ..., {', '.join(f'{k}={v!r}' for k, v in options.items())})\n"
    return Trial(text, program.obstacle, lambda: from_onnx(data), lambda: runs(program, module), program.logs)


def arguments(program: Program) -> tuple[Any, ...]:
    """Return arguments of forward: samples, and zero states; a whole sequence of a bare module starts without."""
    rng = np.random.default_rng(1)
    steps = 1 if program.layout == "step" else STEPS
    if program.symbols:
        xs = rng.integers(0, program.inputs, (steps, 1)).astype(np.float32)
    else:
        xs = rng.standard_normal((steps, program.inputs)).astype(np.float32)
    x = shaped(program, xs)
    states = [] if program.bare and program.layout != "step" else zeros(program)
    return (x if program.symbols else x.float(), *states)


def _open_time(program: Program, axis: int, *, dynamo: bool) -> dict[str, Any]:
    if dynamo:
        states = [(None,) * len(shapes) if len(shapes) > 1 else None for shapes in program.states]
        return {"dynamic_shapes": ({axis: torch.export.Dim("time", min=2, max=4096)}, *states)}
    return {"input_names": ["x"], "dynamic_axes": {"x": {axis: "time"}}}


def exported(module: Any, given: tuple[Any, ...], options: dict[str, Any]) -> bytes:
    """Return a graph as bytes; ``UntriedError`` if PyTorch does not export the module."""
    for name in ("torch", "torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
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
