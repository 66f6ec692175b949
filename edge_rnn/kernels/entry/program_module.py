"""Compilation of a structure's step, with what else belongs into the same module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge_rnn.kernels.compile.compiler import compile_module, definition
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.program.fixed import inlined
from edge_rnn.kernels.program.structure import Structure

__all__ = ["compile_program"]

_UNROLLED_ROWS = 32
"""Most rows of a matrix product whose loops are unrolled: up to 1.4 times faster, but slower from 40 rows on."""


def compile_program(
    structure: Structure,
    functions: Mapping[str, tuple[Callable[..., Any], Any]],
    exports: Sequence[str],
    constants: Sequence[str],
    target: Target,
    machine: Any,
) -> Any:
    """Compile functions that step a structure to an optimized LLVM module.

    Parameters
    ----------
    structure
        The structure, whose kernels are added to the module.
    functions, exports
        As :func:`edge_rnn.kernels.compile.compiler.compile_module` takes them.
    constants
        Further constants of the module, as LLVM text.
    target, machine
        CPU to compile for, and its llvmlite machine.

    Raises
    ------
    CompileError
        The code is not self-contained.
    """
    kernels = {name: object_cache.function_of(name, target) for name in dict.fromkeys(structure.operations)}
    records = definition("records", structure.records.tobytes(), 64)
    return compile_module(
        {**kernels, **functions},
        exports,
        "\n".join([records, *constants]),
        target,
        machine,
        inlined=inlined(structure.operations),
        unrolled=target.has_vectors and structure.rows <= _UNROLLED_ROWS,
    )
