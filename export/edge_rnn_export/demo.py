"""The host side's part of ``edge-rnn demo``: the same network as an ONNX graph, compared and ready to be timed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_rnn.model import Model
from edge_rnn_export.export import to_onnx
from edge_rnn_export.ort import session

__all__ = ["onnx_side"]

Array = NDArray[np.float32]


def onnx_side(model: Model, xs: Array) -> dict[str, Any]:
    """Export ``model``, compare reference, Stream and onnxruntime on a recording, and set up a step in onnxruntime.

    The entry point ``onnx`` of the group ``edge_rnn.demo``.

    Parameters
    ----------
    xs
        ``(time, input_size)`` float32, a recording that the network is for.

    Returns
    -------
    dict
        ``"steps"``, ``"reference_vs_stream"``, ``"reference_vs_onnx"``, ``"stream_vs_onnx"``, ``"max_abs_error"``,
        ``"tolerance"``: of the comparison. ``"step"``: a function from a sample ``(input_size,)`` to the output
        ``(output_size,)``, state carried, the same array each time. ``"runtime"``: what runs it, in words.

    Raises
    ------
    ModelError
        The three disagree.
    UnsupportedError
        onnx or onnxruntime is not installed, or a layer has no ONNX form.
    """
    with TemporaryDirectory(prefix="edge_rnn-") as folder:
        path = Path(folder) / "model.onnx"
        report = to_onnx(model, path, steps=len(xs), xs=xs)
        loaded = session(path)
    import onnxruntime

    names = ("steps", "reference_vs_stream", "reference_vs_onnx", "stream_vs_onnx", "max_abs_error", "tolerance")
    return {
        **{name: getattr(report, name) for name in names},
        "step": _bound_step(loaded, model),
        "runtime": f"onnxruntime {onnxruntime.__version__}: I/O binding, one thread, no spinning",
    }


def _bound_step(loaded: Any, model: Model) -> Callable[[Array], Array]:
    """A step through I/O binding, the quickest documented way from Python.

    All values lie in arrays that are bound once. States have two places each, and two bindings change theirs over, so
    nothing but the sample is copied.
    """
    x = np.zeros((1, 1, model.input_size), np.float32)
    y = np.zeros((1, 1, model.output_size), np.float32)
    states = {name: np.stack([value, value])[:, None, None] for name, value in model.initial_state.items()}
    bindings = []
    for parity in (0, 1):
        binding = loaded.io_binding()
        inputs = {"x": x} | {name: places[parity] for name, places in states.items()}
        outputs = {"y": y} | {f"{name}_out": places[1 - parity] for name, places in states.items()}
        for bind, arrays in ((binding.bind_input, inputs), (binding.bind_output, outputs)):
            for name, array in arrays.items():
                bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        bindings.append(binding)
    run = loaded.run_with_iobinding
    sample: Array = x[0, 0]
    output: Array = y[0, 0]
    current, other = bindings

    def step(values: Array, keep_alive: Any = (x, y, states)) -> Array:
        nonlocal current, other
        sample[:] = values
        run(current)
        current, other = other, current
        return output

    return step
