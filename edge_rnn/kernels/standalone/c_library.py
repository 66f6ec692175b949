"""Compile a network to one module of machine code with a plain C interface, for boards without Numba or Python.

The kernels are those of the runtime, called by name. They use the same :mod:`edge_rnn.kernels.program.policy`, but with
a handle that is local to each function and is optimized into constants. All mutable data is in memory that the caller
owns; it holds no addresses, so it may be copied as bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.standalone.c_layout import Layout

__all__ = ["FUNCTIONS", "compile_library"]

FUNCTIONS = ("state_bytes", "reset", "step", "run", "save", "restore", "set_policy", "refused", "self_test")
"""C functions of a library, without the prefix: the library's name and ``_``."""


def compile_library(name: str, layout: Layout, texts: Mapping[str, str], target: Target) -> tuple[str, bytes]:
    """Compile the library of a network.

    Parameters
    ----------
    name
        Prefix of the names of C functions.
    layout
        The network.
    texts
        C strings by the name of their symbol.
    target
        CPU to compile for.

    Returns
    -------
    The optimized LLVM module as text, for inspection, and a relocatable object.

    Raises
    ------
    CompileError
        The code is not self-contained.
    """
    from edge_rnn.kernels.compile.compiler import definition
    from edge_rnn.kernels.entry.program_module import compile_program
    from edge_rnn.kernels.standalone.c_functions import c_functions

    functions = {f"{name}_{key}": value for key, value in c_functions(name, layout).items()}
    constants = {
        "weights": layout.weights,
        "initial": layout.initial,
        "kept": layout.kept,
        "test_x": layout.test_x,
        "test_y": layout.test_y,
    }
    lines = [definition(key, array.tobytes(), 64) for key, array in constants.items()]
    lines += [definition(key, text.encode() + b"\0", 1) for key, text in texts.items()]
    exports = (*(f"{name}_{key}" for key in FUNCTIONS), *texts)
    machine = target.machine()
    module = compile_program(layout.structure, functions, exports, lines, target, machine)
    return str(module), bytes(machine.emit_object(module))
