"""Models out to other runtimes, each file checked before it appears under its name."""

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
    """Write the model as an ONNX graph, found equal to the model before the file appears.

    The graph takes samples ``x`` (time, batch, I) and every state (``gru1.h``, (1, batch, H)), and gives ``y``
    (time, batch, O) and every new state (``gru1.h_out``); all float32, any batch. Labels, sample rate, input names and
    units, trained initial states and the model's fingerprint are JSON in the file's metadata under ``edge_rnn``.

    Parameters
    ----------
    path
        Where the file goes; one that is there is replaced, once the new one has passed.
    form
        ``"step"``: a graph of one step, time is 1. ``"sequence"``: of as many as the samples are.
    precision
        None: matrices in the formats that the model has them in, float32 or what ``quantize`` and ``shrink`` made, with
        the numbers and scales that these have. ``"float32"``: as what they stand for. ``"float16"``: half the size,
        computed with in float32. ``"int8"``: a quarter; vectors are rounded to 8 bits too, as they come, to 255 steps
        of their own range: the quickest for large layers. ``"int8-weights"``: a quarter, vectors as they are, computed
        with in float32. ``"int4"``: a sixth, a scale for each 32 columns, vectors as they are.
    operators
        ``"onnxruntime"``: its own operators where they are quicker: DynamicQuantizeLSTM and DynamicQuantizeMatMul for
        ``"int8"``, MatMulNBits for ``"int4"``. ``"standard"``: those of ``ai.onnx`` alone, for other runtimes; there
        ``"int4"`` takes opset 21 or later, and is computed with in float32.
    head
        What the graph puts out. ``"model"``: what the model does. ``"logits"``: scores, the softmax of the last layer
        left off, for a program that samples or adds up logarithms itself. ``"probabilities"``: with a softmax, where
        the model has none. ``"greedy"``: for a network that writes, see :mod:`edge_rnn.sampling`; the graph reads
        ``symbol`` int64 (time, batch) in place of ``x`` and gives ``next_symbol`` int64 (time, batch) beside ``y``, the
        best symbol, which the caller feeds back: the same text as ``generate(..., temperature=0)``, but where two
        outputs are within rounding of a tie. ``edge_rnn_export.writers.onnx.head.GREEDY_CODE`` is such a caller.
    opset
        Version of ONNX's operator set, 17 to 24. None: the first with all operators of the graph, which is 17, or 21
        for ``"int4"`` in standard operators. Another one makes the same nodes, for tools that ask for a version.
    steps, xs, seed
        See :func:`~edge_rnn_export.verify`.

    Returns
    -------
    Report
        How far reference, Stream and onnxruntime are apart; of smaller formats also what rounding does, and whether
        the graph is smaller and quicker than one of float32, measured here and now.

    Raises
    ------
    ModelError
        onnxruntime, Stream and reference disagree; there is no new file then, and an old one is as it was.
    UnsupportedError
        A layer has no ONNX form, the model has no such head, or onnx or onnxruntime is not installed.
    FileError
        The file cannot be written.
    InputError
        See :func:`~edge_rnn_export.verify`; or a matrix has another format than ``precision`` already; or graphs are
        not written in that ``opset``.

    Notes
    -----
    A graph that rounds vectors takes one range for each tensor: streams of a batch share it, and in a graph of
    sequences what does not wait for the state is multiplied for all samples of a call at once, in one range. Elman,
    GRU, and LSTMs with options that ONNX's operators lack are put together from operators then, sequences by Scan.

    Ranges of vectors that a quantized model states (``input_range``) are those of Stream alone: no graph clips to them.

    Weights of 8 bits are stored as uint8 with the zero point 128: onnxruntime's products of int8 weights overflow on
    x86 processors without VNNI.
    """
    if not isinstance(model, Model):
        raise InputTypeError(f"to_onnx got {type(model).__name__}, expected a Model: edge_rnn.load(path) reads one.")
    if not isinstance(path, str | PathLike):
        raise InputTypeError(f"to_onnx got {type(path).__name__} as the path, expected a text or a pathlib.Path.")
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
            if head == "greedy":  # choosing is not what is compared
                plain = replace(export, spec=replace(export.spec, head="model"))
                data = build_graph(plain).SerializeToString(deterministic=True)
            report = replace(report, cost=measured(export.computed, data, form))
    return report


def _why(report: Report) -> str:
    """What failed in a report."""
    worst = max(report.deviations, key=lambda each: (not each.passed, each.share))
    stream, onnx = (max(getattr(each, name) for each in report.deviations) for name in ("step_stream", "step_onnx"))
    figures = (
        f"over {counted(report.along, 'step')} reference and Stream differ by "
        f"{report.reference_vs_stream:.1e}, reference and "
        f"onnxruntime by {report.reference_vs_onnx:.1e}, Stream and onnxruntime by {report.stream_vs_onnx:.1e}, with a "
        f"tolerance of {report.tolerance:.0e} of what each value is made of; in single steps from the same states "
        f"Stream is off by {stream:.1e} and onnxruntime by {onnx:.1e}, with a tolerance of "
        f"{report.step_tolerance:.0e}; the furthest off is {worst.name!r} at index {worst.channel}."
    )
    return " ".join([figures, *report.mismatches])
