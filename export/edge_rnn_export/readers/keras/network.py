"""Parse Keras's description of a Sequential or functional model (Keras 2 or 3) into layers and their calls."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from edge_rnn.errors import FileError, InputError, UnsupportedError
from edge_rnn.storage.model_file import MAX_LAYERS
from edge_rnn_export.readers.keras.calls import Call, Ref, calls_of, replaced, structure_of
from edge_rnn_export.readers.keras.tensorflow_calls import LAMBDAS, translated

__all__ = ["Layer", "Network", "listed_names", "network_of", "output_shape"]
__all__ += ["part_after", "shape_of"]

MAX_DEPTH = 16
"""Maximum depth of models and wrappers inside one another."""

_MODELS = ("Sequential", "Functional", "Model")
_OPERATIONS = ("keras.src.ops.", "keras.ops.", "keras.src.activations.", "keras.activations.")
# Groups of model.weights.h5, and attributes of live models, in which wrappers keep what they wrap.
_WRAPPED = {"TimeDistributed": "layer", "RNN": "cell", "StackedRNNCells": "cells"}


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Layer or operation in Keras's description.

    Parameters
    ----------
    kind, name, config
        Class, name and options.
    operation
        True for a function of ``keras.ops`` or ``keras.activations``, which has no weights.
    foreign
        Module that defines the class, if that is not Keras's own.
    calls
        Arguments of each call; a layer that is called several times is shared.
    wrapped
        Layer or cells inside a wrapper.
    network
        The model, if the layer is one.
    stored
        Groups of its arrays in ``model.weights.h5``: ``("layers", "gru_1")``.
    names
        Names of the models and wrappers around it, and its own.
    find
        Function that returns the layer in a live model.
    """

    kind: str
    name: str
    config: Mapping[str, Any]
    operation: bool = False
    foreign: str = ""
    calls: tuple[Call, ...] = ()
    wrapped: tuple[Layer, ...] = ()
    network: Network | None = None
    stored: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    find: Callable[[Any], Any] = field(default=lambda model: model)

    @property
    def title(self) -> str:
        """Kind and name, for messages: ``GRU 'gru_1'``."""
        return f"{reprlib.repr(self.kind)[1:-1]} {reprlib.repr(self.name)}"


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Model in Keras's description: layers by name, and which of their outputs are its inputs and outputs."""

    layers: Mapping[str, Layer]
    inputs: tuple[Ref, ...]
    outputs: tuple[Ref, ...]
    input_names: tuple[str, ...] = ()


@dataclass(slots=True)
class _Place:
    """Place of a list of layers in a file, and the number of layers that may still follow."""

    stored: tuple[str, ...]
    names: tuple[str, ...]
    find: Callable[[Any, int, str], Any]
    depth: int
    left: list[int]
    counts: dict[str, int] = field(default_factory=dict)
    number: int = -1

    def inside(self, layer: Layer, key: str, find: Callable[[Any, int, str], Any]) -> _Place:
        """Place of what a wrapper or a model holds; ``find`` gets a live model, a number and a name."""
        if self.depth <= 0:
            raise FileError(f"{layer.title} is inside more than {MAX_DEPTH} models and wrappers.")
        return _Place((*layer.stored, key), layer.names, find, self.depth - 1, self.left)


def network_of(document: Mapping[str, Any]) -> Network:
    """Return the network of a model's ``class_name`` and ``config``.

    Raises
    ------
    FileError
        An entry is missing or has a wrong type.
    UnsupportedError
        The model is of a class of its own, or was saved before its input was known.
    """
    kind = document.get("class_name")
    if kind not in _MODELS or _foreign(document):
        raise UnsupportedError(
            f"the model is a {reprlib.repr(kind)}, expected a Sequential or a functional model: what a class of your "
            f"own computes is not in its configuration. Build it as a functional model around the same layers."
        )
    place = _Place(("layers",), (), lambda model, _, name: model.get_layer(name), MAX_DEPTH, [MAX_LAYERS])
    return _network(str(kind), document.get("config"), place, top=True)


def part_after(network: Network, after: str) -> Network:
    """Return the network with the output of a layer as an input.

    Raises
    ------
    InputError
        There is no layer of this name.
    UnsupportedError
        The layer is called several times, or the file does not state the shape of its output.
    """
    layer = network.layers.get(after)
    if layer is None:
        raise InputError(f"after names {after!r}, which is no layer; expected one of {listed_names(network.layers)}.")
    if len(layer.calls) > 1:
        raise UnsupportedError(
            f"after names the {layer.title}, which is called {len(layer.calls)} times; expected once."
        )
    if layer.kind == "InputLayer":
        return network
    shape = output_shape(network, after)
    if shape is None:
        raise UnsupportedError(
            f"after names the {layer.title}, and the file does not state the shape of its output; save the model with "
            f"Keras 3, or make a keras.Model of the part that you need."
        )
    start = Layer("InputLayer", after, {"batch_shape": shape}, names=layer.names)
    inputs = (*network.inputs, Ref(after, 0, 0))
    return replace(network, layers={**network.layers, after: start}, inputs=inputs)


