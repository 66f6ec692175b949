"""Trace a module's ``forward`` with torch.export."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, suppress
from io import StringIO
from typing import Any

from edge_rnn.errors import EdgeRnnError, UnsupportedError
from edge_rnn_export.readers.torch.movement import RAW
from edge_rnn_export.readers.torch.operators import OPERATORS
from edge_rnn_export.readers.torch.program import Program, graph_of
from edge_rnn_export.readers.torch.reparametrized import copied
from edge_rnn_export.readers.torch.writer import READER

__all__ = ["in_use", "traced"]


def in_use(module: Any) -> Any:
    """Copy of a module on the CPU, in eval mode and float32; tensors in plain attributes become buffers.

    An attribute may hold a state, and torch.export follows only that of a buffer.
    """
    fresh = copied(module).cpu().eval().requires_grad_(False)
    for part in fresh.modules():
        for name, value in list(vars(part).items()):
            if hasattr(value, "detach"):
                delattr(part, name)
                part.register_buffer(name, value.detach().cpu(), persistent=False)
    return fresh.float()


def traced(torch: Any, module: Any, args: Sequence[Any]) -> Program:
    """Return the graph of ``module.forward(*args)``.

    Parameters
    ----------
    module
        A module in eval mode; a copy of it is traced.
    args
        Arguments: tensors, None, and tuples of tensors.

    Raises
    ------
    UnsupportedError
        torch.export cannot trace forward, for control flow that depends on numbers, or forward draws random numbers.
    """
    title = f"{type(module).__name__}.forward"
    with torch.no_grad(), warnings.catch_warnings(), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        try:
            exported = torch.export.export(in_use(module), tuple(args), strict=False)
            program = None if _is_mutated(exported) else graph_of(torch, exported, OPERATORS, RAW, title)
            if program is None or program.unknown:
                exported = exported.run_decompositions({})
                program = graph_of(torch, exported, OPERATORS, RAW, title)
            if program.unknown:
                known = torch.export.default_decompositions()
                split = {target: known[target] for target in program.unknown if target in known}
                if split:
                    program = graph_of(torch, exported.run_decompositions(split), OPERATORS, RAW, title)
        except EdgeRnnError:
            raise
        except Exception as error:  # torch.export raises exceptions of many kinds, and forward any
            if _packs(torch, module, args):
                raise UnsupportedError(
                    f"{READER} cannot read {title}: it packs sequences, which have lengths of their own; a stream has "
                    f"none. Pass the module without pack_padded_sequence."
                ) from None
            raise UnsupportedError(_refusal(title, error)) from None
        return program


def _is_mutated(exported: Any) -> bool:
    """True if an operator writes into its arguments."""
    called = [node.target for node in exported.graph.nodes if node.op == "call_function"]
    return any(target._schema.is_mutable for target in called if hasattr(target, "_schema"))


def _refusal(title: str, error: Exception) -> str:
    """Sentence about a forward that cannot be traced."""
    kind = type(error).__name__
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), kind)[:200].rstrip(".")
    if "data-dependent" in text.lower() or "DataDependent" in kind or "GuardOnData" in kind:
        return (
            f"{READER} cannot read {title}: what it computes depends on the values of tensors, by an if or an int() "
            f"of one ({text}). Write that part without it."
        )
    return (
        f"{READER} cannot trace {title}: torch.export says {kind}, {text!r}. Rewrite that part of forward, or, if it "
        f"is a chain, name its modules in order of use in modules=."
    )


def _packs(torch: Any, module: Any, args: Sequence[Any]) -> bool:
    """True if a recurrent module gets a packed sequence."""
    found: list[bool] = []

    def look(_: Any, given: tuple[Any, ...]) -> None:
        found.append(isinstance(given[0], torch.nn.utils.rnn.PackedSequence))

    fresh = in_use(module)
    for each in fresh.modules():
        if isinstance(each, torch.nn.RNNBase):
            each.register_forward_pre_hook(look)
    with suppress(Exception):  # forward is user code: it may raise anything
        fresh(*args)
    return any(found)
