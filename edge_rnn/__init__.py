"""Recurrent networks on small computers, one sample at a time.

>>> import numpy as np, edge_rnn
>>> model = edge_rnn.Model([edge_rnn.Elman([[1.0]], [[0.5]]), edge_rnn.Dense([[2.0]])])
>>> stream = edge_rnn.Stream(model)
>>> stream.step(np.ones(1, np.float32)).shape
(1,)

Names and packages are loaded on first use: importing edge_rnn loads neither Numba nor compiled code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_rnn.lazy import attach

if TYPE_CHECKING:
    from edge_rnn import analysis as analysis
    from edge_rnn import backend as backend
    from edge_rnn import boards as boards
    from edge_rnn import cards as cards
    from edge_rnn import equations as equations
    from edge_rnn import errors as errors
    from edge_rnn import formats as formats
    from edge_rnn import frontend as frontend
    from edge_rnn import layers as layers
    from edge_rnn import live as live
    from edge_rnn import loop as loop
    from edge_rnn import quantization as quantization
    from edge_rnn import recordings as recordings
    from edge_rnn import reference as reference
    from edge_rnn import sampling as sampling
    from edge_rnn import storage as storage
    from edge_rnn import streams as streams
    from edge_rnn import timing as timing
    from edge_rnn.errors import EdgeRnnError
    from edge_rnn.kernels.entry.user_loop import step
    from edge_rnn.layers import GRU, LSTM, Dense, Elman, Embedding, Standardize, cell
    from edge_rnn.model import Model
    from edge_rnn.quantization.apply import quantize
    from edge_rnn.shipped import data_path
    from edge_rnn.storage.model_file import load, save
    from edge_rnn.streams.stream import Stream
    from edge_rnn.streams.stream_bank import StreamBank

__all__ = [
    "GRU",
    "LSTM",
    "Dense",
    "EdgeRnnError",
    "Elman",
    "Embedding",
    "Model",
    "Standardize",
    "Stream",
    "StreamBank",
    "cell",
    "data_path",
    "load",
    "quantize",
    "save",
    "step",
]

__version__ = "0.2.0"

if not TYPE_CHECKING:
    __getattr__, __dir__ = attach(
        __name__,
        {
            "errors": ("EdgeRnnError",),
            "kernels.entry.user_loop": ("step",),
            "layers": ("GRU", "LSTM", "Dense", "Elman", "Embedding", "Standardize", "cell"),
            "model": ("Model",),
            "quantization.apply": ("quantize",),
            "shipped": ("data_path",),
            "storage.model_file": ("load", "save"),
            "streams.stream": ("Stream",),
            "streams.stream_bank": ("StreamBank",),
        },
        (
            "analysis",
            "backend",
            "boards",
            "cards",
            "equations",
            "errors",
            "formats",
            "frontend",
            "layers",
            "live",
            "loop",
            "quantization",
            "recordings",
            "reference",
            "sampling",
            "storage",
            "streams",
            "timing",
        ),
    )
