"""Read graphs written by edge_rnn back into their original models, bit for bit.

The metadata of such a graph list its layers, whose arrays are among the initializers, by name. The layers are rebuilt
from these, and the graph is written again: the file is accepted only if each node, number and name is identical. So
nothing has to be interpreted, regardless of the operators that a layer was written as.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, numpy_helper

from edge_rnn.errors import EdgeRnnError, FileError, UnsupportedError
from edge_rnn.layers import LAYER_TYPES, Cell, Dense, Layer, Recurrent
from edge_rnn.model import Description, Model
from edge_rnn.typing import AnyArray
from edge_rnn_export.readers.json_text import parse_object
from edge_rnn_export.readers.onnx.graph import graph_of
from edge_rnn_export.readers.tracing.graph import Graph
from edge_rnn_export.writers.onnx.graph import build_graph
from edge_rnn_export.writers.onnx.metadata import METADATA_KEY
from edge_rnn_export.writers.onnx.nodes import GATES
from edge_rnn_export.writers.onnx.spec import OPSETS, ExportSpec

__all__ = ["is_own", "own_model"]


_DESCRIBED = tuple(Description.__annotations__)


def is_own(proto: ModelProto) -> bool:
    """True if a graph's metadata say that edge_rnn wrote it."""
    return any(entry.key == METADATA_KEY for entry in proto.metadata_props)


def own_model(proto: ModelProto, folder: Path | None, described: Description) -> Model:
    """Return the model that a graph was written from.

    Parameters
    ----------
    described
        Name, labels and so on; empty or None stands for the value in the graph.

    Raises
    ------
    FileError
        The graph or its metadata were changed after export.
    UnsupportedError
        Matrices in the graph have a smaller format than float32.
    """
    remedy = (
        f"Export the model again, or delete the entry {METADATA_KEY!r} of its metadata to read it as any other graph."
    )
    told = next(entry.value for entry in proto.metadata_props if entry.key == METADATA_KEY)
    try:
        description = parse_object(told.encode())
        is_float32 = _is_float32(description)
        if is_float32:
            graph = graph_of(proto, folder)
            model = _model(description, graph)
            wrong = _difference(proto, model, description, graph)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError, NotImplementedError) as error:
        reason = str(error) if isinstance(error, EdgeRnnError) else f"{type(error).__name__} {error}"
        raise FileError(
            f"from_onnx: the graph's metadata do not match it: {reason[:300].rstrip('.')}. {remedy}"
        ) from None
    if not is_float32:
        raise UnsupportedError(
            "from_onnx reads graphs with matrices of float32, and this one has smaller formats; load the model file "
            "that edge_rnn made it from."
        )
    if wrong:
        raise FileError(f"from_onnx: the graph was changed since edge_rnn wrote it: {wrong}. {remedy}")
    empty = [key for key, value in described.items() if value is None or (isinstance(value, Sized) and not len(value))]
    given = {key: value for key, value in described.items() if key not in empty}
    if not given:
        return model
    kept = {key: getattr(model, key) for key in _DESCRIBED}
    return Model(model.layers, input_size=model.input_size, **(kept | given))


def _is_float32(description: Mapping[str, Any]) -> bool:
    precision, layers = description.get("precision"), description.get("layers", ())
    return precision in (None, "float32") and not any("formats" in record for record in layers)


def _model(description: dict[str, Any], graph: Graph) -> Model:
    if "layers" not in description:
        raise ValueError("an older edge_rnn wrote them, without layers")
    names = [record["name"] for record in description["layers"]]
    if len(set(names)) < len(names) or len(names) > len(graph.operators):
        raise ValueError("they name more layers than the graph has")
    layers = [_layer(record, graph, description["initial_state"]) for record in description["layers"]]
    described = {key: description.get(key, ()) for key in _DESCRIBED}
    return Model(layers, input_size=description["input_size"], **described)


def _layer(record: Mapping[str, Any], graph: Graph, states: Mapping[str, Any]) -> Layer:
    if record["kind"] == "Cell":
        return _cell(record, graph, states)
    cls, name = LAYER_TYPES[record["kind"]], record["name"]
    arrays = {}
    for key in record["arrays"]:
        if key in ("h0", "c0"):
            (size,) = [port.shape[-1] for port in graph.inputs if port.name == f"{name}.{key[0]}"]
            zeros = np.zeros(size if isinstance(size, int) else 0)
            arrays[key] = np.array(states.get(f"{name}.{key[0]}", zeros), np.float32)
        else:
            arrays[key] = _array(graph, cls, record, key)
            graph.budget.take(f"layer {str(name)[:80]!r}", 4 * arrays[key].nbytes)
    return cls(name=name, inputs=tuple(record["inputs"]), **arrays, **record["options"])


