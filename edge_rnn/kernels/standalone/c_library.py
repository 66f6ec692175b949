"""A whole network as one module of machine code with a plain C interface, for boards without Numba or without Python.

The kernels are those of the runtime, called by name; what surrounds them is :mod:`edge_rnn.kernels.program.policy`
again, but the handle is a function's own and dissolves into constants. All that changes lies in memory that the caller
owns, and no address is kept in it: it may be copied as bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.standalone.c_layout import Layout

__all__ = ["FUNCTIONS", "compile_library"]

FUNCTIONS = ("state_bytes", "reset", "step", "run", "save", "restore", "set_policy", "refused", "self_test")
"""C functions of a library, each behind the library's name and ``_``."""


def compile_library(name: str, layout: Layout, texts: Mapping[str, str], target: Target) -> tuple[str, bytes]:
    """The library of a network.

    Parameters
    ----------
    name
        What the names of C functions begin with.
    layout
        The network.
    texts
        C strings by the name that they are seen under.
    target
        CPU to compile for.

    Returns
    -------
    The optimized LLVM module as text, to be looked at, and a relocatable object.

    Raises
    ------
    CompileError
        The code is not self-contained.
    """
    from edge_rnn.kernels.compile.compiler import compile_module
    from edge_rnn.kernels.standalone.c_functions import c_functions

    functions = {kernel: object_cache.function_of(kernel, target) for kernel in dict.fromkeys(layout.operations)}
    functions |= {f"{name}_{key}": value for key, value in c_functions(name, layout).items()}
    constants = {
        "weights": layout.weights,
        "records": layout.records,
        "initial": layout.initial,
        "kept": layout.kept,
        "test_x": layout.test_x,
        "test_y": layout.test_y,
    }
    lines = [_definition(key, array.tobytes(), 64) for key, array in constants.items()]
    lines += [_definition(key, text.encode() + b"\0", 1) for key, text in texts.items()]
    exports = (*(f"{name}_{key}" for key in FUNCTIONS), *texts)
    machine = target.machine()
    module = compile_module(functions, exports, "\n".join(lines), target, machine)
    return str(module), bytes(machine.emit_object(module))


def _definition(name: str, data: bytes, alignment: int) -> str:
    """LLVM text of a constant."""
    escaped = "\\" + data.hex("\\") if data else ""
    return f'@{name} = constant [{len(data)} x i8] c"{escaped}", align {alignment}'
