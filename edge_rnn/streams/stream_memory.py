"""Memory of a stream, in the layout that compiled code expects."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_rnn.kernels.entry import object_cache, programs
from edge_rnn.kernels.program.record import FREE, Handle, Policy
from edge_rnn.model import Model
from edge_rnn.streams.plan import Plan, aligned
from edge_rnn.streams.planner import plan_of
from edge_rnn.typing import F32

__all__ = ["StreamMemory", "generic_functions", "stream_memory"]


@dataclass(frozen=True, slots=True, eq=False)
class StreamMemory:
    """Arrays whose addresses a handle holds; every user of the handle keeps this object alive."""

    plan: Plan
    functions: NDArray[np.int64]
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
        return replace(self, handle=handle, address=handle.ctypes.data)

    def take_over(self, inside: StreamMemory) -> None:
        """Take over parity and rejected samples of the handle that :meth:`inside` returned."""
        for word in (Handle.PARITY, Handle.REFUSED):
            self.handle[word] = inside.handle[word]


def stream_memory(model: Model, policy: Policy) -> StreamMemory:
    """Allocate the memory of a new stream and fill in its handle."""
    plan = plan_of(model)
    program = programs.ready(plan.structure)
    functions = np.empty(0, np.int64) if program else generic_functions(plan)
    handle = np.zeros(len(Handle), np.int64)
    y = np.zeros(model.output_size, np.float32)[:]  # a view, which cannot be resized
    memory = StreamMemory(plan, functions, aligned(plan.arena_floats), handle, handle.ctypes.data, y)
    words = plan.words | {
        **(program or programs.generic()),
        Handle.FUNCTIONS: 0 if program else functions.ctypes.data,
        Handle.RECORDS_EVEN: plan.records.ctypes.data,
        Handle.RECORDS_ODD: plan.records[1:].ctypes.data,
        Handle.WEIGHTS: plan.weights.ctypes.data,
        Handle.ARENA: memory.arena.ctypes.data,
        Handle.POLICY: policy,
    }
    for word, value in words.items():
        handle[word] = value
    return memory


def generic_functions(plan: Plan) -> NDArray[np.int64]:
    """Addresses of the functions of a plan's operations, which serve models of any size."""
    return np.array([object_cache.load(name).address for name in plan.operations], np.int64)
