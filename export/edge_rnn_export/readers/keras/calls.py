"""Parse the calls of layers in a functional model, as written by Keras 2 and 3."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from typing import Any

from edge_rnn.errors import FileError, UnsupportedError

__all__ = ["only_one", "origin", "tensors"]


def tensors(title: str, call: object) -> Iterator[Any]:
    """Yield the tensors that a call reads, as ``[layer, node, tensor]``."""
    if isinstance(call, dict):  # Keras 3
        args, kwargs = call.get("args"), call.get("kwargs")
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise FileError(f"{title} has inbound_nodes without args and kwargs.")
        listed = args[0] if len(args) == 1 and isinstance(args[0], list) else args
        for arg in listed:
            config = (
                arg.get("config") if isinstance(arg, dict) and arg.get("class_name") == "__keras_tensor__" else None
            )
            if not isinstance(config, dict):
                raise UnsupportedError(f"{title} takes {reprlib.repr(arg)}, expected only outputs of layers.")
            yield config.get("keras_history")
        _check_options(title, kwargs)
    elif isinstance(call, list):  # Keras 2
        for tensor in call:
            if not isinstance(tensor, list) or len(tensor) not in (3, 4):
                raise FileError(f"{title} reads {reprlib.repr(tensor)}, expected [layer, node, tensor].")
            _check_options(title, tensor[3] if len(tensor) == 4 else {})
            yield tensor[:3]
    else:
        raise FileError(f"{title} has the inbound node {reprlib.repr(call)}, expected an object or a list.")


def _check_options(title: str, options: object) -> None:
    """Check the other arguments of a layer's call: none may affect inference."""
    if not isinstance(options, dict):
        raise FileError(f"{title} is called with {reprlib.repr(options)}, expected an object.")
    for key, value in options.items():
        if value is not None and not (key == "training" and value is False):
            raise UnsupportedError(
                f"{title} is called with {reprlib.repr(key)}, which a step of a stream does not have; expected its "
                f"input alone."
            )


def origin(title: str, history: object) -> str:
    """Name of the layer that produces a tensor."""
    name, call, place = history if isinstance(history, list) and len(history) == 3 else (None, None, None)
    if not isinstance(name, str) or type(call) is not int or type(place) is not int:
        raise FileError(f"{title} reads {reprlib.repr(history)}, expected [layer, node, tensor].")
    if call != 0 or place != 0:
        raise UnsupportedError(
            f"{title} reads the output {place} of call {call} of {reprlib.repr(name)}; expected the first one, which "
            f"is no state (return_state), of a layer that is used once."
        )
    return name


def only_one(what: str, value: object) -> str:
    """Name of the only input or output of a functional model, in the format of Keras 2 or 3."""
    listed = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(listed, list):
        raise FileError(f"its model_config has the {what} {reprlib.repr(value)}, expected a list.")
    if listed and isinstance(listed[0], str):
        listed = [listed]
    if len(listed) != 1:
        raise UnsupportedError(
            f"the model has {len(listed)} {what}, expected one; make a model of the part that you need, "
            f"keras.Model(inputs, outputs) with one of each. Outputs can be joined with Concatenate."
        )
    return origin(f"the model's {what}", listed[0])
