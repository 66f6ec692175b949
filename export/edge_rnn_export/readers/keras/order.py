"""Choose the calls of layers that an output depends on, in order; masks of steps are no data."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Sequence

from edge_rnn.errors import FileError, InputError, UnsupportedError
from edge_rnn_export.readers.keras.calls import Ref
from edge_rnn_export.readers.keras.network import Network, listed_names

__all__ = ["calls_in_order", "check_all_used", "path_to", "targets_of"]


def path_to(network: Network, upto: str) -> tuple[str, ...]:
    """Names of the models around a layer, and its own: ``"encoder/gru"`` for one inside the model ``"encoder"``.

    Raises
    ------
    InputError
        There is no layer of this name.
    """
    found = _find(network, upto)
    if not found:
        raise InputError(f"upto names {upto!r}, which is no layer; expected one of {listed_names(_names(network))}.")
    return found


def _find(network: Network, text: str) -> tuple[str, ...]:
    if text in network.layers:
        return (text,)
    for name, layer in network.layers.items():
        if layer.network is not None and text.startswith(f"{name}/"):
            rest = _find(layer.network, text[len(name) + 1 :])
            if rest:
                return (name, *rest)
    return ()


def _names(network: Network, before: str = "") -> Iterable[str]:
    for name, layer in network.layers.items():
        if layer.kind != "InputLayer":
            yield before + name
        if layer.network is not None:
            yield from _names(layer.network, f"{before}{name}/")


def targets_of(network: Network, path: Sequence[str]) -> list[Ref]:
    """Outputs of the network, or the layer that ``path`` begins with."""
    if not path:
        return list(network.outputs)
    layer = network.layers[path[0]]
    if len(layer.calls) > 1:
        raise UnsupportedError(
            f"upto names the {layer.title}, which is called {len(layer.calls)} times; expected once."
        )
    return [Ref(layer.name, 0, 0)]


def calls_in_order(network: Network, targets: Iterable[Ref]) -> list[tuple[str, int]]:
    """Calls that outputs depend on, each after those that it reads.

    Raises
    ------
    FileError
        A call does not exist, or reads its own output.
    """
    order: dict[tuple[str, int], None] = {}
    path: set[tuple[str, int]] = set()
    waiting = [_place(network, ref) for ref in reversed(list(targets))]
    while waiting:
        place = waiting[-1]
        name, call = place
        layer = network.layers[name]
        read = layer.calls[call].reads if layer.calls else []
        missing = [each for each in (_place(network, ref) for ref in read) if each not in order]
        if place in order or not missing:
            order[waiting.pop()] = None
            path.discard(place)
            continue
        path.add(place)
        if not path.isdisjoint(missing):
            raise FileError(f"{layer.title} reads its own output; expected no cycle.")
        waiting += reversed(missing)
    return list(order)


def _place(network: Network, ref: Ref) -> tuple[str, int]:
    layer = network.layers[ref.layer]
    if ref.call >= max(1, len(layer.calls)) or (not layer.calls and layer.kind != "InputLayer"):
        raise FileError(f"its model_config reads call {ref.call} of {reprlib.repr(ref.layer)}, which does not exist.")
    return ref.layer, ref.call


def check_all_used(network: Network, order: Sequence[tuple[str, int]]) -> None:
    """Check that no layer is left out, but for those that make masks.

    Raises
    ------
    UnsupportedError
        A layer contributes nothing to the outputs.
    """
    masks = [ref for name, call in order for each in network.layers[name].calls[call : call + 1] for ref in each.masks]
    used = {name for name, _ in (*order, *calls_in_order(network, masks))}
    for layer in network.layers.values():
        if layer.name not in used:
            raise UnsupportedError(f"{layer.title} is not on a path between the model's input and its output.")
