"""Walk a model from its inputs to its outputs, call by call, and write each layer's operators."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn_export.readers.keras.calls import Ref, replaced
from edge_rnn_export.readers.keras.causes import check_causes, is_operation
from edge_rnn_export.readers.keras.emission import At, Emission, Tensor
from edge_rnn_export.readers.keras.ends import Ends, write_inputs, write_outputs
from edge_rnn_export.readers.keras.layers import LAYERS, MERGES
from edge_rnn_export.readers.keras.network import Layer, Network, part_after
from edge_rnn_export.readers.keras.operations import operate
from edge_rnn_export.readers.keras.order import calls_in_order, check_all_used, path_to, targets_of
from edge_rnn_export.readers.keras.recurrent import RECURRENT, recurrent
from edge_rnn_export.readers.keras.shapes import reshape_to

__all__ = ["write_model"]


def write_model(
    network: Network,
    emission: Emission,
    *,
    upto: str | Sequence[str] | None = None,
    after: str | None = None,
    unpadded: bool = False,
) -> Ends:
    """Write the operators of a model; return its inputs and outputs.

    Parameters
    ----------
    upto
        Name of the layer whose output is wanted, or several names; None for the model's outputs.
    after
        Name of the layer whose output is taken as the samples; None for the model's inputs.
    unpadded
        True if no step is padding, so that masks may be left out.

    Raises
    ------
    FileError, UnsupportedError, InputError
        See :func:`edge_rnn_export.from_keras`.
    """
    if after is not None:
        network = part_after(network, after)
    paths = [path_to(network, name) for name in ([upto] if isinstance(upto, str) else upto or ())]
    path = paths[0] if len(paths) == 1 else ()
    if any(len(each) > 1 for each in paths if not path):
        raise UnsupportedError("several layers in upto must be layers of the model itself, not of a model inside.")
    targets = [ref for each in paths or [()] for ref in targets_of(network, each)]
    order = calls_in_order(network, targets)
    if upto is None and after is None:
        check_all_used(network, order)
    check_causes(network, order, path, unpadded=unpadded)
    ends = Ends()
    inputs = write_inputs(network, emission, order, ends)
    found = _written(network, emission, inputs, order, path)
    outputs = {}
    for ref in targets:
        name = "/".join(path) or (f"{ref.layer}:{ref.place}" if ref.place else ref.layer)
        outputs[name] = _output(network.layers[ref.layer], ref, found)
    write_outputs(emission, outputs, ends)
    return ends


def _written(
    network: Network,
    emission: Emission,
    inputs: Mapping[str, Tensor],
    order: Sequence[tuple[str, int]],
    path: Sequence[str],
) -> dict[tuple[str, int], list[Tensor]]:
    """Write the calls in order; return their outputs. ``path`` leads to the layer that is wanted of a model inside."""
    found: dict[tuple[str, int], list[Tensor]] = {}
    for name, number in order:
        layer = network.layers[name]
        if layer.kind == "InputLayer":
            found[name, number] = [inputs[name]]
            continue
        call = layer.calls[number]
        known = {ref: _output(network.layers[ref.layer], ref, found) for ref in call.reads}
        args = replaced(call.args, known)
        kwargs = {key: replaced(value, known) for key, value in call.kwargs.items() if key != "mask"}
        found[name, number] = _called(At(layer, emission), args, kwargs, path[1:] if path[:1] == (name,) else ())
    return found


def _output(layer: Layer, ref: Ref, found: Mapping[tuple[str, int], list[Tensor]]) -> Tensor:
    tensors = found[ref.layer, ref.call]
    if ref.place >= len(tensors):
        raise FileError(f"its model_config reads output {ref.place} of {layer.title}, which has {len(tensors)}.")
    return tensors[ref.place]


def _called(at: At, args: Sequence[Any], kwargs: dict[str, Any], path: Sequence[str]) -> list[Tensor]:
    """Write a call of a layer; return its outputs."""
    if is_operation(at.layer):
        return operate(at, args, kwargs)
    for key in ("inputs", "sequences", "x"):  # names of the first argument
        if not args and key in kwargs:
            args = [kwargs.pop(key)]
    given, *more = args or [None]
    if at.layer.kind in RECURRENT:
        more = [*more, None]
        initial, more = kwargs.pop("initial_state", more[0]), more[1:]
        given, *states = _tensors(given)
        _check_rest(at, more, kwargs)
        return recurrent(at, given, [*states, *_tensors(initial)])
    _check_rest(at, more, kwargs)
    return _applied(at, given, path)


def _check_rest(at: At, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Check the other arguments of a layer's call: none may affect inference."""
    rest = {**kwargs, **{f"argument {place}": value for place, value in enumerate(args, start=1)}}
    for key, value in rest.items():
        if value is not None and value is not False:
            raise at.refuse(
                f"it is called with {reprlib.repr(key)}, which a step of a stream does not have; expected its input "
                "alone."
            )


