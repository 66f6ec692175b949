"""Options of an ONNX export as one value, resolved once against a model."""

from __future__ import annotations

from dataclasses import dataclass

from edge_rnn.checks import choice, whole
from edge_rnn.model import Model
from edge_rnn_export.writers.onnx.head import Head, with_head
from edge_rnn_export.writers.onnx.precision import Form, Operators, Precision, at_precision, check_target

__all__ = ["OPSETS", "ExportSpec", "ResolvedExport"]

OPSETS = range(17, 25)
"""Versions of ONNX's operator set that graphs are written in."""


@dataclass(frozen=True, slots=True)
class ExportSpec:
    """Options of an ONNX graph; see :func:`~edge_rnn_export.to_onnx`.

    Parameters
    ----------
    form
        ``"step"``: one step. ``"sequence"``: any number of steps, one per sample.
    precision
        Precision of the matrices; None keeps the formats of the model.
    operators
        ``"onnxruntime"`` or ``"standard"``.
    head
        Output of the graph, see :func:`~edge_rnn_export.writers.onnx.head.with_head`. ``"greedy"``: ``y`` is the
        model's own output; instead of ``x`` the graph reads ``symbol`` int64 ``(time, batch)``, ids from 0, and it
        also gives ``next_symbol`` int64 ``(time, batch)``, the index of the largest output, the first one of equals.
    opset
        Version of ONNX's operator set, one of ``OPSETS``. None: the first that has every operator of the graph.

    Raises
    ------
    InputError
        An option is unknown.
    """

    form: Form = "step"
    precision: Precision | None = None
    operators: Operators = "onnxruntime"
    head: Head = "model"
    opset: int | None = None

    def __post_init__(self) -> None:
        choice("to_onnx", "form", self.form, ("step", "sequence"))
        check_target(self.precision, self.operators)
        if self.opset is not None:
            whole("to_onnx", "opset", self.opset, OPSETS[0], OPSETS[-1])

    def resolve(self, model: Model, call: str = "to_onnx") -> ResolvedExport:
        """Apply head and precision to a model.

        Parameters
        ----------
        call
            Name of the function, for messages.

        Raises
        ------
        InputError
            A matrix has another format than the precision asks for, or there is no such head.
        UnsupportedError
            The model has no such output.
        """
        computed = with_head(model, self.head, call)
        return ResolvedExport(self, computed, at_precision(computed, self.precision))


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedExport:
    """Model and options of a graph.

    Parameters
    ----------
    spec
        The requested options.
    computed
        The model whose output is the graph's ``y``.
    weights
        The same with its matrices in the formats that the graph holds.
    """

    spec: ExportSpec
    computed: Model
    weights: Model
