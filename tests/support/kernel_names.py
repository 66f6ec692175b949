"""Names of generated kernels, for tests that compile one without a model."""

from __future__ import annotations

from functools import cache

import numpy as np

from edge_rnn import GRU, LSTM, Elman, Model
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.lower.key import Generated
from edge_rnn.streams.planner import plan_for

_LAYERS = {"elman_tanh": (Elman, 1), "gru": (GRU, 3), "lstm": (LSTM, 4)}


@cache
def kernel_named(spelled: str) -> str:
    """``"lstm"``, ``"gru__w8a8_int4"``, ``"elman_tanh_x2"`` as the kernels of these layers are called; others as given.

    Formats are those of the input and of the recurrent matrix; ``_x2`` is the form for two streams.
    """
    stem, _, streams = spelled.partition("_x")
    bare, _, formats = stem.partition("__")
    if bare not in _LAYERS:
        return spelled
    kind, gates = _LAYERS[bare]
    layer = kind(np.ones((gates, 1)), np.ones((gates, 1)))
    (name,) = plan_for(Model([layer]), object_cache.host()).operations
    assert isinstance(name, Generated)
    return Generated.of(
        name.text, name.gates, tuple(formats.split("_")) if formats else name.formats, int(streams or 1)
    )
