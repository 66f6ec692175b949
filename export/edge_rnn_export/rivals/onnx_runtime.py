"""onnxruntime: the step graph by ``run`` and by I/O binding, and the graph for whole sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from edge_rnn.model import Model
from edge_rnn.typing import F32
from edge_rnn_export.rivals.rival import Rival, Step
from edge_rnn_export.runtime.session import bound_step, session

__all__ = ["onnxruntime_rivals"]


def onnxruntime_rivals(
    model: Model, prepare: Callable[[Any], Any] = lambda graph: graph, kind: str = ""
) -> Iterator[Rival]:
    """Two rivals: the documented call, which also has a form for whole sequences, and I/O binding.

    ``prepare`` transforms each graph before it runs; ``kind`` names the transformation.
    """
    import onnxruntime

    from edge_rnn_export.writers.onnx.graph import build_graph
    from edge_rnn_export.writers.onnx.spec import ExportSpec

    stepping = session(prepare(build_graph(ExportSpec().resolve(model))).SerializeToString())
    sequence = session(prepare(build_graph(ExportSpec("sequence").resolve(model))).SerializeToString())
    names = ["y", *(f"{name}_out" for name in model.initial_state)]
    initial = {name: value[None, None] for name, value in model.initial_state.items()}

    def start() -> Step:
        feeds = {"x": np.zeros((1, 1, model.input_size), np.float32), **initial}
        sample = feeds["x"][0, 0]

        def step(x: F32) -> F32:
            sample[:] = x
            y, *states = stepping.run(names, feeds)
            feeds.update(zip(initial, states, strict=True))
            return y[0, 0]  # type: ignore[no-any-return]

        return step

    def run(xs: F32) -> F32:
        return sequence.run(["y"], {"x": xs[:, None], **initial})[0][:, 0]  # type: ignore[no-any-return]

    version, how = onnxruntime.__version__, "one thread, no spinning"
    name = f"onnxruntime {kind}" if kind else "onnxruntime"
    yield Rival(name, version, f"{how}; sequences in one call", start, run)
    yield Rival(f"{name}, I/O binding", version, how, partial(bound_step, stepping, model))
