"""Estimate of the step time on a board, by the best method that the installed tools allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_rnn.boards.fitting import counting, pipeline, roofline
from edge_rnn.boards.fitting.architecture import architecture
from edge_rnn.boards.fitting.listing import Listing, listing
from edge_rnn.boards.fitting.program import Program
from edge_rnn.boards.fitting.reading import reading
from edge_rnn.boards.fitting.trace import Block, image, trace
from edge_rnn.boards.fitting.vex import without_vectors
from edge_rnn.errors import UnsupportedError
from edge_rnn.model import Model

__all__ = ["METHODS", "Estimate", "Method", "step_time"]


@dataclass(frozen=True, slots=True)
class Method:
    """Method of estimating the step time.

    Parameters
    ----------
    name
        ``"pipeline"``, ``"counts"`` or ``"roofline"``.
    how
        Short description.
    low, high
        Smallest and largest ratio of measured to estimated time in the validation; see :data:`METHODS`.
    """

    name: str
    how: str
    low: float
    high: float


METHODS = {
    method.name: method
    for method in (
        Method("pipeline", "the board's code run in an emulator, its instructions timed by llvm-mca", 0.45, 1.6),
        Method("counts", "the board's code run in an emulator, its instructions counted", 0.5, 2.4),
        Method("roofline", "loads and multiply-adds at the board's rates, without running code", 0.5, 2.2),
    )
}
"""Methods, the best one first. ``tests/benchmarks/fit_error.py`` validates each of them: 24 networks, from Elman (1,8)
to LSTM (128,512), compiled for three kinds of x86-64 and run on a Sapphire Rapids. No other processor was measured."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimated step time.

    Parameters
    ----------
    ns
        Estimated step time in a compiled loop, without the cost of a call from Python.
    method
        Method, with its error in the validation.
    instructions
        Instructions per step; None if no code was run.
    stack_bytes
        Stack use of a step; None if no code was run.
    weights_in
        Memory that the weights are read from in each step.
    compute_cycles, read_cycles
        Cycles of the instructions alone, and of reading the weights.
    why_not
        Reason why each better method was not used.
    """

    ns: float
    method: Method
    instructions: int | None
    stack_bytes: int | None
    weights_in: str
    compute_cycles: float
    read_cycles: float
    why_not: tuple[str, ...]

    @property
    def slow_ns(self) -> float:
        """Step time if the estimate is too low by the largest factor seen in the validation."""
        return self.ns * self.method.high


def step_time(program: Program, model: Model, methods: Sequence[str] = tuple(METHODS)) -> Estimate:
    """Estimate the step time by the first of ``methods`` that is available.

    Raises
    ------
    UnsupportedError
        None of them is available.
    """
    device, reasons = program.device, []
    ran: _Ran | None = None
    for name in methods:
        instructions = None
        try:
            if name == "roofline":
                compute = roofline.cycles(program, model)
            else:
                ran = ran or _run(program)
                counted, instructions = counting.cycles(device, ran.known, ran.executed)
                compute = pipeline.cycles(device, ran.known, ran.executed) if name == "pipeline" else counted
        except UnsupportedError as error:
            reasons.append(str(error))
            continue
        where, read = reading(device, program.weight_bytes)
        # An out-of-order core overlaps reading and computing.
        cycles = max(compute, read) if device.out_of_order else compute + read
        return Estimate(
            ns=cycles / device.clock_hz * 1e9,
            method=METHODS[name],
            instructions=instructions,
            stack_bytes=ran.stack_bytes if ran else None,
            weights_in=where,
            compute_cycles=compute,
            read_cycles=read,
            why_not=tuple(dict.fromkeys(reasons)),
        )
    raise UnsupportedError(f"the step time on {device.name} cannot be estimated: {'; '.join(reasons)}")


@dataclass(frozen=True, slots=True, eq=False)
class _Ran:
    known: Listing
    executed: list[Block]
    stack_bytes: int


def _run(program: Program) -> _Ran:
    architecture(program.device.triple)  # fails first with a clear message if the architecture is unsupported
    loaded = image(program)
    known = listing(program, loaded)
    if program.device.triple.startswith("x86_64"):
        loaded = replace(loaded, text=without_vectors(loaded.text, known))
    executed, stack_bytes = trace(program, loaded)
    return _Ran(known, executed, stack_bytes)
