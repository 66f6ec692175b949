"""Recurrent networks on small computers, one sample at a time.

>>> import numpy as np, edge_rnn
>>> model = edge_rnn.Model([edge_rnn.Elman([[1.0]], [[0.5]]), edge_rnn.Dense([[2.0]])])
>>> stream = edge_rnn.Stream(model)
>>> stream.step(np.ones(1, np.float32)).shape
(1,)

Names are loaded when they are first used: importing the package takes neither Numba nor compiled code.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_rnn.errors import (
        CompileError,
        EdgeRnnError,
        FileError,
        InputError,
        ModelError,
        SampleWarning,
        StateError,
        UnsupportedError,
    )
    from edge_rnn.kernels.entry.user_loop import step
    from edge_rnn.layers import GRU, LSTM, Add, Dense, Elman, Embedding, Standardize
    from edge_rnn.loop.sensor_loop import SensorLoop
    from edge_rnn.model import Model
    from edge_rnn.quantization.apply import dequantize, quantize
    from edge_rnn.quantization.search import shrink
    from edge_rnn.sampling import beam_search, generate
    from edge_rnn.shipped import data_path
    from edge_rnn.storage.model_file import load, save
    from edge_rnn.streams.stream import Stream
    from edge_rnn.streams.stream_bank import StreamBank
    from edge_rnn.streams.windowed_stream import WindowedStream

__all__ = [
    "GRU",
    "LSTM",
    "Add",
    "CompileError",
    "Dense",
    "EdgeRnnError",
    "Elman",
    "Embedding",
    "FileError",
    "InputError",
    "Model",
    "ModelError",
    "SampleWarning",
    "SensorLoop",
    "Standardize",
    "StateError",
    "Stream",
    "StreamBank",
    "UnsupportedError",
    "WindowedStream",
    "__version__",
    "beam_search",
    "data_path",
    "dequantize",
    "generate",
    "load",
    "quantize",
    "save",
    "shrink",
    "step",
]

__version__ = "0.1.0"

_HOMES = {
    "errors": (
        "CompileError",
        "EdgeRnnError",
        "FileError",
        "InputError",
        "ModelError",
        "SampleWarning",
        "StateError",
        "UnsupportedError",
    ),
    "shipped": ("data_path",),
    "storage.model_file": ("load", "save"),
    "kernels.entry.user_loop": ("step",),
    "layers": ("GRU", "LSTM", "Add", "Dense", "Elman", "Embedding", "Standardize"),
    "loop.sensor_loop": ("SensorLoop",),
    "model": ("Model",),
    "quantization.apply": ("dequantize", "quantize"),
    "quantization.search": ("shrink",),
    "streams.stream": ("Stream",),
    "sampling": ("beam_search", "generate"),
    "streams.stream_bank": ("StreamBank",),
    "streams.windowed_stream": ("WindowedStream",),
}
_PUBLIC_MODULES = {
    "backend": "backend",
    "boards": "boards",
    "formats": "formats",
    "frontend": "frontend",
    "loop": "loop",
    "reference": "reference",
    "sampling": "sampling",
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _PUBLIC_MODULES:
        return import_module(f"edge_rnn.{_PUBLIC_MODULES[name]}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'edge_rnn' has no attribute {name!r}")
    value = getattr(import_module(f"edge_rnn.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
