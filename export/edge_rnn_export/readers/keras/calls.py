"""Parse the calls of layers in a functional model, as written by Keras 2 and 3."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_rnn.errors import FileError
from edge_rnn_export.readers.json_text import array_of

__all__ = ["Call", "Ref", "calls_of", "ref_of", "refs_in", "replaced", "structure_of"]

_CONSTANT = "_CONSTANT_VALUE"  # in the place of a layer's name, as TensorFlow's Keras writes numbers


@dataclass(frozen=True, slots=True)
class Ref:
    """Output ``place`` of call ``call`` of the layer ``layer``, and its shape with the batch, if the file states it."""

    layer: str
    call: int
    place: int
    shape: Any = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """Arguments of a layer's call: numbers, lists, slices and arrays, and :class:`Ref` for outputs of layers.

    ``old`` is True for Keras 2's format.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    old: bool = False

    @property
    def masks(self) -> list[Ref]:
        """Outputs that are taken as masks of steps."""
        return list(refs_in(self.kwargs.get("mask")))

    @property
    def reads(self) -> list[Ref]:
        """Outputs that are taken as data, in order."""
        return list(refs_in([self.args, [value for key, value in self.kwargs.items() if key != "mask"]]))


def calls_of(title: str, listed: object) -> list[Call]:
    """Calls of a layer, from its ``inbound_nodes``."""
    if not isinstance(listed, list):
        raise FileError(f"{title} has no list inbound_nodes.")
    return [_call(title, each) for each in listed]


def _call(title: str, call: object) -> Call:
    if isinstance(call, dict):  # Keras 3
        args, kwargs = call.get("args"), call.get("kwargs")
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise FileError(f"{title} has inbound_nodes without args and kwargs.")
        return Call(tuple(_value(title, arg) for arg in args), {key: _value(title, arg) for key, arg in kwargs.items()})
    if not isinstance(call, list):
        raise FileError(f"{title} has the inbound node {reprlib.repr(call)}, expected an object or a list.")
    if call and isinstance(call[0], str):  # TensorFlow's Keras, for operations that take one tensor
        call = [call]
    read: list[Any] = []
    kwargs = {}
    for tensor in call:
        if not isinstance(tensor, list) or len(tensor) not in (3, 4):
            raise FileError(f"{title} reads {reprlib.repr(tensor)}, expected [layer, node, tensor].")
        options = tensor[3] if len(tensor) == 4 else {}
        if not isinstance(options, dict):
            raise FileError(f"{title} is called with {reprlib.repr(options)}, expected an object.")
        read.append(_value(title, tensor[2]) if tensor[0] == _CONSTANT else ref_of(title, tensor[:3]))
        kwargs |= {key: _legacy(title, value) for key, value in options.items()}
    return Call(tuple(read) if len(read) < 2 else (read,), kwargs, old=True)


def _legacy(title: str, value: object) -> Any:
    """Value of an option in Keras 2's format, in which ``[layer, node, tensor]`` is the output of a layer."""
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        return _value(title, value[2]) if value[0] == _CONSTANT else ref_of(title, value)
    if isinstance(value, list):
        return [_legacy(title, each) for each in value]
    return _value(title, value)


def _value(title: str, value: object) -> Any:
    """Value in Keras 3's format: outputs of layers, slices and arrays are objects."""
    if isinstance(value, list):
        return [_value(title, each) for each in value]
    if not isinstance(value, dict):
        return value
    kind, config = value.get("class_name"), value.get("config")
    if kind == "__keras_tensor__" and isinstance(config, dict):
        return ref_of(title, config.get("keras_history"), config.get("shape"))
    if kind in ("__tensor__", "__numpy__") and isinstance(config, dict):
        array = array_of(f"an argument of {title}", config.get("value"))
        return array if "float" in str(config.get("dtype")) else array.astype(np.int64)
    if kind == "__slice__" and isinstance(config, dict):
        parts = [config.get(key) for key in ("start", "stop", "step")]
        if any(part is not None and type(part) is not int for part in parts):
            raise FileError(f"{title} takes the slice {reprlib.repr(config)}, expected whole numbers.")
        return slice(*parts)
    if kind == "__ellipsis__":
        return ...
    if kind == "__tuple__" and isinstance(config, dict):
        return _value(title, config.get("value"))
    return {key: _value(title, each) for key, each in value.items()}


def ref_of(title: str, history: object, shape: object = None) -> Ref:
    """Output that ``[layer, node, tensor]`` names."""
    name, call, place = history if isinstance(history, list) and len(history) == 3 else (None, None, None)
    if not isinstance(name, str) or type(call) is not int or type(place) is not int or min(call, place) < 0:
        raise FileError(f"{title} reads {reprlib.repr(history)}, expected [layer, node, tensor].")
    return Ref(name, call, place, shape)


def refs_in(value: object) -> Iterator[Ref]:
    """Yield the outputs of layers in an argument."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, dict):
        yield from refs_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from refs_in(each)


def replaced(value: Any, known: Mapping[Ref, Any]) -> Any:
    """Return the argument with values in the place of outputs of layers."""
    if isinstance(value, Ref):
        return known[value]
    if isinstance(value, dict):
        return {key: replaced(each, known) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [replaced(each, known) for each in value]
    return value


def structure_of(what: str, value: object) -> list[Ref]:
    """Inputs or outputs of a functional model, in order: one, a list of them or an object, nested or not."""
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value)]  # Keras's order
    if not isinstance(value, list):
        raise FileError(f"its model_config has the {what} {reprlib.repr(value)}, expected a list.")
    if len(value) == 3 and isinstance(value[0], str):
        return [ref_of(f"the model's {what}", value)]
    return [ref for each in value for ref in structure_of(what, each)]
