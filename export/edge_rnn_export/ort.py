"""onnxruntime set up for small networks that take one step at a time."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any

from edge_rnn.errors import FileError, UnsupportedError

__all__ = ["session"]


def session(source: str | PathLike[str] | bytes) -> Any:
    """An ``onnxruntime.InferenceSession`` on one thread that does not spin.

    A step of a small network is over before a second thread has woken up, and spinning threads take the processor from
    everything else on the device.

    Parameters
    ----------
    source
        Path of an ``.onnx`` file, or its bytes.

    Raises
    ------
    UnsupportedError
        onnxruntime is not installed.
    FileError
        The file cannot be read, or onnxruntime does not take it.
    """
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
    options.log_severity_level = 3  # errors; what it warns of is said by the exception as well
    given = source if isinstance(source, bytes) else fspath(source)
    try:
        return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds share no base but this
        what = "the graph" if isinstance(given, bytes) else given
        raise FileError(f"onnxruntime does not take {what}: {str(error).strip().splitlines()[-1]}.") from None
