"""Fit of a model to a board: memory, and the estimated step time, without access to the board."""

from __future__ import annotations

from dataclasses import dataclass

from edge_rnn.boards.fitting.memory import Way, ways
from edge_rnn.boards.fitting.program import program
from edge_rnn.boards.fitting.step_time import Estimate, step_time
from edge_rnn.boards.profile import Device
from edge_rnn.errors import EdgeRnnError
from edge_rnn.formats import uniform
from edge_rnn.model import Model
from edge_rnn.quantization.apply import quantize

__all__ = ["FORMATS", "TIME_SHARE", "Estimate", "Fit", "Way", "fit", "remedies"]

TIME_SHARE = 0.5
"""Maximum share of the sample period that the slowest estimate of a step may take: the safety margin."""

FORMATS = uniform()
"""Matrix formats that are tried if a model does not fit."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Resources that a model needs on a board.

    Parameters
    ----------
    device
        The board.
    format
        Format of the matrices, such as ``"int8"``; empty for the model as it is.
    weight_bytes, state_bytes
        Packed weights and records, shared by all streams; and memory of each stream.
    code_bytes
        Machine code and its constants, compiled for the board.
    ways
        Ways to run the model, with the memory that each takes.
    estimate
        Estimated step time.
    rate_hz
        Required sample rate; None if none is known.
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
        """True if at least one way to run the model takes no more than half of the board's memory."""
        return any(way.fits for way in self.ways)

    @property
    def highest_rate_hz(self) -> float:
        """Highest sample rate that leaves the safety margin."""
        return TIME_SHARE * 1e9 / self.estimate.slow_ns

    @property
    def fits_rate(self) -> bool:
        """True if the slowest estimate of a step takes at most half of the sample period."""
        return self.rate_hz is None or self.rate_hz <= self.highest_rate_hz

    @property
    def fits(self) -> bool:
        """True if memory and time suffice."""
        return self.fits_memory and self.fits_rate


def fit(model: Model, device: Device, rate_hz: float | None = None) -> Fit:
    """Compute what a model needs on a board, and whether it fits.

    Parameters
    ----------
    model
        A network, with matrices in any format.
    device
        Profile from :func:`edge_rnn.boards.load`.
    rate_hz
        Sample rate; by default the model's own. Without either, time is not judged.

    Raises
    ------
    CompileError
        Numba, which compiles the kernels, is not installed.
    UnsupportedError
        The model has a layer without a kernel.
    """
    return _fit(model, device, rate_hz, "")


def remedies(model: Model, device: Device, rate_hz: float | None = None) -> tuple[Fit, ...]:
    """Compute the fit of the model with all matrices in each of :data:`FORMATS`.

    The loss of accuracy is a separate question, which :func:`edge_rnn.quantization.shrink` answers with a recording.
    """
    found = []
    for name in FORMATS:
        try:
            smaller = quantize(model, name)
        except EdgeRnnError:  # a matrix cannot be stored in this format
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
