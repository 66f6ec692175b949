"""Programs: the step of each model structure as code of its own, in which sizes and places are constants.

A program computes what the generic kernels compute, bit for bit, in the same memory, and small networks are up to a
third faster by it. It is kept in the cache like any other function. Compiling takes some seconds, so a stream does not
wait for it: without a program, the generic kernels step.
"""

from __future__ import annotations

import time
from functools import partial

from edge_rnn.kernels.compile.image import Image
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.program.record import Handle
from edge_rnn.kernels.program.structure import Structure

__all__ = ["generic", "make", "ready"]

_FUNCTIONS = ("step", "advance")
_AGAIN_SECONDS = 30.0
"""Pause between two looks for the same program, which another process may have compiled meanwhile."""

_missed: dict[str, float] = {}


def generic() -> dict[Handle, int]:
    """Words of a handle for the step that runs any model by its table of functions."""
    return {Handle.STEP: object_cache.load("step").address, Handle.ADVANCE: object_cache.load("advance").address}


def ready(structure: Structure) -> dict[Handle, int] | None:
    """Words of a handle for the structure's program; None if it is neither loaded nor cached."""
    now = time.monotonic()
    if now < _missed.get(structure, 0.0):
        return None
    found = object_cache.find(structure, _FUNCTIONS)
    if found is None:
        _missed[structure] = now + _AGAIN_SECONDS
        return None
    return {Handle.STEP: found.addresses["step"], Handle.ADVANCE: found.addresses["advance"]}


def make(structure: Structure) -> object_cache.Loaded:
    """Load the structure's program, after compiling it if it is not cached.

    Raises
    ------
    CompileError
        It cannot be compiled on this machine.
    """
    found = object_cache.load(structure, _FUNCTIONS, partial(_compiled, structure))
    _missed.pop(structure, None)
    return found


def _compiled(structure: Structure) -> Image:
    try:
        from edge_rnn.kernels.entry.program_module import compile_program
        from edge_rnn.kernels.program.fixed import fixed_functions
    except ModuleNotFoundError as error:
        raise object_cache.NoCompilerError(
            f"The program of a model has to be compiled, but {error.name} is not installed"
        ) from error
    from edge_rnn.kernels.compile.link import link

    cpu = object_cache.host()
    machine = cpu.machine()
    module = compile_program(structure, fixed_functions(structure), _FUNCTIONS, (), cpu, machine)
    return link([bytes(machine.emit_object(module))], cpu)
