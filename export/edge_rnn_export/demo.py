"""The host side's part of ``edge-rnn demo``: the same network as an ONNX graph, compared and ready to be timed."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edge_rnn.model import Model
from edge_rnn.typing import F32
from edge_rnn_export.exporting.onnx_file import to_onnx
from edge_rnn_export.runtime.session import bound_step, session

__all__ = ["onnx_side"]


def onnx_side(model: Model, xs: F32) -> dict[str, Any]:
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
        "step": bound_step(loaded, model),
        "runtime": f"onnxruntime {onnxruntime.__version__}: I/O binding, one thread, no spinning",
    }
