"""Split PyTorch modules into parts: those that edge_rnn supports, and the reason for refusing others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge_rnn.layers import Layer
from edge_rnn_export.readers.torch.state import BY_ONNX, UNWRAP, Part, wrapped

__all__ = ["parts_of_module"]

_ACTIVATIONS = {"Tanh": "tanh", "Sigmoid": "sigmoid", "ReLU": "relu", "Softmax": "softmax", "LogSoftmax": "softmax"}
_DROPOUT = ("Dropout", "Dropout1d", "AlphaDropout", "FeatureAlphaDropout")
_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict", "DataParallel")
_KNOWN = (
    "RNN, GRU, LSTM, their cells, Linear, Embedding, Tanh, Sigmoid, ReLU, Softmax, LogSoftmax, Identity, Dropout, "
    "Flatten and Sequential"
)


def parts_of_module(nn: Any, module: Any, path: str = "") -> Iterator[Part]:
    """Yield the parts of a module in the order of definition, a shared one once per occurrence.

    Parameters
    ----------
    nn
        The module ``torch.nn``, which is imported already if a module object exists.
    module
        An ``nn.Module``.
    path
        Its dotted name in the network; empty for the network itself.
    """
    part = _part_of(nn, module, path)
    if part is not None:
        yield part
        return
    # named_children() would leave out a module's second use.
    for key, child in module._modules.items():
        if child is not None:
            yield from parts_of_module(nn, child, f"{path}.{key}" if path else key)


def _part_of(nn: Any, module: Any, path: str) -> Part | None:
    """Return the part of one of PyTorch's own modules, or of to_torch; None for a container."""
    kind = type(module).__name__
    ours = getattr(nn, kind, None) is type(module)  # a subclass may override forward
    title = f"nn.{kind}" if ours else kind
    label = f"{title} {path!r}" if path else title
    if isinstance(getattr(module, "layer", None), Layer) and hasattr(module, "trained"):
        return Part(path, kind, layer=module.trained())

    def refuse(reason: str) -> Part:
        return Part(path, kind, refusal=f"from_torch cannot convert {label}: {reason}")

    if "parametrizations" in module._modules or wrapped(name for name, _ in module.named_parameters(recurse=False)):
        return refuse(UNWRAP)
    if ours and kind in ("RNN", "GRU", "LSTM"):
        reason = _refused_option(module)
        suffixes = tuple(f"_l{k}" for k in range(module.num_layers))
        return refuse(reason) if reason else Part(path, kind, suffixes, getattr(module, "nonlinearity", ""))
    if ours and kind in ("RNNCell", "GRUCell", "LSTMCell"):
        return Part(path, kind.removesuffix("Cell"), ("",), getattr(module, "nonlinearity", ""))
    if ours and kind in ("Linear", "Identity"):
        return Part(path, kind)
    if ours and kind == "Embedding":
        reason = "" if module.max_norm is None else f"max_norm={module.max_norm} changes the table in forward."
        return Part(path, kind, refusal=f"from_torch cannot convert {label}: {reason}" if reason else "")
    if ours and kind in _ACTIVATIONS:
        if kind in ("Softmax", "LogSoftmax") and module.dim != -1:
            return refuse(f"dim={module.dim}, expected -1; set it to -1 if that is the axis of the outputs.")
        return Part(path, "Activation", activation=_ACTIVATIONS[kind], log=kind == "LogSoftmax")
    if ours and kind in _DROPOUT:
        if module.training and module.p > 0:
            return refuse("it drops values in training; call .eval() on the module first.")
        return Part(path, "Identity")
    if ours and kind == "Flatten":
        if module.start_dim not in (-1, 2):
            return refuse(
                f"start_dim={module.start_dim} may join time steps, and a stream has one at a time; if it does not, "
                f"name the other modules in order of use in modules=."
            )
        return Part(path, "Identity")
    if kind in _CONTAINERS if ours else len(module._modules):
        return None
    return refuse(
        f"not one of {_KNOWN}. {BY_ONNX}. If it takes no part in inference, name the others in order of use in "
        f"modules=; if it is equivalent to one of these, pass its state_dict."
    )


def _refused_option(module: Any) -> str:
    """Reason why an RNN, GRU or LSTM cannot be converted; empty if it can."""
    if module.bidirectional:
        return "bidirectional=True, and the backward half needs samples that a stream has not seen yet."
    if module.training and module.dropout > 0 and module.num_layers > 1:
        return f"dropout={module.dropout} drops values in training; call .eval() on the module first."
    return ""
