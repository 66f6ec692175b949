"""Write the ends of a model: several inputs of samples become one, and so do several outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edge_rnn.errors import UnsupportedError
from edge_rnn_export.readers.keras.calls import Ref, refs_in
from edge_rnn_export.readers.keras.emission import READER, Emission, Tensor
from edge_rnn_export.readers.keras.network import Layer, Network, shape_of
from edge_rnn_export.readers.keras.recurrent import RECURRENT
from edge_rnn_export.readers.tracing.graph import Operator, Port

__all__ = ["Ends", "write_inputs", "write_outputs"]


@dataclass(slots=True, eq=False)
class Ends:
    """Inputs and outputs of a model in the graph.

    Parameters
    ----------
    joined
        Names and numbers of features of the inputs that are one in the graph, in order; empty if none are.
    outputs
        Names of the graph's outputs; each holds the outputs of the model with these indices, one behind the other.
    sizes
        Names and numbers of features of outputs that are one in the graph.
    """

    joined: Sequence[tuple[str, int]] = ()
    outputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    sizes: Sequence[tuple[str, int]] = ()


def write_inputs(
    network: Network, emission: Emission, order: Iterable[tuple[str, int]], ends: Ends
) -> dict[str, Tensor]:
    """Write the inputs that are used; return them by name.

    Inputs of samples of the same steps are joined in the model's order, as a stream has one sample per step.
    """
    places = list(order)
    used = {name for name, _ in places}
    layers = [network.layers[ref.layer] for ref in network.inputs if ref.layer in used]
    states = _states(network, places)
    found = {layer.name: _input(layer) for layer in layers}
    samples = [tensor for name, tensor in found.items() if name not in states and not tensor.integers]
    sizes = [tensor.size or 0 for tensor in samples]
    alike = len({tensor.shape[:-1] for tensor in samples}) == 1 and all(len(tensor.shape) > 1 for tensor in samples)
    if len(samples) == len(found.keys() - states) > 1 and alike and all(sizes):
        ends.joined = [(tensor.name, size) for tensor, size in zip(samples, sizes, strict=True)]
        name = ", ".join(tensor.name for tensor in samples)
        emission.ports.append(_port(name, Tensor(name, (*samples[0].shape[:-1], sum(sizes)))))
        emission.constants["sizes of the inputs"] = emission.integers(sizes)
        names = tuple(tensor.name for tensor in samples)
        split = Operator("Split", "inputs", (name, "sizes of the inputs"), names, {"axis": -1}, reader=READER)
        emission.operators.append(split)
        found |= {tensor.name: tensor for tensor in samples}
    else:
        samples = []
    emission.ports += [_port(name, tensor) for name, tensor in found.items() if tensor not in samples]
    return found


def _input(layer: Layer) -> Tensor:
    shape = shape_of(layer.title, layer.config.get("batch_shape", layer.config.get("batch_input_shape")))
    if len(shape) > 2 and shape[-1] is None:
        raise UnsupportedError(f"{layer.title} has the shape {shape}; expected a last axis of a known length.")
    integers = str(layer.config.get("dtype")).startswith(("int", "uint", "bool"))
    return Tensor(layer.name, shape, integers)


def _port(name: str, tensor: Tensor) -> Port:
    """Input of the graph; open lengths of the same axis are the same for all inputs."""
    axes = ("batch", "time", *(f"axis {place}" for place in range(2, len(tensor.shape))))
    shape = tuple(axis if length is None else length for axis, length in zip(axes, tensor.shape, strict=False))
    return Port(name, shape, tensor.integers)


def _states(network: Network, places: Iterable[tuple[str, int]]) -> set[str]:
    """Names of inputs that recurrent layers take as initial states."""
    found: list[Ref] = []
    for name, number in places:
        layer = network.layers[name]
        if layer.kind in RECURRENT:
            call = layer.calls[number]
            found += [ref for ref in call.reads if ref not in list(refs_in(call.args))[:1]]
    return {ref.layer for ref in found if network.layers[ref.layer].kind == "InputLayer"}


def write_outputs(emission: Emission, tensors: Mapping[str, Tensor], ends: Ends) -> None:
    """Write the outputs by name: those that are no states are joined in order, if they are of the same steps."""
    names = list(tensors)
    places: dict[str, list[int]] = {}  # by value, which may be an output twice
    for place, tensor in enumerate(tensors.values()):
        places.setdefault(tensor.name, []).append(place)
    heads = {names[each[0]]: tensors[names[each[0]]] for each in places.values()}
    heads = {name: tensor for name, tensor in heads.items() if not tensor.state}
    sizes = [(name, tensor.size or 0) for name, tensor in heads.items()]
    alike = len({tensor.shape[:-1] for tensor in heads.values()}) == 1
    if len(heads) > 1 and alike and all(size for _, size in sizes):
        ends.sizes = sizes
        name = ", ".join(heads)
        read = tuple(tensor.name for tensor in heads.values())
        emission.operators.append(Operator("Concat", name, read, (name,), {"axis": -1}, reader=READER))
        ends.outputs[name] = tuple(names.index(each) for each in heads)
        rest = {name: tensor for name, tensor in tensors.items() if tensor.state}
    else:
        rest = dict(tensors)
    for name, tensor in rest.items():
        emission.identity(name, tensor)
        ends.outputs[name] = (names.index(name),)
