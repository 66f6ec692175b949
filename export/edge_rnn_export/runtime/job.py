"""Job for :mod:`edge_rnn_export.limits.process`: run a graph in onnxruntime, given only its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_rnn.errors import FileError
from edge_rnn_export.limits.worker import Answer, Call
from edge_rnn_export.runtime.session import session

__all__ = ["CALLS", "prepare"]

_loaded: list[Any] = []


def prepare() -> None:
    """Import the library."""
    import onnxruntime  # noqa: F401


def _open(_: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    """Load the graph; return its ``inputs`` and ``outputs``, each ``[name, type, shape]``, and ``metadata``."""
    loaded = session(arrays["data"].tobytes())
    _loaded[:] = [loaded]
    return {
        "inputs": [[each.name, each.type, each.shape] for each in loaded.get_inputs()],
        "outputs": [[each.name, each.type, each.shape] for each in loaded.get_outputs()],
        "metadata": loaded.get_modelmeta().custom_metadata_map,
    }, {}


def _run(about: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    """Run the graph; return the ``outputs`` as arrays by index."""
    try:
        found = _loaded[0].run(about["outputs"], dict(arrays))
    except Exception as error:  # onnxruntime's exceptions have no other common base
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise FileError(f"onnxruntime failed to run the graph: {reason[:300]}.") from None
    return {}, {str(place): array for place, array in enumerate(found)}


def _steps(about: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    """Run the graph for each row of the input ``reads``, feeding outputs that are states back to the inputs."""
    state = {name: array for name, array in arrays.items() if name != about["reads"]}
    names, carried = about["outputs"], about["carried"]
    rows: list[list[Any]] = []
    for row in arrays[about["reads"]]:
        _, found = _run(about, state | {about["reads"]: row[None]})
        rows.append([found[str(place)] for place in range(len(names))])
        state = {into: found[str(names.index(name))] for name, into in carried.items()}
    return {}, {str(place): np.stack(each) for place, each in enumerate(zip(*rows, strict=True))}


CALLS: dict[str, Call] = {"open": _open, "run": _run, "steps": _steps}