def output_shape(network: Network, name: str) -> Any:
    """Shape of a layer's first output as those state it that read it; None if they do not."""
    read = (ref for layer in network.layers.values() for call in layer.calls for ref in call.reads)
    return next((ref.shape for ref in read if ref.layer == name and not ref.place and ref.shape is not None), None)


def listed_names(names: Iterable[str]) -> str:
    """Names for a message, a dozen at most."""
    known = list(names)
    more = f" and {len(known) - 12} more" if len(known) > 12 else ""
    return ", ".join(repr(name[:80]) for name in known[:12]) + more


def shape_of(title: str, value: object) -> tuple[int | None, ...]:
    """Shape with the batch: ``(None, None, 6)`` for ``[null, null, 6]``."""
    entries = value if isinstance(value, list) and 0 < len(value) <= 8 else [0]
    if not all(n is None or (type(n) is int and 0 < n <= 2**24) for n in entries):
        raise FileError(f"{title} has the shape {reprlib.repr(value)}, expected a list such as [null, null, 6].")
    return tuple(entries)


def _network(kind: str, config: object, place: _Place, *, top: bool = False) -> Network:
    if isinstance(config, list):  # Keras 2.0 and 2.1 wrote a Sequential like this
        config = {"layers": config}
    if not isinstance(config, dict):
        raise FileError("its model_config has no config.")
    records = config.get("layers")
    if not isinstance(records, list) or not 0 < len(records) <= MAX_LAYERS:
        raise FileError(f"its model_config has no list of 1 to {MAX_LAYERS} layers.")
    layers = [_layer(record, place) for record in records]
    if len({layer.name for layer in layers}) < len(layers):
        raise FileError("two of its layers have the same name.")
    if kind == "Sequential":
        return _chained(layers, config, top)
    wired = [_wired(layer, record) for layer, record in zip(layers, records, strict=True)]
    given = config.get("input_layers")
    names = tuple(sorted(given)) if isinstance(given, dict) else ()
    inputs = tuple(structure_of("inputs", config.get("input_layers")))
    outputs = tuple(structure_of("outputs", config.get("output_layers")))
    by_name, outputs = _renumbered({layer.name: layer for layer in wired}, outputs)
    for ref in (
        *inputs,
        *outputs,
        *(ref for each in wired for call in each.calls for ref in (*call.reads, *call.masks)),
    ):
        if ref.layer not in by_name:
            raise FileError(f"its model_config refers to a layer {reprlib.repr(ref.layer)}, which does not exist.")
    if not inputs or not outputs or any(by_name[ref.layer].kind != "InputLayer" for ref in inputs):
        raise FileError("its model_config has no input, no output, or an input that is another layer.")
    return Network(by_name, inputs, outputs, names)


def _layer(record: object, place: _Place, only: bool = False) -> Layer:
    """Layer of a record; ``only`` if it is the one that a wrapper holds, in a group of that name."""
    kind = record.get("class_name") if isinstance(record, dict) else None
    if not isinstance(record, dict) or not isinstance(kind, str) or not isinstance(record.get("config"), dict | list):
        raise FileError(f"its model_config has the layer {reprlib.repr(record)}, expected class_name and config.")
    given = record["config"]
    config = given if isinstance(given, dict) else {"layers": given}
    if "build_config" in record:  # of Keras 3, with the shape of the input
        config = {**config, "build_config": record["build_config"]}
    name = config.get("name", record.get("name"))
    if not isinstance(name, str) or not name:
        raise FileError(f"its model_config has a {reprlib.repr(kind)} without a name.")
    place.left[0] -= 1
    if place.left[0] < 0:
        raise FileError(f"its models have more than {MAX_LAYERS} layers together.")
    operation = str(record.get("module")).startswith(_OPERATIONS)
    stem = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))).lower()
    count = place.counts[stem] = place.counts.get(stem, -1) + (not operation)  # an operation has no group
    place.number += 1
    number = place.number
    layer = Layer(
        kind,
        name,
        config,
        operation,
        _foreign(record),
        stored=place.stored if only else (*place.stored, f"{stem}_{count}" if count > 0 else stem),
        names=(*place.names, name),
        find=lambda model: place.find(model, number, name),
    )
    if layer.foreign:
        return layer
    if kind in _MODELS:
        inner = place.inside(layer, "layers", lambda model, _, name: layer.find(model).get_layer(name))
        return replace(layer, network=_network(kind, given, inner))
    if kind not in _WRAPPED:
        return layer
    key = _WRAPPED[kind]
    held = config.get(key)
    if isinstance(held, list):
        inner = place.inside(layer, key, lambda model, number, _: getattr(layer.find(model), key)[number])
        return replace(layer, wrapped=tuple(_layer(each, inner) for each in held))
    inner = place.inside(layer, key, lambda model, *_: getattr(layer.find(model), key))
    return replace(layer, wrapped=(_layer(held, inner, only=True),))


