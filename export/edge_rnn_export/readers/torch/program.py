"""Turn a program of torch.export into the graph that readers trace.

What depends on no input is computed by PyTorch once: parametrized weights, zeros, shapes. Everything else is written as
ONNX operators, in :mod:`edge_rnn_export.readers.torch.operators`. A value keeps its static shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from edge_rnn.errors import UnsupportedError
from edge_rnn.storage.budget import Budget
from edge_rnn_export.readers.torch.files import as_array
from edge_rnn_export.readers.torch.writer import READER, Pieces, Traced, Writer, counting
from edge_rnn_export.readers.tracing.graph import Graph, Operator, Port

__all__ = ["Program", "graph_of"]

_MOVES = frozenset(
    (
        *("alias", "cat", "clone", "copy", "detach", "expand", "index_select", "permute", "reshape", "select", "slice"),
        *("split", "split_with_sizes", "squeeze", "stack", "t", "transpose", "unbind", "unsqueeze", "view"),
    )
)
"""Operators that move values and do not compute."""


@dataclass(frozen=True, slots=True)
class Program:
    """Graph of a module's ``forward``.

    Parameters
    ----------
    inputs
        Names of the graph's inputs in the order of the tensors among the arguments.
    outputs
        Names of the tensors that ``forward`` returns, in order: their keys, ``"logits"`` or ``"1.0"``; empty for one
        that does not depend on the inputs.
    kept
        Buffers that ``forward`` updates: name in the module, and names of the graph's input and output for it.
    modules
        Names of values by the dotted name of the module that returns them, as far as this shows.
    unknown
        PyTorch's operators that the table does not have.
    rounds
        True if float32 rounds what forward does: its values, weights that it computes from others, or a loop's biases.
    used
        Names of the parameters and buffers that forward reads.
    """

    graph: Graph
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    kept: tuple[tuple[str, str, str], ...]
    modules: Mapping[str, str]
    unknown: frozenset[Any]
    rounds: bool
    used: frozenset[str]


def graph_of(torch: Any, exported: Any, table: Mapping[str, Any], raw: frozenset[str], title: str) -> Program:
    """Write the graph of an exported program.

    Parameters
    ----------
    exported
        ``torch.export.ExportedProgram`` without operators that write into their arguments.
    table
        Functions by operator that write it: ``function(writer, arguments)``.
    raw
        Operators whose functions take :class:`Pieces` as they are.
    title
        ``Net.forward``, for messages.

    Raises
    ------
    UnsupportedError
        Forward draws random numbers, or is too long.
    """
    writer = Writer()
    writer.weights.update(_weights(node) for node in exported.graph.nodes if node.op == "call_function")
    values, ports, kept = _inputs(torch, exported)
    ends, needed = _needed(exported)
    _check_counters(exported, needed, title)
    for node in exported.graph.nodes:
        if node.op == "call_function" and node in needed:
            values[node] = _written(torch, writer, node, values, table, raw, title)
    outputs = _outputs(torch, exported, writer, [_of(values, end) for end in ends], kept)
    stored = sum(constant.load().nbytes for constant in writer.constants.values())
    graph = Graph(
        tuple(writer.operators),
        tuple(ports),
        (*filter(None, outputs), *(out for _, _, out in kept)),
        writer.constants,
        Budget.of_file(stored, error=UnsupportedError),
        reader=READER,
        shapes={value.name: value.shape for value in writer.aliases.values()},
        known_as={writer.aliases[path].name: path for path in sorted(writer.aliases, key=len, reverse=True) if path},
    )
    inputs = tuple(port.name for port in ports if port.name not in {name for _, name, _ in kept})
    used = {
        spec.target
        for node, spec in zip(exported.graph.nodes, exported.graph_signature.input_specs, strict=False)
        if spec.target and node.users
    }
    return Program(
        graph,
        inputs,
        tuple(outputs),
        tuple(kept),
        {path: value.name for path, value in writer.aliases.items()},
        frozenset(writer.unknown),
        writer.rounds,
        frozenset(used),
    )


def _needed(exported: Any) -> tuple[list[Any], set[Any]]:
    """Return the outputs, without counters of calls, and all nodes that they depend on."""
    (output,) = [node for node in exported.graph.nodes if node.op == "output"]
    ends = list(output.args[0])
    for place, spec in enumerate(exported.graph_signature.output_specs):
        if spec.kind.name == "BUFFER_MUTATION" and not ends[place].meta["val"].is_floating_point():
            ends[place] = None
    needed: set[Any] = set()
    waiting = [end for end in ends if hasattr(end, "all_input_nodes")]
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting += node.all_input_nodes
    return ends, needed


def _updated(exported: Any) -> set[str]:
    """Return the names of the buffers that forward updates."""
    return {spec.target for spec in exported.graph_signature.output_specs if spec.kind.name == "BUFFER_MUTATION"}


def _check_counters(exported: Any, needed: Set[Any], title: str) -> None:
    """Refuse to compute with a buffer of integers that forward updates: it would be a constant."""
    updated = _updated(exported)
    counters = {spec.arg.name: spec.target for spec in exported.graph_signature.input_specs if spec.target in updated}
    for node in exported.graph.nodes:
        if node.name in counters and node in needed and not node.meta["val"].is_floating_point():
            kind = str(node.meta["val"].dtype).removeprefix("torch.")
            raise counting(title, f"buffer {counters[node.name]!r}", kind)


def _inputs(torch: Any, exported: Any) -> tuple[dict[Any, Any], list[Port], list[tuple[str, str, str]]]:
    """Values of placeholders, inputs of the graph, and the buffers among these."""
    updated = _updated(exported)
    specs = {spec.arg.name: spec for spec in exported.graph_signature.input_specs}
    values: dict[Any, Any] = {}
    ports: list[Port] = []
    kept: list[tuple[str, str, str]] = []
    for node in exported.graph.nodes:
        if node.op != "placeholder":
            continue
        spec = specs[node.name]
        held = spec.kind.name == "BUFFER" and spec.target in updated and node.meta["val"].is_floating_point()
        if spec.kind.name != "USER_INPUT" and not held:
            found = exported.state_dict if spec.target in exported.state_dict else exported.constants
            values[node] = found[spec.target].detach()
        elif not isinstance(node.meta.get("val"), torch.Tensor):
            values[node] = node.meta.get("val")
        else:
            shape = tuple(int(length) for length in node.meta["val"].shape)
            integers = not node.meta["val"].is_floating_point()
            values[node] = Traced(node.name, shape, integers)
            ports.append(Port(node.name, shape, integers))
            if held:
                kept.append((spec.target, node.name, f"{node.name}'"))
    return values, ports, kept


def _of(values: Mapping[Any, Any], argument: Any) -> Any:
    """Value of an argument of a node: nodes inside lists are looked up too."""
    if isinstance(argument, list | tuple):
        return [_of(values, each) for each in argument]
    try:
        return values.get(argument, argument)
    except TypeError:  # a dict or slice
        return argument


def _traced(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_traced, value))
    return isinstance(value, Traced | Pieces)


def _written(
    torch: Any,
    writer: Writer,
    node: Any,
    values: Mapping[Any, Any],
    table: Mapping[str, Any],
    raw: frozenset[str],
    title: str,
) -> Any:
    """Compute a node, or write it if it depends on an input."""
    args = _of(values, node.args)
    kwargs = {key: _of(values, value) for key, value in node.kwargs.items()}
    if getattr(node.target, "__name__", "") == "getitem":
        return args[0][args[1]]
    key = (node.target, _key(args), _key(kwargs))
    if key in writer.written:  # a module that forward calls twice with the same
        return writer.written[key]
    writer.written[key] = found = _computed(torch, writer, node, args, kwargs, table, raw, title)
    if isinstance(found, Traced):
        for path, _ in (node.meta.get("nn_module_stack") or {}).values():
            if path not in writer.recurrent:
                writer.aliases[path] = found
    return found


def _weights(node: Any) -> Any:
    """Operator and parameters of a node, which the steps of a loop share."""
    return node.target, tuple(each for each in node.args if getattr(each, "op", "") == "placeholder")


def _key(value: Any) -> Any:
    """Value that can be compared: tensors and what was written in pieces by identity."""
    if isinstance(value, list | tuple):
        return tuple(_key(each) for each in value)
    if isinstance(value, dict):
        return tuple((name, _key(each)) for name, each in value.items())
    return id(value) if isinstance(value, Pieces) or hasattr(value, "detach") else value


def _computed(
    torch: Any,
    writer: Writer,
    node: Any,
    args: Any,
    kwargs: dict[str, Any],
    table: Mapping[str, Any],
    raw: frozenset[str],
    title: str,
) -> Any:
    schema = node.target._schema
    op = schema.name.partition("::")[2]
    writer.repeated = writer.weights[_weights(node)] > 1
    writer.rounds |= writer.repeated  # biases of a cell that a loop spells out are added
    _place(writer, node, op, title)
    if op not in table and torch.Tag.nondeterministic_seeded in node.target.tags:
        raise writer.refuse("it draws random numbers; a stream computes the same for the same samples.")
    if not _traced(args) and not _traced(list(kwargs.values())):
        reads = any(isinstance(each, torch.Tensor) and each.is_floating_point() for each in _flat(args))
        writer.rounds |= reads and op not in _MOVES
        with torch.no_grad():
            return node.target(*args, **kwargs)
    bound: dict[str, Any] = {}
    for place, argument in enumerate(schema.arguments):
        value = args[place] if place < len(args) else kwargs.get(argument.name, argument.default_value)
        bound[argument.name] = _plain(torch, writer, value, whole=op not in raw)
    if not schema.name.startswith("aten::"):
        raise writer.refuse(f"{schema.name} is an operator that did not come with PyTorch; build that part by hand.")
    if op not in table:
        writer.unknown.add(node.target)
        reason = f"{schema.name.replace('::', '.')} is not among the operators that a stream computes."
        traced = [value for value in _flat(list(bound.values())) if isinstance(value, Traced)]
        found = writer.emit_all(op, *traced, shapes=writer.shapes, refusal=reason)
    else:
        given = table[op](writer, SimpleNamespace(**bound))
        if given is None or isinstance(given, Pieces):
            return given
        found = given if isinstance(given, list) else [given]
    many = isinstance(node.meta.get("val"), list | tuple)
    return found if many else found[0]


def _plain(torch: Any, writer: Writer, value: Any, *, whole: bool) -> Any:
    """Argument for a function of the table: tensors as arrays."""
    if isinstance(value, list):
        return [_plain(torch, writer, each, whole=whole) for each in value]
    if isinstance(value, torch.Tensor):
        return as_array("a constant", value)
    return writer.whole(value) if whole and isinstance(value, Pieces) else value


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _place(writer: Writer, node: Any, op: str, title: str) -> None:
    """Note the module and the shapes of a node, for names and messages."""
    given = node.meta.get("val")
    metas = list(given) if isinstance(given, list | tuple) else [given]
    writer.shapes = [tuple(int(length) for length in getattr(meta, "shape", ())) for meta in metas]
    writer.op = op
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    writer.path, kind = stack[-1] if stack else ("", "")
    kind = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    short = kind.rpartition(".")[2]
    if kind.startswith("torch.nn.") and not kind.startswith("torch.nn.utils."):
        writer.label = f"nn.{short} {writer.path!r}" if writer.path else f"nn.{short}"
    else:
        writer.label = f"{op} in {short} {writer.path!r}" if writer.path else f"{op} in {title}"


def _outputs(
    torch: Any, exported: Any, writer: Writer, ends: Sequence[Any], kept: Sequence[tuple[str, str, str]]
) -> list[str]:
    """Give the outputs the names under which a user knows them; return those of forward."""
    specs = exported.graph_signature.output_specs
    buffers = {target: out for target, _, out in kept}
    names = iter(_keys(torch, exported.call_spec.out_spec))
    found = []
    writer.path, writer.op, writer.label = "", "output", "output"
    for spec, value in zip(specs, ends, strict=True):
        if spec.kind.name == "BUFFER_MUTATION" and value is not None:
            _end(writer, value, buffers[spec.target])
        elif spec.kind.name == "USER_OUTPUT":
            name = next(names)
            if isinstance(value, Traced | Pieces):
                found.append(name or "output")
                _end(writer, value, found[-1])
            elif isinstance(value, torch.Tensor):
                found.append("")
    return found


def _end(writer: Writer, value: Any, name: str) -> None:
    whole = writer.whole(value) if isinstance(value, Pieces) else value
    writer.operators.append(
        Operator("Identity", f"/{name}", (whole.name,), (name,), reader=READER, label=f"output {name!r}")
    )


def _keys(torch: Any, spec: Any) -> list[str]:
    """Names of the leaves of a structure: ``"logits"`` in a dict, ``"1.0"`` in a tuple inside a tuple."""
    count = spec.num_leaves
    tree = torch.utils._pytree.tree_unflatten(list(range(count)), spec)
    paths, _ = torch.utils._pytree.tree_flatten_with_path(tree)
    names = [""] * count
    for path, leaf in paths:
        names[leaf] = ".".join(str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path)
    return names
