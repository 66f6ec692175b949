"""The same network in other runtimes, for ``edge-rnn bench --rivals``: each in the fastest way known to us.

All use one thread. Every rival provides a function that takes steps from the initial state and carries it; if the
runtime has a form for whole sequences, also a function for that. The caller checks that the results agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from os import PathLike

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.model import Model
from edge_rnn_export.rivals.rival import Rival

__all__ = ["Rival", "rivals"]


def rivals(model: Model, *, litert: str | PathLike[str] | None = None) -> tuple[list[Rival], dict[str, str]]:
    """Set up a model in every other runtime that is installed and supports it.

    The entry point ``rivals`` of the group ``edge_rnn.bench``.

    Parameters
    ----------
    litert
        Folder of ``.tflite`` files named ``<cell>_<I>_<H>.tflite``, each with one step: inputs ``x`` ``(1, I)`` and
        states ``h``, ``c`` ``(1, H)``, outputs ``y``, ``h2``, ``c2``.

    Returns
    -------
    The rivals, and the reason why any other is missing, by name.
    """
    from edge_rnn_export.rivals.litert import litert_rivals
    from edge_rnn_export.rivals.onnx_runtime import onnxruntime_rivals
    from edge_rnn_export.rivals.plain_numpy import numpy_rivals
    from edge_rnn_export.rivals.pytorch import torch_rivals

    found: list[Rival] = []
    missing: dict[str, str] = {}
    builders: dict[str, Callable[[], Iterator[Rival]]] = {
        "onnxruntime": partial(onnxruntime_rivals, model),
        "LiteRT": partial(litert_rivals, model, litert),
        "PyTorch": partial(torch_rivals, model),
        "NumPy": partial(numpy_rivals, model),
    }
    for name, build in builders.items():
        try:
            found += build()
        except ModuleNotFoundError as error:
            missing[name] = f"{error.name} is not installed"
        except (UnsupportedError, FileError) as error:
            missing[name] = str(error).rstrip(".")
    return found, missing
