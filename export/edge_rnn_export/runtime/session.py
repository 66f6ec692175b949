"""onnxruntime sessions for small networks that take one step at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from edge_rnn.errors import FileError, InputTypeError, UnsupportedError
from edge_rnn.model import Model
from edge_rnn.storage.file_kind import ORT_FILE, kind_of
from edge_rnn.typing import F32

__all__ = ["bindings", "bound_step", "session"]


def session(source: str | PathLike[str] | bytes) -> Any:
    """Create an ``onnxruntime.InferenceSession`` on one thread that does not spin.

    A step of a small network is over before a second thread wakes up, and spinning threads take CPU time from
    everything else on the device.

    Parameters
    ----------
    source
        Path of an ``.onnx`` file, or its bytes.

    Raises
    ------
    InputTypeError
        ``source`` is neither a path nor bytes.
    UnsupportedError
        onnxruntime is not installed.
    FileError
        The file cannot be read, or onnxruntime rejects it.
    """
    if not isinstance(source, (str, PathLike, bytes)):
        raise InputTypeError(f"onnxruntime got {type(source).__name__}, expected the path of a graph or its bytes.")
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise UnsupportedError("onnxruntime is not installed: pip install 'edge-rnn[export]'.") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors only; exceptions repeat what the warnings say
    given = source if isinstance(source, bytes) else fspath(source)
    try:
        return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no other common base
        if not isinstance(given, bytes):
            found = kind_of(Path(given))
            if found is not None and found.reader != "ONNX" and found is not ORT_FILE:
                raise FileError(f"{given}: is {found.what}, expected an ONNX graph, .onnx or .ort.") from None
        what = "the graph" if isinstance(given, bytes) else given
        raise FileError(f"onnxruntime rejects {what}: {str(error).strip().splitlines()[-1]}.") from None


def bindings(loaded: Any, x: F32, y: F32, places: Mapping[str, F32]) -> tuple[Any, Any]:
    """Create two I/O bindings of a step graph, to be run alternately: each writes the states that the other one reads.

    Parameters
    ----------
    x, y
        ``(1, 1, I)`` and ``(1, 1, O)`` float32: sample and output.
    places
        Buffers ``(2, 1, 1, H)`` float32 of each state: the first binding reads the first half, the second one the
        other.

    Notes
    -----
    All arrays have to outlive the bindings.
    """
    found = []
    for parity in (0, 1):
        binding = loaded.io_binding()
        inputs = {"x": x} | {name: both[parity] for name, both in places.items()}
        outputs = {"y": y} | {f"{name}_out": both[1 - parity] for name, both in places.items()}
        for bind, arrays in ((binding.bind_input, inputs), (binding.bind_output, outputs)):
            for name, array in arrays.items():
                bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        found.append(binding)
    return found[0], found[1]


def bound_step(loaded: Any, model: Model) -> Callable[[F32], F32]:
    """Return a step function with I/O binding, the fastest documented way from Python, without checks.

    All values are in arrays that are bound once, so only the sample is copied.

    Parameters
    ----------
    loaded
        Session of the model's step graph.

    Returns
    -------
    Function from a sample ``(input_size,)`` to the output ``(output_size,)``, the same array each time. It starts at
    the model's initial state and carries it.
    """
    x = np.zeros((1, 1, model.input_size), np.float32)
    y = np.zeros((1, 1, model.output_size), np.float32)
    states = {name: np.stack([value, value])[:, None, None] for name, value in model.initial_state.items()}
    current, other = bindings(loaded, x, y, states)
    run = loaded.run_with_iobinding
    sample: F32 = x[0, 0]
    output: F32 = y[0, 0]

    def step(values: F32, keep_alive: Any = (x, y, states)) -> F32:
        nonlocal current, other
        sample[:] = values
        run(current)
        current, other = other, current
        return output

    return step
