"""PyTorch's operators, as TorchScript and torch.export name them, applied to symbols instead of tensors."""

from __future__ import annotations

import operator as python
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from edge_rnn_export.readers.torch.script_symbols import (
    BAD_AXES,
    OPAQUE,
    Data,
    LayoutError,
    Step,
    UnreadableError,
    Weight,
)

__all__ = ["Operators"]


@dataclass(slots=True)
class Operators:
    """Operators applied in order, with what they change."""

    stored: dict[str, Any] = field(default_factory=dict)
    """What is stored in buffers, by their names."""
    changed: set[tuple[Step, ...]] = field(default_factory=set)
    """Chains of values that were changed in place."""

    def __call__(self, name: str, given: Sequence[Any]) -> Any:
        """Apply an operator of PyTorch to its arguments.

        Raises
        ------
        UnreadableError
            It is unknown, makes something other than a chain, or changes a parameter.
        """
        if name == "torch.copy_" and isinstance(given[0], Weight):
            self.stored[given[0].name] = given[1]
            return given[0]
        held = [each for value in given for each in (value if isinstance(value, tuple) else (value,))]
        if any(isinstance(each, Data) and each.chain in self.changed for each in held):
            raise UnreadableError("it uses a value again that it changed in place")
        result = _operator(name, given)
        if name.endswith("_") and not name.endswith("__") and given and given[0] is not result:
            if not isinstance(given[0], Data):
                raise UnreadableError(f"it changes a parameter by {name}")
            self.changed.add(given[0].chain)
        return result

    def current(self, value: Any) -> Any:
        """Value of a buffer, if anything is stored in it; else the value as given."""
        return self.stored.get(value.name, value) if isinstance(value, Weight) else value


def _operator(name: str, given: Sequence[Any]) -> Any:
    """Apply an operator of PyTorch to its arguments.

    Raises
    ------
    UnreadableError
        It is unknown, or makes something other than a chain.
    """
    kind = name.removeprefix("torch.").removeprefix("ops.prim.")
    kind = kind if kind.startswith("__") else kind.removesuffix("_")
    if kind in _RECURRENT:
        return _recurrent(kind, *given)
    if kind in _LAYERS:
        return _LAYERS[kind](*given)
    if any(isinstance(each, Data) for each in given):
        return _of_data(name, kind, given)
    if any(isinstance(each, Data) for value in given if isinstance(value, tuple) for each in value):
        raise UnreadableError(f"it joins values by {name}")
    return _of_others(kind, given)


def _of_others(kind: str, given: Sequence[Any]) -> Any:
    """Apply an operator to numbers, parameters and buffers."""
    if kind in ("__is__", "__isnot__"):
        return (given[0] is None and given[1] is None) == (kind == "__is__")
    if kind in _TESTS and not any(each is OPAQUE or isinstance(each, Weight) for each in given):
        return _TESTS[kind](*given)
    return _of_weight(kind, given[0], given[1:]) if given and isinstance(given[0], Weight) else OPAQUE


def _of_weight(kind: str, weight: Weight, rest: Sequence[Any]) -> Any:
    if kind in ("t", "numpy_T") or (kind == "transpose" and sorted(rest) == [0, 1]):
        return replace(weight, turned=not weight.turned)
    if kind in _SAME or (kind == "slice" and _is_whole(*rest)):
        return weight
    return replace(weight, shaped=True) if kind in ("squeeze", "unsqueeze") else OPAQUE


def _of_data(name: str, kind: str, given: Sequence[Any]) -> Any:
    """Apply an operator to the data, or to a state."""
    if kind in ("__is__", "__isnot__"):
        return kind == "__isnot__"
    if kind in ("size", "dtype", "device", "format", "len", "is_cuda"):
        return OPAQUE
    value, rest = given[0], given[1:]
    if not isinstance(value, Data) or any(isinstance(each, Data) for each in rest):
        raise UnreadableError(f"it joins values by {name}")
    if kind == "dim":
        return len(value.axes)
    if kind in _SHAPED:
        return _SHAPED[kind](value, *rest) if value.role < 0 else _of_state(kind, value, rest)
    if kind in _SAME or (kind in _DROPPED and rest[1] is False):
        return value
    if kind in _ACTIVATIONS and value.role < 0:
        return _activated(kind, value, rest)
    raise UnreadableError(f"it calls {name}")


