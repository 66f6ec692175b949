"""Parse Keras's description of a Sequential or functional model (Keras 2 or 3) into layers and their inputs."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.storage.model_file import MAX_LAYERS
from edge_rnn_export.readers.keras.calls import only_one, origin, tensors

__all__ = ["Node", "nodes_of", "shape_of", "sublayer"]

_MODELS = ("Sequential", "Functional", "Model")
_REASONS = {
    "Bidirectional": "the backward half needs samples that a stream has not seen yet",
    "Lambda": "it is code, which a file must not contain",
    "Sequential": "it is a model inside the model; build one flat model of the same layers",
    "Functional": "it is a model inside the model; build one flat model of the same layers",
    "Model": "it is a model inside the model; build one flat model of the same layers",
    "StackedRNNCells": "use one recurrent layer for each cell",
    "PReLU": "it has an array of slopes, one per element; expected LeakyReLU",
}


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """Layer in Keras's description.

    Parameters
    ----------
    kind, name, config
        Class, name and options.
    reads
        Names of the layers that it reads, in order; a name may occur twice.
    stored
        Name of its group in ``model.weights.h5``: ``"gru_1"`` for the second GRU.
    inner
        Groups within that one, down to the one with its arrays: ``("cell",)``.
    readers
        Number of its readers, including the model's output.
    """

    kind: str
    name: str
    config: Mapping[str, Any]
    reads: tuple[str, ...] = ()
    stored: str = ""
    inner: tuple[str, ...] = ()
    readers: int = 1

    @property
    def title(self) -> str:
        """Kind and name, for messages: ``GRU 'gru_1'``."""
        return f"{self.kind} {reprlib.repr(self.name)}"


def nodes_of(document: Mapping[str, Any], known: Collection[str]) -> list[Node]:
    """Return the layers of a model in topological order; the first is the input, the last is the output.

    Parameters
    ----------
    document
        ``class_name`` and ``config`` of a model.
    known
        Kinds of layers that can be converted.

    Raises
    ------
    FileError
        An entry is missing or has a wrong type.
    UnsupportedError
        A layer is of another kind or is used twice, or the model has several inputs or outputs.
    """
    kind, config = document.get("class_name"), document.get("config")
    if kind not in _MODELS or not _of_keras(document):
        raise UnsupportedError(
            f"the model is a {reprlib.repr(kind)}, expected a Sequential or a functional model: what a class of your "
            f"own computes is not in its configuration. Build it as a functional model around the same layers."
        )
    if isinstance(config, list):  # Keras 2.0 and 2.1 wrote a Sequential like this
        config = {"layers": config}
    if not isinstance(config, dict):
        raise FileError("its model_config has no config.")
    layers = config.get("layers")
    if not isinstance(layers, list) or not 0 < len(layers) <= MAX_LAYERS:
        raise FileError(f"its model_config has no list of 1 to {MAX_LAYERS} layers.")
    counts: dict[str, int] = {}
    nodes = [_node(layer, known, counts) for layer in layers]
    if len({node.name for node in nodes}) < len(nodes):
        raise FileError("two of its layers have the same name.")
    if kind == "Sequential":
        return _chained(nodes, config)
    return _ordered([_wired(node, layer) for node, layer in zip(nodes, layers, strict=True)], config)


def shape_of(title: str, value: object) -> tuple[int | None, ...]:
    """Shape without the batch: ``(None, 6)`` for ``[null, null, 6]``."""
    entries = value if isinstance(value, list) and 0 < len(value) <= 8 else [0]
    if not all(n is None or (type(n) is int and 0 < n <= 2**24) for n in entries):
        raise FileError(f"{title} has the shape {reprlib.repr(value)}, expected a list such as [null, null, 6].")
    return tuple(entries[1:])


def sublayer(node: Node, key: str, known: Collection[str]) -> Node:
    """Return the layer or cell inside a wrapper, with the wrapper's name: ``layer`` of TimeDistributed."""
    inner = _node(node.config.get(key), known, {})
    return Node(inner.kind, node.name, inner.config, node.reads, node.stored, (*node.inner, key), node.readers)


