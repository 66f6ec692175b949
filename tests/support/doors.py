"""A layer through every door: streams, banks, formats, a library, onnxruntime; each within its derived bound."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from built_libraries import Library, this_machine
from edge_rnn import Model, Stream, StreamBank
from edge_rnn.kernels.entry import object_cache
from edge_rnn.layers import Cell
from edge_rnn_export import OrtStream, build
from graphs import graph_of

Steps = Sequence[tuple[Any, Any, dict[str, Any], dict[str, Any]]]
"""Result of :func:`error_bounds.bounded_steps`."""


def assert_within(found: Any, wanted: Any, error: Any, what: str = "y") -> None:
    excess = np.abs(found - wanted) - error
    assert (excess <= 0).all(), f"{what} is {excess.max():.3g} further off than {error[excess.argmax()]:.3g}"


def follows(stream: Any, xs: Any, steps: Steps) -> None:
    """Check outputs and states of a stream whose only layer is called ``cell1``."""
    for x, (y, error, states, errors) in zip(xs, steps, strict=True):
        assert_within(stream.step(x), y, error)
        for name, value in states.items():
            assert_within(stream.state[f"cell1.{name}"], value, errors[name], name)


def streams_and_banks(layer: Cell, xs: Any, steps: Steps) -> None:
    model = Model([layer.replaced(name="cell1")])
    follows(Stream(model), xs, steps)
    for count in (2, object_cache.host().group + 1):
        bank = StreamBank(model, count)
        for x, (y, error, _, _) in zip(xs, steps, strict=True):
            for row in bank.step(np.tile(x, (count, 1))):
                assert_within(row, y, error)


def library(layer: Cell, xs: Any, steps: Steps, path: Path) -> None:
    folder = Path(tempfile.mkdtemp(dir=path))  # one that was loaded from the same path would be taken again
    build(Model([layer]), this_machine(), folder, name="net")
    built = Library(folder, "net")
    assert built("self_test", built.state) == 0
    assert built("reset", built.state) == 0
    for x, (y, error, _, _) in zip(xs, steps, strict=True):
        status, found = built.step(x)
        assert status == 0
        assert_within(found, y, error)


def onnxruntime(layer: Cell, xs: Any, steps: Steps) -> None:
    """Check outputs of a step's graph; ``steps`` are of ``own=4.0``."""
    stream = OrtStream(graph_of(Model([layer])).SerializeToString())
    for x, (y, error, _, _) in zip(xs, steps, strict=True):
        assert_within(stream.step(x), y, error)