def _cell(record: Mapping[str, Any], graph: Graph, states: Mapping[str, Any]) -> Layer:
    """A cell by its equation: its parameters are constants under their names, matrices turned."""
    name, arrays = record["name"], {}
    for key in record["arrays"]:
        state = key.removeprefix("start.")
        arrays[key] = (
            np.array(states[f"{name}.{state}"], np.float32) if state != key else _parameter(graph, f"{name}.{key}")
        )
        graph.budget.take(f"layer {str(name)[:80]!r}", 4 * arrays[key].nbytes)
    return Cell.of_options(record["options"], arrays, name=name, inputs=tuple(record["inputs"]))


def _parameter(graph: Graph, name: str) -> AnyArray:
    """Parameter of an equation; a matrix is stored transposed, and may be stored in pieces."""
    if name in graph.constants:
        return graph.constant(name).T
    pieces = {int(key.removeprefix(f"{name}.rows")): key for key in graph.constants if key.startswith(f"{name}.rows")}
    if not pieces:
        raise ValueError(f"it has no constant {name}; another version of edge_rnn wrote it, or it was changed")
    return np.concatenate([graph.constant(pieces[start]).T for start in sorted(pieces)])


def _array(graph: Graph, cls: Any, record: Mapping[str, Any], key: str) -> AnyArray:
    """Array of a layer: the inverse of the writers' conversion."""
    name = record["name"]
    if not issubclass(cls, Recurrent):
        array = graph.constant(f"{name}.{key}")
        return array.T if key == "weight" and cls is Dense else array
    if f"{name}.W" not in graph.constants:  # its equation
        return _parameter(graph, f"{name}.{key}")
    order = GATES[cls.__name__]
    if key == "peephole":
        i, o, f = np.split(graph.constant(f"{name}.P")[0], 3)
        return np.concatenate([i, f, o])
    if key in ("bias_ih", "bias_hh"):
        array = np.split(graph.constant(f"{name}.B")[0], 2)[key == "bias_hh"]
    else:
        array = graph.constant(f"{name}.{'W' if key == 'weight_ih' else 'R'}")[0]
    parts = np.split(array, len(order))
    return np.concatenate([parts[order.index(gate)] for gate in cls.gates])


def _difference(proto: ModelProto, model: Model, description: Mapping[str, Any], graph: Graph) -> str:
    """Describe the first difference from what edge_rnn writes; empty if there is none."""
    wanted = str(description.get("written", description["fingerprint"]))
    if model.fingerprint != wanted:
        return f"its fingerprint is {model.fingerprint[:12]}, expected {wanted[:12]}"
    opset = next((each.version for each in proto.opset_import if each.version in OPSETS), None)
    spec = ExportSpec(description["form"], head=description.get("head", "model"), opset=opset)
    written = build_graph(spec.resolve(model, "from_onnx"))
    ours, theirs = written.graph, proto.graph
    for mine, other in zip_longest(ours.node, theirs.node):
        if mine is None or other is None or mine.SerializeToString() != other.SerializeToString():
            return f"node {(other or mine).name[:80]!r} has been changed"
    for what in ("input", "output"):
        if [each.SerializeToString() for each in getattr(ours, what)] != [
            each.SerializeToString() for each in getattr(theirs, what)
        ]:
            return f"its {what}s are not as they were"
    if [(each.domain, each.version) for each in written.opset_import] != [
        (each.domain, each.version) for each in proto.opset_import
    ]:
        return "its operator set has been changed"
    expected = {tensor.name: numpy_helper.to_array(tensor) for tensor in ours.initializer}
    if set(expected) != set(graph.constants):
        return "it has other initializers"
    for name, array in expected.items():
        found = graph.constant(name)
        if found.dtype != array.dtype or found.shape != array.shape or found.tobytes() != array.tobytes():
            return f"initializer {name[:80]!r} has been changed"
    return ""