_TESTS: Mapping[str, Callable[..., Any]] = {
    "eq": python.eq, "ne": python.ne, "lt": python.lt, "gt": python.gt, "le": python.le, "ge": python.ge,
    "__not__": python.not_, "__contains__": python.contains, "__and__": python.and_, "__or__": python.or_,
}  # fmt: skip
_SAME = ("contiguous", "detach", "clone", "alias")
_DROPPED = ("dropout", "feature_dropout", "alpha_dropout")
_RECURRENT = {"rnn_tanh": ("RNN", "tanh"), "rnn_relu": ("RNN", "relu"), "gru": ("GRU", ""), "lstm": ("LSTM", "")}
_ACTIVATIONS: Mapping[str, tuple[float, ...]] = {
    "tanh": (), "sigmoid": (), "relu": (), "leaky_relu": (0.01,), "elu": (1.0, 1, 1), "softplus": (1, 20),
    "hardsigmoid": (), "softmax": (), "log_softmax": (),
}  # fmt: skip


def _activated(kind: str, value: Data, rest: Sequence[Any]) -> Data:
    if kind.endswith("softmax"):
        axis = rest[0] if isinstance(rest[0], int) else 0
        if axis not in (-1, len(value.axes) - 1) or value.axes[-1] != "F" or any(each is not None for each in rest[1:]):
            raise UnreadableError(f"it has a {kind} along another axis than that of the outputs")
        return value.after(Step("Activation", kind, activation="softmax", log=kind == "log_softmax"))
    numbers = [*rest, *_ACTIVATIONS[kind][len(rest) :]]
    spelled = kind
    if kind in ("leaky_relu", "elu"):
        spelled = f"{kind}:{float(numbers[0])!r}"
    if kind == "hardsigmoid":
        spelled = f"hard_sigmoid:{1 / 6!r}:0.5"
    if (kind == "elu" and [*numbers[1:]] != [1, 1]) or (kind == "softplus" and numbers != [1, 20]):
        raise UnreadableError(f"it has {kind} with the parameters {numbers}")
    return value.after(Step("Activation", kind, activation=spelled))


def _own(weight: Any, name: str, turned: bool = False) -> str:
    """Path of the module that has a parameter of this name."""
    if not isinstance(weight, Weight) or weight.turned != turned or weight.shaped:
        raise UnreadableError(f"it computes {name!r} of a layer")
    path, _, last = weight.name.rpartition(".")
    if last != name:
        raise UnreadableError(f"it has {weight.name!r} in the place of {name!r}")
    return path


def _features(value: Any) -> Data:
    if not isinstance(value, Data) or value.role >= 0:
        raise UnreadableError("it has a layer on a state or a constant")
    if not value.axes or value.axes[-1] != "F":
        raise LayoutError(BAD_AXES)
    return value


def _linear(value: Any, weight: Any, bias: Any = None, *, turned: bool = False) -> Data:
    path = _own(weight, "weight", turned)
    if bias is not None and _own(bias, "bias") != path:
        raise UnreadableError(f"it adds the bias of another layer to {path!r}")
    return _features(value).after(Step("Linear", path, biased=bias is not None))


def _embedding(weight: Any, value: Any, *_: Any) -> Data:
    if not isinstance(value, Data) or value.chain or "F" in value.axes:
        raise LayoutError(BAD_AXES)
    return Data((Step("Embedding", _own(weight, "weight")),), (*value.axes, "F"))


_LAYERS: Mapping[str, Callable[..., Data]] = {
    "linear": _linear,
    "addmm": lambda bias, value, weight, *rest: _linear(value, weight, bias, turned=True) if not rest else _refused(),
    "embedding": _embedding,
}


def _refused() -> Data:
    raise UnreadableError("it scales the product of a layer")


