"""Whether a model fits a board: memory, and the time of a step before there is a board to measure it on."""

from __future__ import annotations

from dataclasses import dataclass

from edge_rnn.boards.fitting.memory import Way, ways
from edge_rnn.boards.fitting.program import program
from edge_rnn.boards.fitting.step_time import Estimate, step_time
from edge_rnn.boards.profile import Device
from edge_rnn.errors import EdgeRnnError
from edge_rnn.model import Model
from edge_rnn.quantization.apply import quantize

__all__ = ["FORMATS", "TIME_SHARE", "Estimate", "Fit", "Way", "fit", "remedies"]

TIME_SHARE = 0.5
"""How much of the time between two samples a step may take, its estimate taken at its worst: the safety margin."""

FORMATS = ("float16", "int8", "w8a8", "int4")
"""Formats of matrices that are tried where a model does not fit."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What a model takes on a board.

    Parameters
    ----------
    device
        The board.
    format
        Of the matrices: ``"int8"``; empty for the model as it is.
    weight_bytes, state_bytes
        Packed weights and records, shared by all streams; what each stream has for itself.
    code_bytes
        Machine code and its constants, compiled for the board.
    ways
        The ways to run it, and the memory that each takes.
    estimate
        How long a step takes, an estimate.
    rate_hz
        Samples a second that were asked for; None for none.
    """

    device: Device
    format: str
    weight_bytes: int
    state_bytes: int
    code_bytes: int
    ways: tuple[Way, ...]
    estimate: Estimate
    rate_hz: float | None

    @property
    def fits_memory(self) -> bool:
        """Whether there is a way to run it in half of the board's memory."""
        return any(way.fits for way in self.ways)

    @property
    def highest_rate_hz(self) -> float:
        """Samples a second that leave the safety margin."""
        return TIME_SHARE * 1e9 / self.estimate.slow_ns

    @property
    def fits_rate(self) -> bool:
        """Whether a step, at its worst estimate, takes at most half of the time between two samples."""
        return self.rate_hz is None or self.rate_hz <= self.highest_rate_hz

    @property
    def fits(self) -> bool:
        """Whether both memory and time are enough."""
        return self.fits_memory and self.fits_rate


def fit(model: Model, device: Device, rate_hz: float | None = None) -> Fit:
    """What a model takes on a board, and whether that is there.

    Parameters
    ----------
    model
        A network, its matrices in any formats.
    device
        From :func:`edge_rnn.boards.load`.
    rate_hz
        Samples a second; by default the model's own sample rate. Without either, time is not judged.

    Raises
    ------
    CompileError
        Numba is not there, without which nothing can be compiled.
    UnsupportedError
        The model holds a layer that edge_rnn has no kernel for.
    """
    return _fit(model, device, rate_hz, "")


def remedies(model: Model, device: Device, rate_hz: float | None = None) -> tuple[Fit, ...]:
    """The same for the model with all its matrices in each of :data:`FORMATS`.

    How much accuracy that costs is another question, which :func:`edge_rnn.quantization.shrink` answers by a recording.
    """
    found = []
    for name in FORMATS:
        try:
            smaller = quantize(model, name)
        except EdgeRnnError:  # a matrix that this format cannot hold
            continue
        found.append(_fit(smaller, device, rate_hz, name))
    return tuple(found)


def _fit(model: Model, device: Device, rate_hz: float | None, format_: str) -> Fit:
    compiled = program(model, device)
    estimate = step_time(compiled, model)
    return Fit(
        device=device,
        format=format_,
        weight_bytes=compiled.weight_bytes,
        state_bytes=compiled.state_bytes,
        code_bytes=compiled.code_bytes,
        ways=ways(compiled, estimate.stack_bytes),
        estimate=estimate,
        rate_hz=rate_hz if rate_hz is not None else model.sample_rate_hz,
    )
