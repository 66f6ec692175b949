"""PyTorch, eager: cells for single steps, sequence modules for whole sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from edge_rnn.errors import UnsupportedError
from edge_rnn.model import Model
from edge_rnn.typing import F32
from edge_rnn_export.rivals.rival import Rival, Step, chain

__all__ = ["torch_rivals"]


def torch_rivals(model: Model) -> Iterator[Rival]:
    """One rival, with a form for whole sequences."""
    import torch

    layers = chain(model, "Elman", "GRU", "LSTM", "Dense", "Standardize")
    torch.set_num_threads(1)
    after = {"none": None, "relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}

    def built(layer: Any, kinds: dict[str, Any]) -> Any:
        rows, width = layer.weight_ih.shape
        options = {"nonlinearity": layer.activation} if layer.kind == "Elman" else {}
        if layer.kind == "GRU" and not layer.reset_after:
            raise UnsupportedError("PyTorch has no GRU with the reset gate before the matrix")
        module = kinds[layer.kind](width, layer.hidden_size, **options)
        given = [layer.weight_ih, layer.weight_hh, layer.bias_ih, layer.bias_hh]
        with torch.no_grad():
            for parameter, array in zip(module.parameters(), given, strict=True):
                parameter.copy_(torch.from_numpy(np.zeros(rows, np.float32) if array is None else array.copy()))
        return module.eval()

    def applied(layer: Any) -> Callable[[Any], Any]:
        if layer.kind == "Standardize":
            mean, scale = (torch.from_numpy(array.copy()) for array in (layer.mean, layer.scale))
            return lambda value: (value - mean) / scale
        weight, bias = (None if a is None else torch.from_numpy(a.copy()) for a in (layer.weight, layer.bias))
        activation = after.get(layer.activation, partial(torch.softmax, dim=-1))
        linear = torch.nn.functional.linear
        return lambda v: linear(v, weight, bias) if activation is None else activation(linear(v, weight, bias))

    def states(layer: Any, *axes: None) -> Any:
        values = tuple(torch.from_numpy(value.copy())[axes] for value in layer.initial_state.values())
        return values if len(values) > 1 else values[0]

    cells = {"Elman": torch.nn.RNNCell, "GRU": torch.nn.GRUCell, "LSTM": torch.nn.LSTMCell}
    sequences = {"Elman": torch.nn.RNN, "GRU": torch.nn.GRU, "LSTM": torch.nn.LSTM}

    def forms(kinds: dict[str, Any]) -> list[Any]:
        return [built(layer, kinds) if layer.kind in kinds else applied(layer) for layer in layers]

    stepping, sequence = forms(cells), forms(sequences)

    def start() -> Step:
        sample = torch.zeros(1, model.input_size)
        view = sample.numpy()
        kept: list[Any] = [states(layer, None) if layer.kind in cells else None for layer in layers]

        def step(x: F32) -> F32:
            view[:] = x
            value = sample
            with torch.inference_mode():
                for i, call in enumerate(stepping):
                    if kept[i] is None:
                        value = call(value)
                    else:
                        kept[i] = call(value, kept[i])
                        value = kept[i][0] if type(kept[i]) is tuple else kept[i]
            return value.numpy()[0]  # type: ignore[no-any-return]

        return step

    def run(xs: F32) -> F32:
        value = torch.from_numpy(xs)[:, None]
        with torch.inference_mode():
            for layer, call in zip(layers, sequence, strict=True):
                value = call(value, states(layer, None, None))[0] if layer.kind in cells else call(value)
        return value[:, 0].numpy()  # type: ignore[no-any-return]

    yield Rival("PyTorch", torch.__version__, "eager cells under inference_mode, one thread; nn.LSTM", start, run)
