"""Find what explains best why a network cannot be read, before its layers are looked at one by one."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge_rnn.errors import UnsupportedError
from edge_rnn_export.readers.keras.emission import READER
from edge_rnn_export.readers.keras.layers import LAYERS, MERGES
from edge_rnn_export.readers.keras.network import Layer, Network, output_shape
from edge_rnn_export.readers.keras.operations import OPERATIONS
from edge_rnn_export.readers.keras.options import flag_of
from edge_rnn_export.readers.keras.order import calls_in_order, targets_of
from edge_rnn_export.readers.keras.recurrent import CELLS, RECURRENT
from edge_rnn_export.readers.keras.tensorflow_calls import LAMBDAS

__all__ = ["check_causes", "is_operation"]

_OVER_TIME = "it mixes the steps of a sequence, and a stream holds one at a time"
_REASONS = {
    "Bidirectional": "the backward half needs samples that a stream has not seen yet",
    "Lambda": "it is code, which a file must not contain",
    **dict.fromkeys(("GlobalAveragePooling1D", "GlobalMaxPooling1D", "AveragePooling1D", "MaxPooling1D"), _OVER_TIME),
    **dict.fromkeys(("Attention", "AdditiveAttention", "MultiHeadAttention", "Dot", "UpSampling1D"), _OVER_TIME),
    **dict.fromkeys(("ZeroPadding1D", "DepthwiseConv1D", "SeparableConv1D", "ConvLSTM1D"), _OVER_TIME),
}
_WRAPPERS = ("TimeDistributed",)


@dataclass(frozen=True, slots=True, eq=False)
class _Cause:
    """Layer that cannot be read, the reason, and the layer before it, if that is not an input."""

    layer: Layer
    reason: str
    before: str


def check_causes(network: Network, order: Sequence[tuple[str, int]], path: Sequence[str], *, unpadded: bool) -> None:
    """Raise the error for the first layer that cannot be read at all; masks come last, as they can be left out.

    Raises
    ------
    UnsupportedError
        A layer is of a class of its own or unknown, works backwards, or skips padding steps.
    """
    found = list(_causes(network, order, path, masks=False))
    if found:
        parts = _parts(network, found)
        raise UnsupportedError(f"{READER} cannot read the {found[0].layer.title}: {found[0].reason}{parts}.")
    for cause in () if unpadded else _causes(network, order, path, masks=True):
        raise UnsupportedError(f"{READER} cannot read the {cause.layer.title}: {cause.reason}.")


def _causes(
    network: Network, order: Sequence[tuple[str, int]], path: Sequence[str], *, masks: bool
) -> Iterator[_Cause]:
    for name, number in order:
        layer = network.layers[name]
        calls = layer.calls[number : number + 1]
        reason = _padding(layer, any(call.masks for call in calls)) if masks else _reason(layer)
        if reason:
            before = next((ref.layer for call in calls for ref in call.reads), layer.name)
            is_layer = network.layers[before].kind != "InputLayer" and before != layer.name
            yield _Cause(layer, reason, "/".join((*layer.names[:-1], before)) if is_layer else "")
        for inner in (layer, *layer.wrapped):
            if inner.network is not None:
                rest = path[1:] if path and path[0] == name else ()
                targets = targets_of(inner.network, rest)
                yield from _causes(inner.network, calls_in_order(inner.network, targets), rest, masks=masks)


def _parts(network: Network, found: Sequence[_Cause]) -> str:
    """Describe how the parts before the first and after the last of the layers are read."""
    last = found[-1].layer
    parts = [f"the part before it is read by upto={found[0].before!r}"] if found[0].before else []
    if last.names == (last.name,) and len(last.calls) == 1 and output_shape(network, last.name) is not None:
        what = "it" if last is found[0].layer else f"the {last.title}"
        read = "by" if parts else "is read by"
        parts.append(f"the part after {what} {read} after={last.name!r}")
    return "".join(f"{sign}{part}" for sign, part in zip(("; ", ", "), parts, strict=False))


def is_operation(layer: Layer) -> bool:
    """True for a function of ``keras.ops``; HDF5 files do not tell it apart from a layer of the same name."""
    named = layer.kind in OPERATIONS and layer.kind not in _REASONS and not layer.foreign
    apart = layer.kind not in _known_layers() or any(len(call.args) > 1 for call in layer.calls)
    return layer.operation or (named and apart)


def _known_layers() -> tuple[str, ...]:
    return ("InputLayer", *RECURRENT, *LAYERS, *MERGES, *_WRAPPERS)


def _reason(layer: Layer) -> str:
    """Reason why a layer cannot be read, or empty."""
    if layer.foreign:
        return f"it is not Keras's own, but from {layer.foreign}"
    if layer.kind in LAMBDAS:
        return f"edge_rnn has no counterpart of its function, {reprlib.repr(layer.config.get('function'))}"
    operation = is_operation(layer)
    if layer.kind in _REASONS and not operation:
        return _REASONS[layer.kind]
    if operation:
        known: Sequence[str] = tuple(OPERATIONS)
    elif layer.kind in ("RNN", "StackedRNNCells"):
        return next(
            (f"it holds the {inner.title}, {_of_cell(inner)}" for inner in layer.wrapped if _of_cell(inner)), ""
        )
    else:
        known = _known_layers()
    if layer.kind not in known and layer.network is None:
        return f"edge_rnn has no counterpart of it; expected {', '.join(sorted(known))}"
    if layer.kind in RECURRENT and flag_of(layer.title, layer.config, "go_backwards", False):
        return (
            "it has go_backwards=True: it starts with samples that a stream has not seen yet. If it is the whole "
            "network and was trained on sequences that were turned round, build it without"
        )
    if layer.kind in RECURRENT and flag_of(layer.title, layer.config, "time_major", False):
        return "it has time_major=True, expected a batch of sequences"
    return next((f"it holds the {inner.title}: {_reason(inner)}" for inner in layer.wrapped if _reason(inner)), "")


def _of_cell(cell: Layer) -> str:
    """Reason why a cell inside an RNN layer cannot be read, or empty."""
    if cell.foreign:
        return f"which is not Keras's own, but from {cell.foreign}"
    if cell.kind == "StackedRNNCells":
        return next((_of_cell(inner) for inner in cell.wrapped if _of_cell(inner)), "")
    known = [f"{kind}Cell" for kind in CELLS if not kind.startswith("CuDNN")]
    return "" if cell.kind in known else f"expected {', '.join(known)} or StackedRNNCells of these"


def _padding(layer: Layer, masked: bool) -> str:
    """Reason why a layer depends on padding, or empty."""
    kinds = [(each.kind, each.config.get("mask_zero")) for each in (layer, *layer.wrapped)]
    if not masked and not any(kind == "Masking" or (kind == "Embedding" and zero) for kind, zero in kinds):
        return ""
    return (
        "it skips padding steps (Masking, mask_zero). A stream has no padding; if no real step looks like padding, "
        "say so with unpadded=True, and it is ignored"
    )