def _foreign(record: Mapping[str, Any]) -> str:
    """Module of a class that is not Keras's own; Keras 2 and HDF5 files name no module for its own classes."""
    module = record.get("module")
    if module is None or (isinstance(module, str) and (module == "keras" or module.startswith("keras."))):
        return ""
    return reprlib.repr(module)


def _chained(layers: list[Layer], config: Mapping[str, Any], top: bool) -> Network:
    if layers[0].kind != "InputLayer":
        shape = layers[0].config.get("batch_input_shape", config.get("build_input_shape"))
        if shape is None and layers[0].network is not None:  # a model first: its own input is the whole model's
            inner = layers[0].network
            first = inner.layers[inner.inputs[0].layer]
            shape = first.config.get("batch_shape", first.config.get("batch_input_shape"))
        if shape is None and top:
            raise UnsupportedError(
                "the shape of the model's input is missing: it was saved before it was built; call it on data once, or "
                "put keras.Input in front, and save it again."
            )
        taken = {layer.name for layer in layers}
        free = next(name for name in (f"input_{n}" for n in range(len(layers) + 1)) if name not in taken)
        dtype = layers[0].config.get("dtype") if layers[0].kind == "Embedding" else None
        layers.insert(0, Layer("InputLayer", free, {"batch_shape": shape, "dtype": dtype}))
    chain = {layers[0].name: layers[0]}
    last = Ref(layers[0].name, 0, 0)
    for layer in layers[1:]:
        if layer.kind == "InputLayer":
            raise FileError(f"{layer.title} comes after other layers.")
        built = layer.config.get("build_config")
        shape = built.get("input_shape") if isinstance(built, dict) else None
        chain[layer.name] = replace(layer, calls=(Call((replace(last, shape=shape),)),))
        last = Ref(layer.name, 0, 0)
    return Network(chain, (Ref(layers[0].name, 0, 0),), (last,))


def _wired(layer: Layer, record: Mapping[str, Any]) -> Layer:
    """Return the layer with its calls."""
    calls = calls_of(layer.title, record.get("inbound_nodes"))
    if layer.kind == "InputLayer" and calls:
        raise FileError(f"{layer.title} reads something.")
    if layer.kind != "InputLayer" and not all(call.reads for call in calls):
        raise FileError(f"{layer.title} reads nothing.")
    if layer.kind in LAMBDAS and len(calls) == 1:
        found = translated(layer.title, layer.config, calls[0])
        if found is not None:
            kind, config, call = found
            return replace(layer, kind=kind, config=config, operation=True, calls=(replace(call, old=True),))
    return replace(layer, calls=tuple(calls))


def _renumbered(layers: Mapping[str, Layer], outputs: Sequence[Ref]) -> tuple[dict[str, Layer], tuple[Ref, ...]]:
    """Count calls of models inside the model from 0, as those of other layers.

    Keras 2 counts a model's own definition as its call 0, Keras 3 does so only where it lists the outputs.
    """
    models = {name: layer for name, layer in layers.items() if layer.network is not None}
    read = [ref for layer in layers.values() for call in layer.calls if call.old for ref in call.reads]
    beyond = [ref for ref in (*read, *outputs) if ref.layer in models and ref.call >= len(layers[ref.layer].calls)]
    from_one = {ref.layer for ref in beyond}
    of_outputs = from_one | {
        name
        for name, layer in models.items()
        if layer.kind != "Sequential" and not any(call.old for call in layer.calls)
    }

    def moved(ref: Ref, names: set[str]) -> Ref:
        return replace(ref, call=ref.call - 1) if ref.call and ref.layer in names else ref

    def changed(call: Call) -> Call:
        known = {ref: moved(ref, from_one) for ref in (*call.reads, *call.masks)}
        return Call(tuple(replaced(call.args, known)), replaced(dict(call.kwargs), known), old=True)

    counted = {
        name: replace(layer, calls=tuple(changed(call) if call.old else call for call in layer.calls))
        for name, layer in layers.items()
    }
    return counted, tuple(moved(ref, of_outputs) for ref in outputs)
