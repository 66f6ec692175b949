"""Memory of a stream, in the layout that compiled code expects."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from edge_rnn.errors import CompileError
from edge_rnn.kernels.entry import object_cache, programs
from edge_rnn.kernels.entry.python_function import data_address
from edge_rnn.kernels.program.record import FREE, Handle, Policy
from edge_rnn.layers import LAYER_TYPES, Layer
from edge_rnn.model import Model
from edge_rnn.streams.plan import Plan, aligned
from edge_rnn.streams.planner import layer_of, plan_of
from edge_rnn.typing import F32

__all__ = ["StreamMemory", "generic_functions", "stream_memory"]


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """Things that the streams of a plan share in addition to it.

    Parameters
    ----------
    handle
        ``(len(Handle),)``: handle of a stream, but for what belongs to the stream alone.
    functions
        Table of functions whose address the handle holds; empty if the streams step by the program of their structure.
    """

    handle: NDArray[np.int64]
    functions: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class StreamMemory:
    """Arrays whose addresses a handle holds; every user of the handle keeps this object alive."""

    plan: Plan
    shared: Shared
    arena: F32
    handle: NDArray[np.int64]
    address: int
    y: F32

    def take_program(self) -> None:
        """Step by the program of the model's structure from now on, if there is one; results stay the same."""
        if self.handle[Handle.FUNCTIONS] and (program := programs.ready(self.plan.structure)):
            for word, address in program.items():
                self.handle[word] = address

    def inside(self) -> StreamMemory:
        """Return the same memory under a handle that is not in use, for steps within a call that claimed the stream."""
        handle = self.handle.copy()
        handle[Handle.IN_USE] = FREE
        return replace(self, handle=handle, address=data_address(handle))

    def take_over(self, inside: StreamMemory) -> None:
        """Take over parity and rejected samples of the handle that :meth:`inside` returned."""
        for word in (Handle.PARITY, Handle.REFUSED):
            self.handle[word] = inside.handle[word]


def stream_memory(model: Model, policy: Policy) -> StreamMemory:
    """Allocate the memory of a new stream and fill in its handle."""
    plan = plan_of(model)
    try:
        shared = _shared_of(plan)
    except object_cache.NoCompilerError as error:
        if error.kernel not in plan.operations:
            raise
        raise _without_kernel(model, plan.operations.index(error.kernel)) from error
    handle, arena = shared.handle.copy(), aligned(plan.arena_floats)
    handle[Handle.ARENA], handle[Handle.POLICY] = data_address(arena), policy
    y = np.zeros(plan.last_output.size, np.float32)[:]  # a view, which cannot be resized
    return StreamMemory(plan, shared, arena, handle, data_address(handle), y)


_shared: WeakKeyDictionary[Plan, Shared] = WeakKeyDictionary()


def _shared_of(plan: Plan) -> Shared:
    """Return the things that the streams of a plan share, with its program as soon as there is one."""
    known = _shared.get(plan)
    if known and not known.functions.size:
        return known
    program = programs.ready(plan.structure)
    if known and not program:
        return known
    functions = np.empty(0, np.int64) if program else generic_functions(plan)
    handle = np.zeros(len(Handle), np.int64)
    words = plan.words | {
        **(program or programs.generic()),
        Handle.FUNCTIONS: 0 if program else data_address(functions),
        Handle.RECORDS_EVEN: data_address(plan.records),
        Handle.RECORDS_ODD: data_address(plan.records[1:]),
        Handle.WEIGHTS: data_address(plan.weights),
    }
    for word, value in words.items():
        handle[word] = value
    _shared[plan] = Shared(handle, functions)
    return _shared[plan]


def generic_functions(plan: Plan) -> NDArray[np.int64]:
    """Addresses of the functions of a plan's operations, which serve models of any size."""
    return np.array([object_cache.load(name).address for name in plan.operations], np.int64)


def _without_kernel(model: Model, operation: int) -> CompileError:
    """Error that names the layer of an operation whose function is missing."""
    layer = layer_of(model, operation)
    return CompileError(
        f"{layer.title} ({_described(layer)}) has no kernel in this installation, and there is no compiler to make "
        f"one: pip install 'edge-rnn[jit]'."
    )


def _described(layer: Layer) -> str:
    """Describe what a layer's kernel depends on: options, optional arrays, formats."""
    if layer.kind not in LAYER_TYPES:
        return "an equation"
    other = {f"{state}0" for state in layer.initial_state} | {"bias", "bias_ih", "bias_hh"}
    optional = (each.name for each in fields(layer) if each.default is None and each.name not in other)
    arrays = (name for name in optional if name in layer.arrays)
    options = (f"{name}={value!r}" for name, value in layer.options.items())
    formats = (f"{name} {matrix.format}" for name, matrix in layer.formats.items())
    return ", ".join((*options, *arrays, *formats)) or "no options"
