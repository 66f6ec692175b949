"""Read a live module by what its ``forward`` does."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from edge_rnn.errors import EdgeRnnError, InputError, InputTypeError, UnsupportedError
from edge_rnn.model import Model
from edge_rnn_export.readers.torch.attributes import check_attributes
from edge_rnn_export.readers.torch.axes import axes_of
from edge_rnn_export.readers.torch.calls import Call, Leaf, calls_of, given_call, narrow, runs
from edge_rnn_export.readers.torch.compare import check
from edge_rnn_export.readers.torch.program import Program
from edge_rnn_export.readers.torch.reparametrized import copied, without_reparametrizations
from edge_rnn_export.readers.torch.running import Read
from edge_rnn_export.readers.torch.traced import in_use, traced
from edge_rnn_export.readers.tracing.walk import read_graph

__all__ = ["Upto", "Wanted", "has_forward", "read_module"]

Upto = str | int | Sequence[str | int] | None
"""Name or index of an output, or several of them to be joined."""


class Wanted(NamedTuple):
    """Part of a module: up to an output or what a module inside returns, from what another module inside returns."""

    upto: Upto = None
    after: str | None = None


def has_forward(module: Any) -> bool:
    """False for a ModuleList, or a class that only holds its modules."""
    nn = sys.modules["torch"].nn
    return getattr(type(module), "forward", None) is not nn.Module.forward or "forward" in vars(module)


def read_module(module: Any, *, example: Any, wanted: Wanted, ignore: Sequence[str], compare: bool) -> Model:
    """Trace a module with random samples, read the graph, and compare the model with the module.

    Parameters
    ----------
    example
        Arguments that the user gives; None to find some.
    wanted
        Part of the module to read.
    ignore
        Names of parameters or modules that forward does not use.
    compare
        True to run the module and compare.

    Raises
    ------
    UnsupportedError
        forward cannot be traced or read, or the model computes something else.
    InputError
        No arguments are found, or several kinds that give different networks.
    """
    torch: Any = sys.modules["torch"]  # imported already if a module object exists
    _check_modules(torch, module)
    module = without_reparametrizations(module)
    try:
        read = _found(torch, module, example, wanted)
    except (UnsupportedError, InputError) as refusal:
        raise type(refusal)(_forgotten(torch, module, example, wanted) or str(refusal)) from None
    _check_unused(module, read, ignore)
    _check_start(module, read)
    if compare:
        check(torch, module, read)
        check_attributes(torch, module, read)
    return read.model


def _found(torch: Any, module: Any, example: Any, wanted: Wanted) -> Read:
    """Read a module by the arguments given, or found."""
    if example is not None:
        return _read(torch, module, given_call(torch, module, example), wanted)
    calls = calls_of(torch, module)
    _check_single(torch, module, calls[0])
    try:
        return _read(torch, module, calls[0], wanted)
    except UnsupportedError as refusal:
        others = [*narrow(torch, module, calls[0]), *calls[1:]]
        raise _with_others(torch, module, others, wanted, refusal) from None


def _forgotten(torch: Any, module: Any, example: Any, wanted: Wanted) -> str:
    """Message about a batch_first that was forgotten, if the module can be read with the other one; else empty."""
    parts = {path: each.batch_first for path, each in module.named_modules() if isinstance(each, torch.nn.RNNBase)}
    for flag, axis, other in ((False, "first", "second"), (True, "second", "first")):
        paths = [path for path, batch_first in parts.items() if batch_first is flag]
        turned = copied(module)
        for path in paths:
            turned.get_submodule(path).batch_first = not flag
        try:
            if not paths:
                continue
            check(torch, turned, _found(torch, turned, example, wanted))
        except EdgeRnnError:
            continue
        named = " and ".join(f"nn.{type(module.get_submodule(path)).__name__} {path!r}" for path in paths)
        takes = "forward or example= takes" if example is not None else "forward takes"
        return (
            f"from_torch: {named} runs along the {axis} axis, as batch_first={flag} says, and {takes} the {other} one "
            f"for time; it can be read with batch_first={not flag}. If it was trained as it is, it learned across the "
            f"sequences of a batch: train it again with batch_first={not flag}."
        )
    return ""


def _check_single(torch: Any, module: Any, call: Call) -> None:
    """Ask for an example where recurrent parts over sequences run on a sample without axes: these may be steps."""
    shape = call.samples.sized(call.sizes[0])
    if len(shape) == 1 and any(isinstance(each, torch.nn.RNNBase) for each in module.modules()):
        raise InputError(
            f"from_torch: forward runs on one sample of the shape {shape}, and may take sequences as well; say which "
            f"by example=torch.zeros{shape} or example=torch.zeros(5, {shape[0]}), with its states if it takes some."
        )


def _check_modules(torch: Any, module: Any) -> None:
    """Refuse modules that compute something else in training than in use, and those that cannot be traced."""
    nn = torch.nn
    if isinstance(module, torch.jit.ScriptModule):
        raise UnsupportedError(
            "from_torch cannot trace TorchScript; pass the module that it was made of, or its state_dict."
        )
    for path, each in module.named_modules():
        label = f"nn.{type(each).__name__} {path!r}" if path else f"nn.{type(each).__name__}"
        if isinstance(each, nn.modules.lazy.LazyModuleMixin) and each.has_uninitialized_params():
            raise UnsupportedError(f"from_torch cannot read {label}: it has no weights yet; call the module once.")
        if isinstance(each, nn.Embedding) and each.max_norm is not None:
            raise UnsupportedError(
                f"from_torch cannot read {label}: max_norm={each.max_norm} changes the table in forward; set it to "
                f"None after training."
            )
        dropout = isinstance(each, nn.modules.dropout._DropoutNd) and each.p > 0
        dropout |= isinstance(each, nn.RNNBase) and each.dropout > 0 and each.num_layers > 1
        if each.training and (dropout or isinstance(each, nn.modules.batchnorm._BatchNorm)):
            does = "drops values" if dropout else "takes the mean over a batch"
            raise UnsupportedError(
                f"from_torch cannot read {label}: it {does} in training; call .eval() on the module first."
            )


def _check_unused(module: Any, read: Read, ignore: Sequence[str]) -> None:
    """Check that forward does not read the parameters that the user says to ignore."""
    known = [name for name, _ in (*module.named_parameters(), *module.named_buffers())]
    for wanted in ignore:
        inside = [name for name in known if name == wanted or name.startswith(f"{wanted}.")]
        taken = sorted(read.program.used.intersection(inside))
        if not inside or taken:
            problem = f"but {taken[0]!r} is used" if taken else "which does not exist"
            raise InputError(f"from_torch ignore names {wanted!r}, {problem}; remove it from ignore=.")


def _check_start(module: Any, read: Read) -> None:
    """Check that buffers that hold states are zero, as states at the start of a stream are."""
    held = {**dict(module.named_buffers()), **dict(in_use(module).named_buffers())}
    for name, _, _ in read.program.kept:
        if held[name].any():
            raise UnsupportedError(
                f"from_torch: forward updates {name!r}, which is not zero but holds the state of an earlier call; set "
                f"it to zero, as it is at the start of a stream."
            )


def _with_others(torch: Any, module: Any, calls: list[Call], wanted: Wanted, refusal: UnsupportedError) -> EdgeRnnError:
    """Return the refusal, with the layout of samples that can be read, if there is one."""
    for call in calls:
        try:
            check(torch, module, _read(torch, module, call, wanted))
        except EdgeRnnError:
            continue
        shape = call.samples.sized(call.sizes[0])
        made = f"example=torch.zeros{shape}" + (".long()" if call.samples.symbols else "")
        return UnsupportedError(f"{refusal} If it takes samples of the shape {shape}, pass {made}.")
    return refusal


def _read(torch: Any, module: Any, call: Call, wanted: Wanted) -> Read:
    """Read the network with the lengths of the call; two sets of lengths must give the same model."""
    first = _once(torch, module, call, call.sizes[0], wanted)
    if not call.samples.is_open:
        call = _opened_before(torch, module, call) if wanted.after else _opened(torch, module, call, first)
    if len(call.sizes) == 1:
        return replace(first, call=call)
    second = _once(torch, module, call, call.sizes[1], wanted)
    if first.model.fingerprint != second.model.fingerprint:
        raise UnsupportedError(
            f"from_torch: {type(module).__name__}.forward computes something else for sequences or batches of another "
            f"length, which a stream cannot."
        )
    return second


def _once(torch: Any, module: Any, call: Call, sizes: Mapping[str, int], wanted: Wanted) -> Read:
    program = traced(torch, module, call.made(torch, sizes))
    upto, after = wanted
    begin = None if after is None else _module_named(program, "after", after)
    name: str | list[str] | None
    inside = ""
    if isinstance(upto, tuple | list):
        name = [_output_named(program, each) for each in upto]
    elif isinstance(upto, str) and upto not in program.outputs and program.modules.get(upto):
        name, inside = program.modules[upto], upto
    else:
        name = None if upto is None else _output_named(program, upto)
    reading = read_graph(program.graph, name, {}, after=begin, ordered=True)
    return Read(program, reading, call, inside, after or "")


def _module_named(program: Program, argument: str, wanted: Any) -> str:
    """Name of the value that a module returns."""
    if not isinstance(wanted, str):
        raise InputTypeError(f"from_torch {argument} got {wanted!r}, expected the name of a module.")
    if not wanted or wanted not in program.modules:
        modules = ", ".join(repr(each) for each in program.modules if each)
        raise InputError(f"from_torch {argument} got {wanted!r}, expected one of the modules {modules}.")
    return program.modules[wanted]


def _output_named(program: Program, upto: Any) -> str:
    """Name of the output that a name or an index stands for."""
    if isinstance(upto, bool) or not isinstance(upto, str | int):
        raise InputTypeError(f"from_torch upto got {upto!r}, expected the name or the index of an output.")
    names = program.outputs
    if isinstance(upto, int) and -len(names) <= upto < len(names) and names[upto]:
        return names[upto]
    if upto in names and upto:
        return str(upto)
    heads, modules = (", ".join(repr(each) for each in found if each) for found in (names, program.modules))
    raise InputError(f"from_torch upto got {upto!r}, expected one of the outputs {heads}, or of the modules {modules}.")


def _opened(torch: Any, module: Any, call: Call, read: Read) -> Call:
    """Call with other lengths of steps and batch than those of the example, if the module runs with these."""
    axes = axes_of(read.reading)
    lengths = {"t": 0, "b": 0}
    for role, length in zip(axes.samples, call.samples.shape, strict=True):
        if role in lengths:
            lengths[role] = int(length)
    names = {"t": "a", "b": "b"}
    shape = tuple(names.get(role, length) for role, length in zip(axes.samples, call.samples.shape, strict=True))

    def opened(tree: Any) -> Any:
        if isinstance(tree, tuple):
            return tuple(opened(each) for each in tree)
        if isinstance(tree, Leaf) and lengths["b"] > 1 and tree.shape.count(lengths["b"]) == 1:
            return replace(tree, shape=tuple("b" if each == lengths["b"] else each for each in tree.shape))
        return tree

    args = (replace(call.samples, shape=shape), *(opened(each) for each in call.args[1:]))
    known = {"a": lengths["t"], "b": lengths["b"]}
    for more in ({"a": 3, "b": 2}, {"a": 3, "b": 0}, {"a": 0, "b": 2}):
        other = {name: length + more[name] if length else 0 for name, length in known.items()}
        found = Call(args, (known, other))
        if other != known and runs(torch, module, found, other):
            return found
    return call


def _opened_before(torch: Any, module: Any, call: Call) -> Call:
    """Call with other lengths than those of the example, if what is before the network runs with these.

    That part is not read, so that the axes of its samples are unknown: all are tried, together or one by one.
    """
    lengths = {f"axis {place}": int(length) for place, length in enumerate(call.samples.shape)}

    def opened(names: Collection[str]) -> Call:
        shape = tuple(name if name in names else length for name, length in lengths.items())
        sizes = ({name: lengths[name] for name in names}, {name: 2 * lengths[name] + 3 for name in names})
        return Call((replace(call.samples, shape=shape), *call.args[1:]), sizes)

    alone = [name for name in lengths if runs(torch, module, (one := opened([name])), one.sizes[1])]
    for names in (alone, *([name] for name in alone)):
        found = opened(names)
        if names and runs(torch, module, found, found.sizes[1]):
            return found
    return call
