"""ORT format: a graph for onnxruntime's reduced builds, and the list of operators that such a build needs.

Source: ORT model format and reduced operator configuration,
https://onnxruntime.ai/docs/performance/model-optimizations/ ort-format-models.html.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from dataclasses import replace
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from numpy.typing import ArrayLike

from edge_rnn.atomic import write
from edge_rnn.errors import InputError, InputTypeError, ModelError
from edge_rnn.model import Model
from edge_rnn_export.exporting.onnx_file import to_onnx
from edge_rnn_export.verification.check import verify
from edge_rnn_export.verification.report import Report
from edge_rnn_export.writers.onnx.precision import Operators, Precision

__all__ = ["CONFIG_SUFFIX", "to_ort"]

CONFIG_SUFFIX = ".required_operators.config"
"""File name extension of the operator list next to the ``.ort`` file: for ``build.sh --include_ops_by_config``."""


def to_ort(
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
    """Write the model as an ``.ort`` file, and next to it the list of operators that it needs.

    Parameters
    ----------
    path
        File to write, ``*.ort``; the list has the same name with the extension ``.required_operators.config``.
    form, precision, operators, head, opset, steps, xs, seed
        See :func:`~edge_rnn_export.to_onnx`. The ``.ort`` file itself is compared too, before it appears. The
        optimizations that onnxruntime applies when it loads a graph are already applied: if a graph computes in float32
        with smaller weights (``"float16"``, ``"int8-weights"``, ``"int4"`` in standard operators), the ``.ort`` file
        holds float32.

    Returns
    -------
    Report
        Report on the ``.ort`` file.

    Raises
    ------
    InputError, ModelError, UnsupportedError, FileError
        As for :func:`~edge_rnn_export.to_onnx`; or the name does not end in ``.ort``.
    """
    if not isinstance(path, str | PathLike) or Path(path).suffix.lower() != ".ort":
        kind = InputError if isinstance(path, str | PathLike) else InputTypeError
        raise kind(f"to_ort got the path {path!r}, expected a name that ends in .ort.")
    with TemporaryDirectory(prefix="edge_rnn-") as folder:
        graph = Path(folder, "model.onnx")
        cost = to_onnx(
            model,
            graph,
            form=form,
            precision=precision,
            operators=operators,
            head=head,
            opset=opset,
            steps=steps,
            xs=xs,
            seed=seed,
        ).cost
        _convert(graph)
        made = graph.with_suffix(".ort")
        report = verify(model, made, steps=steps, xs=xs, seed=seed)
        if not report.passed:
            raise ModelError(
                f"to_ort did not write {path}: its outputs differ from those of the graph that it was made from."
            )
        data, needed = made.read_bytes(), graph.with_suffix(CONFIG_SUFFIX).read_text(encoding="utf-8")
    lines = [line for line in needed.splitlines() if not line.startswith("#")]  # which name a folder that is gone
    write(Path(path).with_suffix(CONFIG_SUFFIX), ("\n".join(lines) + "\n").encode())
    write(path, data)
    return report if cost is None else replace(report, cost=replace(cost, nbytes=len(data)))


def _convert(graph: Path) -> None:
    """Write ``model.ort`` and ``model.required_operators.config`` next to the graph; suppress the tool's output."""
    from onnxruntime.tools import convert_onnx_models_to_ort as tool

    fixed: Any = tool.OptimizationStyle.Fixed
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it leaves a file to the garbage collector to close
            tool.convert_onnx_models_to_ort(graph, output_dir=graph.parent, optimization_styles=[fixed])
    finally:
        logging.disable(before)
