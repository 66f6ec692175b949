"""Layers and models as PyTorch modules. This module imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.layers import Layer
from edge_rnn.model import Model
from edge_rnn_export.training.layers import run_of

__all__ = ["TorchLayer", "TorchModel"]

States = Mapping[str, Any]


class TorchLayer(nn.Module):  # type: ignore[misc]
    """A layer: see :func:`~edge_rnn_export.to_torch`."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        if layer.formats:
            name, matrix = next(iter(layer.formats.items()))
            raise UnsupportedError(
                f"to_torch got {layer.title} with {name} in {matrix.spelling}, expected float32: train the model from "
                f"before quantize, or take edge_rnn.quantization.dequantize(model)."
            )
        self.layer = layer
        run_of(layer)  # that there is a way
        self.names: dict[str, str] = {}  # of the module's parameters, by those of the layer's
        for name, value in (layer.arrays | layer.options.get("numbers", {})).items():
            tensor = torch.tensor(value, dtype=torch.float32)
            attribute = self.names[name] = _attribute(self, name)
            if layer.kind == "Standardize":
                self.register_buffer(attribute, tensor)
            else:
                self.register_parameter(attribute, nn.Parameter(tensor))

    def extra_repr(self) -> str:
        """Return the text between the brackets where PyTorch prints the module."""
        return self.layer.title

    def forward(self, xs: Any, states: States | None = None) -> tuple[Any, dict[str, Any]]:
        """Outputs, and the states after the last step."""
        _check_samples(self.layer.title, xs, getattr(self.layer, "input_size", None))
        batched = xs if xs.ndim == 3 else xs[:, None]
        values = {name: getattr(self, attribute) for name, attribute in self.names.items()}
        before = self._initial(values, xs) if states is None else self._given(states)
        rows = {name: state.expand(batched.shape[1], state.shape[-1]) for name, state in before.items()}
        ys, after = run_of(self.layer)(values, batched, rows)
        return (ys, after) if xs.ndim == 3 else (ys[:, 0], {name: state[0] for name, state in after.items()})

    def _initial(self, values: States, xs: Any) -> dict[str, Any]:
        """The states that a sequence starts from: trained ones, or zeros like the other parameters."""
        like = next(iter(values.values()), xs)
        starts = {name: values.get(f"start.{name}", values.get(f"{name}0")) for name in self.layer.initial_state}
        return {
            name: like.new_zeros(self.layer.initial_state[name].shape) if start is None else start
            for name, start in starts.items()
        }

    def _given(self, states: States) -> dict[str, Any]:
        sizes = {name: state.size for name, state in self.layer.initial_state.items()}
        if {name: state.shape[-1] for name, state in states.items()} != sizes:
            got = {name: tuple(state.shape) for name, state in states.items()}
            raise InputError(f"{self.layer.title} got the states {got}, expected (batch, H) with H of {sizes}.")
        return dict(states)

    def trained(self) -> Layer:
        """The layer with the parameters as they are now."""
        values = {name: getattr(self, attribute).detach().cpu().numpy() for name, attribute in self.names.items()}
        for name in {*values} - {*self.layer.arrays}:  # numbers, which float32 holds as near as it can
            same = torch.tensor(self.layer.fields[name], dtype=torch.float32) == values[name].item()
            values[name] = self.layer.fields[name] if same else float(values[name])
        return self.layer.replaced(**values)


class TorchModel(nn.Module):  # type: ignore[misc]
    """A model: see :func:`~edge_rnn_export.to_torch`."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self.layers = nn.ModuleList(map(TorchLayer, model.layers))

    def forward(self, xs: Any, states: States | None = None) -> tuple[Any, dict[str, Any]]:
        """Outputs, and the states after the last step."""
        _check_samples("to_torch's module", xs, self.model.input_size)
        names = self.model.initial_state
        if states is not None and set(states) != set(names):
            raise InputError(f"to_torch's module got the states {sorted(states)}, expected {sorted(names)}.")
        outputs: list[Any] = []
        after: dict[str, Any] = {}
        for layer, module, sources in zip(self.model.layers, self.layers, self.model.sources, strict=True):
            own = None if states is None else {key: states[f"{layer.name}.{key}"] for key in layer.initial_state}
            ys, new = module(torch.cat([xs if i < 0 else outputs[i] for i in sources], dim=-1), own)
            outputs.append(ys)
            after |= {f"{layer.name}.{key}": state for key, state in new.items()}
        return outputs[-1], after

    def trained(self) -> Model:
        """The model with the parameters as they are now."""
        return replace(self.model, layers=tuple(module.trained() for module in self.layers))


def _attribute(module: nn.Module, name: str) -> str:
    """A name for a layer's parameter that a module has no other use for: ``start.h`` becomes ``start_h``."""
    attribute = name.replace(".", "_")
    while hasattr(module, attribute):
        attribute += "_"
    return attribute


def _check_samples(title: str, xs: Any, size: int | None) -> None:
    if not isinstance(xs, torch.Tensor) or xs.ndim not in (2, 3) or xs.shape[-1] != (size or xs.shape[-1]):
        got = f"shape {tuple(xs.shape)}" if isinstance(xs, torch.Tensor) else type(xs).__name__
        expected = f"(time, {size}) or (time, batch, {size})" if size else "(time, values) or (time, batch, values)"
        raise InputError(f"{title} got {got}, expected a tensor of shape {expected}.")