def _recurrent(
    kind: str, value: Any, states: Any, weights: Any, biased: Any, layers: Any, dropout: Any, training: Any,
    bidirectional: Any, batch_first: Any = None,
) -> Any:  # fmt: skip
    if batch_first is None or not isinstance(weights, tuple) or layers not in range(1, len(weights)):
        raise UnreadableError("it has sequences of packed lengths")
    if bidirectional is not False:
        raise UnreadableError("it has a bidirectional layer, which needs samples that a stream has not seen yet")
    if training is not False and dropout and layers > 1:
        raise UnreadableError("it has dropout in training mode")
    data = _features(value)
    if len(data.axes) == 3:
        time, batch = (data.axes[1], data.axes[0]) if batch_first else data.axes[:2]
        if time not in ("T", "1") or batch not in ("B", "1") or (time == "1" and "T" in data.axes):
            raise LayoutError(BAD_AXES)
    elif data.axes[0] not in ("T", "1"):
        raise LayoutError(BAD_AXES)
    named, activation = _RECURRENT[kind]
    path = _own(weights[0], "weight_ih_l0")
    roles = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if biased else [])]
    roles += ["weight_hr"] if len(weights) == layers * (len(roles) + 1) else []
    expected = [f"{role}_l{layer}" for layer in range(layers) for role in roles]
    if len(weights) != len(expected) or any(_own(*pair) != path for pair in zip(weights, expected, strict=True)):
        raise UnreadableError(f"it has other parameters than those of {path!r}")
    held = states if isinstance(states, tuple) else (states,)
    if len(held) != (2 if named == "LSTM" else 1) or any(isinstance(each, Data) for each in held):
        raise UnreadableError(f"{path!r} begins from a state that is computed")
    buffers = tuple(each.name for each in held if isinstance(each, Weight))
    if (buffers and len(buffers) != len(held)) or any(isinstance(each, Weight) and each.turned for each in held):
        raise UnreadableError(f"{path!r} begins from states of several kinds")
    after = data.after(Step(named, path, layers, activation, buffers, bool(biased)))
    rest = [Data(after.chain, ("L", *(["B"] if len(data.axes) == 3 else []), "F"), role) for role in range(len(held))]
    return (after, *rest)


def _of_state(kind: str, value: Data, rest: Sequence[Any]) -> Data:
    """A state in another form; that of the last layer is the output of the last step."""
    step, last = value.chain[-1], tuple(rest)
    lone = step.layers == 1 and ((kind == "select" and last == (0, 0)) or (kind == "squeeze" and last == (0,)))
    if value.role == 0 and (lone or (kind == "select" and last == (0, -1))):
        return Data(value.chain, value.axes[1:])
    if kind == "select":
        raise UnreadableError("it takes a part of a state")
    return value


def _unsqueezed(value: Data, axis: Any) -> Data:
    place = axis if axis >= 0 else axis + len(value.axes) + 1
    return replace(value, axes=(*value.axes[:place], "1", *value.axes[place:]))


def _without(value: Data, axis: Any) -> Data:
    place = axis if axis >= 0 else axis + len(value.axes)
    return replace(value, axes=(*value.axes[:place], *value.axes[place + 1 :]))


def _squeezed(value: Data, *axes: Any) -> Data:
    if len(axes) != 1 or not isinstance(axes[0], int) or value.axes[axes[0]] not in ("1", "B"):
        raise LayoutError(BAD_AXES)
    return _without(value, axes[0])


def _selected(value: Data, axis: Any, place: Any) -> Data:
    meaning = value.axes[axis] if isinstance(axis, int) else ""
    if (meaning == "T" and place == -1) or (meaning in ("1", "B") and place in (0, -1)):
        return _without(value, axis)
    raise LayoutError("it takes a part of the values")


def _sliced(value: Data, *rest: Any) -> Data:
    if not _is_whole(*rest):
        raise UnreadableError("it takes a part of the values")
    return value


def _is_whole(_axis: Any = 0, start: Any = None, end: Any = None, step: Any = 1) -> bool:
    return start in (None, 0) and (end is None or (isinstance(end, int) and end >= 2**31 - 1)) and step == 1


def _exchanged(value: Data, first: Any, second: Any) -> Data:
    axes = list(value.axes)
    axes[first], axes[second] = axes[second], axes[first]
    return replace(value, axes=tuple(axes))


_SHAPED: Mapping[str, Callable[..., Data]] = {
    "unsqueeze": _unsqueezed,
    "squeeze": _squeezed,
    "select": _selected,
    "slice": _sliced,
    "transpose": _exchanged,
    "permute": lambda value, order: replace(value, axes=tuple(value.axes[place] for place in order)),
}