def _applied(at: At, given: Any, path: Sequence[str]) -> list[Tensor]:
    """Write a layer of any kind but recurrent ones and operations."""
    layer = at.layer
    if layer.network is not None:
        return _inside(layer, at.emission, given, path)
    tensors = list(_tensors(given))
    if layer.kind in MERGES and tensors:
        return [MERGES[layer.kind](at, tensors)]
    if len(tensors) != 1:
        raise at.refuse(f"it reads {len(tensors)} outputs, expected one.")
    if layer.kind == "TimeDistributed":
        return [_per_step(at, tensors[0])]
    return [LAYERS[layer.kind](at, tensors[0])]


def _inside(layer: Layer, emission: Emission, given: Any, path: Sequence[str]) -> list[Tensor]:
    """Write a model inside the model."""
    network = layer.network
    assert network is not None
    by_name = isinstance(given, dict) and given.keys() == set(network.input_names)
    tensors = list(_tensors([given[name] for name in network.input_names] if by_name else given))
    if len(tensors) != len(network.inputs):
        raise FileError(f"{layer.title} reads {len(tensors)} outputs, expected {len(network.inputs)}.")
    inputs = {ref.layer: tensor for ref, tensor in zip(network.inputs, tensors, strict=True)}
    targets = targets_of(network, path)
    order = calls_in_order(network, targets)
    odd = next((name for name, _ in order if network.layers[name].kind == "InputLayer" and name not in inputs), None)
    if odd is not None:
        raise FileError(f"{layer.title} has the input {reprlib.repr(odd)}, which is not among its inputs.")
    found = _written(network, emission, inputs, order, path)
    return [_output(network.layers[ref.layer], ref, found) for ref in targets]


def _per_step(at: At, x: Tensor) -> Tensor:
    """Write a layer for each step by itself: steps join the batch, and part from it again."""
    if len(x.shape) < 3:
        raise at.refuse(f"it reads the shape {x.shape}, expected steps.")
    inner = at.inside(at.layer.wrapped[0])
    flat = reshape_to(at, x, [-1, *x.shape[2:]]) if None not in x.shape[2:] else None
    if flat is None:
        raise at.refuse(f"it reads the shape {x.shape}, expected known lengths after the steps.")
    if inner.layer.kind in RECURRENT:
        y = recurrent(inner, flat, ())[0]
    else:
        (y,) = _applied(inner, flat, ())
    if None in y.shape[1:]:
        raise at.refuse(f"its output has the shape {y.shape} at each step, expected known lengths.")
    lengths = at("Concat", at("Shape", x, start=0, end=2), [length or 0 for length in y.shape[1:]], axis=0)
    return Tensor(at("Reshape", y, lengths), (*x.shape[:2], *y.shape[1:]), y.integers)


def _tensors(given: Any) -> Iterator[Tensor]:
    """Yield the tensors in an argument."""
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, dict):
        yield from _tensors([given[key] for key in sorted(given)])
    elif isinstance(given, list | tuple):
        for each in given:
            yield from _tensors(each)
    elif given is not None:
        raise UnsupportedError(f"a layer takes {reprlib.repr(given)}, expected only outputs of layers.")
