"""Cost of a graph in smaller formats compared with a float32 one: bytes, and time on this machine."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from edge_rnn import timing
from edge_rnn.model import Model
from edge_rnn.quantization import dequantize
from edge_rnn.timing import Make, calls, turns
from edge_rnn_export.runtime.session import bound_step, session
from edge_rnn_export.verification.report import Cost
from edge_rnn_export.writers.onnx.precision import Form
from edge_rnn_export.writers.onnx.spec import ExportSpec

__all__ = ["SEQUENCE_STEPS", "measured"]

SEQUENCE_STEPS = 100
"""Samples per call of a sequence graph."""


def measured(model: Model, small: bytes, form: Form, seconds: float = 0.3) -> Cost:
    """Measure size and time of a graph, and of the float32 graph of the same model, in turn.

    Parameters
    ----------
    small
        Contents of the graph's file.
    seconds
        Maximum time for each of the two; an undisturbed machine needs less.
    """
    from edge_rnn_export.writers.onnx.graph import build_graph

    plain = dequantize(model)
    whole = build_graph(ExportSpec(form).resolve(plain)).SerializeToString(deterministic=True)
    steps = 1 if form == "step" else SEQUENCE_STEPS
    xs = np.random.default_rng(0).standard_normal((64 if steps == 1 else steps, model.input_size)).astype(np.float32)
    makes = {name: _make(plain, session(data), form, xs) for name, data in (("small", small), ("float32", whole))}
    times = timing.time_chunks(makes, seconds=seconds)
    return Cost(times["small"].ns / steps, times["float32"].ns / steps, len(small), len(whole), steps)


def _make(model: Model, loaded: Any, form: Form, xs: Any) -> Make:
    if form == "step":
        return calls(bound_step(loaded, model), xs)
    states = {name: value[None, None] for name, value in model.initial_state.items()}
    return turns(partial(loaded.run, None, {"x": xs[:, None], **states}))