def _node(layer: object, known: Collection[str], counts: dict[str, int]) -> Node:
    kind = layer.get("class_name") if isinstance(layer, dict) else None
    if not isinstance(layer, dict) or not isinstance(kind, str) or not isinstance(layer.get("config"), dict):
        raise FileError(f"its model_config has the layer {reprlib.repr(layer)}, expected class_name and config.")
    config = layer["config"]
    name = config.get("name", layer.get("name"))
    if not isinstance(name, str) or not name:
        raise FileError(f"its model_config has a {reprlib.repr(kind)} without a name.")
    stem = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))).lower()
    counts[stem] = counts.get(stem, -1) + (".ops." not in str(layer.get("module")))  # an operation has no group
    node = Node(kind, name, config, stored=f"{stem}_{counts[stem]}" if counts[stem] > 0 else stem)
    if not _of_keras(layer) or kind not in known:
        reason = _REASONS.get(kind, f"edge_rnn has no counterpart of it; expected {', '.join(sorted(known))}")
        if not _of_keras(layer):
            reason = f"it is not Keras's own, but from {reprlib.repr(layer.get('module'))}"
        raise UnsupportedError(f"{reprlib.repr(kind)[1:-1]} {reprlib.repr(name)} cannot be converted: {reason}.")
    return node


def _of_keras(layer: Mapping[str, Any]) -> bool:
    """True if Keras itself defines a class; Keras 2 and HDF5 files name no module for its own classes."""
    module = layer.get("module")
    return module is None or (isinstance(module, str) and (module == "keras" or module.startswith("keras.")))


def _chained(nodes: list[Node], config: Mapping[str, Any]) -> list[Node]:
    if nodes[0].kind != "InputLayer":
        shape = nodes[0].config.get("batch_input_shape", config.get("build_input_shape"))
        if shape is None:
            raise UnsupportedError(
                "the shape of the model's input is missing: it was saved before it was built; call it on data once, or "
                "put keras.Input in front, and save it again."
            )
        taken = {node.name for node in nodes}
        free = next(name for name in (f"input_{n}" for n in range(len(nodes) + 1)) if name not in taken)
        nodes.insert(0, Node("InputLayer", free, {"batch_shape": shape}))
    chain = [nodes[0]]
    for node in nodes[1:]:
        if node.kind == "InputLayer":
            raise FileError(f"{node.title} comes after other layers.")
        chain.append(Node(node.kind, node.name, node.config, (chain[-1].name,), node.stored))
    return chain


def _wired(node: Node, layer: Mapping[str, Any]) -> Node:
    """Return the node with the names of its inputs."""
    calls = layer.get("inbound_nodes")
    if not isinstance(calls, list):
        raise FileError(f"{node.title} has no list inbound_nodes.")
    if node.kind == "InputLayer":
        if calls:
            raise FileError(f"{node.title} reads something.")
        return node
    if len(calls) != 1:
        raise UnsupportedError(
            f"{node.title} is used {len(calls)} times; expected once. Build the model with a layer for each use."
        )
    reads = tuple(origin(node.title, tensor) for tensor in tensors(node.title, calls[0]))
    if not reads:
        raise FileError(f"{node.title} reads nothing.")
    return Node(node.kind, node.name, node.config, reads, node.stored)


def _ordered(nodes: Sequence[Node], config: Mapping[str, Any]) -> list[Node]:
    """Sort the nodes topologically, input first and output last, and count how often each is read."""
    by_name = {node.name: node for node in nodes}
    source = only_one("inputs", config.get("input_layers"))
    target = only_one("outputs", config.get("output_layers"))
    readers = dict.fromkeys(by_name, 0)
    for name in (source, target, *(name for node in nodes for name in node.reads)):
        if name not in readers:
            raise FileError(f"its model_config refers to a layer {reprlib.repr(name)}, which does not exist.")
    readers[target] += 1
    for node in nodes:
        for name in node.reads:
            readers[name] += 1
    order: list[Node] = []
    placed: set[str] = set()
    waiting, path = [target], set[str]()
    while waiting:
        node = by_name[waiting[-1]]
        missing = [name for name in node.reads if name not in placed]
        if node.name in placed or not missing:
            waiting.pop()
            path.discard(node.name)
            if node.name not in placed:
                placed.add(node.name)
                order.append(
                    Node(node.kind, node.name, node.config, node.reads, node.stored, readers=readers[node.name])
                )
            continue
        path.add(node.name)
        if missing[0] in path:
            raise FileError(f"{node.title} reads its own output; expected no cycle.")
        waiting.append(missing[0])
    left = [node for node in nodes if node.name not in placed]
    left += [node for node in order if (node.kind == "InputLayer") != (node.name == source)]
    if left:
        odd = left[0]
        raise UnsupportedError(f"{odd.title} is not on a path between the model's input and its output.")
    return order
