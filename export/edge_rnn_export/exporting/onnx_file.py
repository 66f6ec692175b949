"""Export models to other runtimes; each file is verified before it appears under its name."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from typing import Literal

from numpy.typing import ArrayLike

from edge_rnn.atomic import written_aside
from edge_rnn.errors import InputTypeError, ModelError, UnsupportedError
from edge_rnn.model import Model
from edge_rnn.spelling import counted
from edge_rnn_export.verification.check import verify
from edge_rnn_export.verification.cost import measured
from edge_rnn_export.verification.report import Report
from edge_rnn_export.writers.onnx.precision import Operators, Precision
from edge_rnn_export.writers.onnx.spec import ExportSpec

__all__ = ["to_onnx"]


def to_onnx(
    model: Model,
    path: str | PathLike[str],
    *,
    form: Literal["step", "sequence"] = "step",
    precision: Precision | None = None,
    operators: Operators = "onnxruntime",
    head: Literal["model", "logits", "probabilities", "greedy"] = "model",
    opset: int | None = None,
    steps: int | None = None,
    xs: ArrayLike | None = None,
    seed: int = 0,
) -> Report:
    """Write the model as an ONNX graph, which is verified against the model before the file appears.

    The graph takes samples ``x`` (time, batch, I) and every state (``gru1.h``, (1, batch, H)), and gives ``y``
    (time, batch, O) and every new state (``gru1.h_out``); all float32, any batch. Labels, sample rate, input names and
    units, trained initial states and the model's fingerprint are JSON in the file's metadata under ``edge_rnn``.

    Parameters
    ----------
    path
        File to write; an existing one is replaced once the new one has passed.
    form
        ``"step"``: a graph of one step, time is 1. ``"sequence"``: a graph of any number of steps, one per sample.
    precision
        None: matrices keep the model's formats (float32, or those from ``quantize`` and ``shrink``), with their values
        and scales. ``"float32"``: dequantized. ``"float16"``: half the size, computed in float32. ``"int8"``: a
        quarter; vectors are rounded to 8 bits too, at run time, to 255 steps of their own range: the fastest for large
        layers. ``"int8-weights"``: a quarter, with exact vectors, computed in float32. ``"int4"``: a sixth, with one
        scale per 32 columns and exact vectors.
    operators
        ``"onnxruntime"``: its own operators where they are faster: DynamicQuantizeLSTM and DynamicQuantizeMatMul for
        ``"int8"``, MatMulNBits for ``"int4"``. ``"standard"``: only those of ``ai.onnx``, for other runtimes; there
        ``"int4"`` needs opset 21 or later, and is computed in float32.
    head
        Output of the graph. ``"model"``: the model's own. ``"logits"``: scores, without the softmax of the last layer,
        for a program that samples or adds log-probabilities itself. ``"probabilities"``: with a softmax, added if the
        model has none. ``"greedy"``: for text generation, see :mod:`edge_rnn.sampling`; the graph reads ``symbol``
        int64 (time, batch) instead of ``x`` and gives, in addition to ``y``, ``next_symbol`` int64 (time, batch), the
        best symbol, which the caller feeds back: the same text as ``generate(..., temperature=0)``, except where two
        outputs are tied within rounding. ``edge_rnn_export.writers.onnx.head.GREEDY_CODE`` is an example.
    opset
        Version of ONNX's operator set, 17 to 24. None: the first with all operators of the graph, which is 17, or 21
        for ``"int4"`` in standard operators. Another one gives the same nodes, for tools that require a certain
        version.
    steps, xs, seed
        See :func:`~edge_rnn_export.verify`.

    Returns
    -------
    Report
        Differences between reference, Stream and onnxruntime; for smaller formats also the effect of rounding, and size
        and speed relative to a float32 graph, measured during the call.

    Raises
    ------
    ModelError
        onnxruntime, Stream and reference disagree; no file is written then, and an existing one is unchanged.
    UnsupportedError
        A layer has no ONNX form, the model does not support the head, or onnx or onnxruntime is not installed.
    FileError
        The file cannot be written.
    InputError
        See :func:`~edge_rnn_export.verify`; or a matrix is already in another format than ``precision``; or ``opset``
        is not supported.

    Notes
    -----
    A graph that rounds vectors uses one range per tensor: the streams of a batch share it, and in a graph of sequences
    the products with inputs are computed for all samples of a call at once, in one range. Elman, GRU, and LSTMs with
    options that ONNX's operators lack are then built from elementary operators, sequences by Scan. The vector ranges of
    a quantized model (``input_range``) apply only to Stream: no graph clips to them. 8-bit weights are stored as uint8
    with the zero point 128: onnxruntime's products of int8 weights overflow on x86 processors without VNNI.
    """
    if not isinstance(model, Model):
        raise InputTypeError(f"to_onnx got {type(model).__name__}, expected a Model: edge_rnn.load(path) reads one.")
    if not isinstance(path, str | PathLike):
        raise InputTypeError(f"to_onnx got {type(path).__name__} as the path, expected a str or a pathlib.Path.")
    export = ExportSpec(form, precision, operators, head, opset).resolve(model)
    try:
        from edge_rnn_export.writers.onnx.graph import build_graph
    except ModuleNotFoundError as error:
        raise UnsupportedError(f"to_onnx needs {error.name}: pip install 'edge-rnn[export]'.") from None
    data = build_graph(export).SerializeToString(deterministic=True)
    with written_aside(path, data) as aside:
        report = verify(model, aside, steps=steps, xs=xs, seed=seed)
        if not report.passed:
            raise ModelError(f"to_onnx did not write {path}: {_why(report)}")
        if report.rounding:
            if head == "greedy":  # the choice of symbols is not compared
                plain = replace(export, spec=replace(export.spec, head="model"))
                data = build_graph(plain).SerializeToString(deterministic=True)
            report = replace(report, cost=measured(export.computed, data, form))
    return report


def _why(report: Report) -> str:
    """Explain why a report failed."""
    worst = max(report.deviations, key=lambda each: (not each.passed, each.share))
    stream, onnx = (max(getattr(each, name) for each in report.deviations) for name in ("step_stream", "step_onnx"))
    figures = (
        f"over {counted(report.along, 'step')} reference and Stream differ by "
        f"{report.reference_vs_stream:.1e}, reference and "
        f"onnxruntime by {report.reference_vs_onnx:.1e}, Stream and onnxruntime by {report.stream_vs_onnx:.1e}, with a "
        f"tolerance of {report.tolerance:.0e} relative to the terms of each value; in single steps from the same "
        f"states Stream is off by {stream:.1e} and onnxruntime by {onnx:.1e}, with a tolerance of "
        f"{report.step_tolerance:.0e}; the largest error is in {worst.name!r} at index {worst.channel}."
    )
    return " ".join([figures, *report.mismatches])
