"""Report on a comparison of reference, Stream and onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge_rnn.spelling import counted

__all__ = ["Cost", "Deviation", "Report", "Rounding"]


_SLOWER = 0.95
"""A speed-up below this is reported as slower; values closer to 1 are within measurement noise."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """Differences in one output or state, over all steps.

    Parameters
    ----------
    name
        ``"y"``, or a state such as ``"gru1.h"``.
    peak
        Largest absolute value of the reference.
    tolerance
        Allowed difference of the channel ``channel``: the report's tolerance times the channel's magnitude.
    reference_vs_stream, reference_vs_onnx, stream_vs_onnx
        Largest absolute differences of runs, over all channels. For a graph that rounds vectors to 8 bits, the second
        is that of single steps, from a reference that rounds them too, and the third, an effect of rounding, is not
        judged.
    share
        Largest difference, of runs or single steps, relative to its channel's tolerance: passed up to 1.
    channel
        Index of the output or unit with that difference.
    step_stream, step_onnx
        Largest absolute differences of single steps from the reference, from the same states.
    """

    name: str
    peak: float
    tolerance: float
    reference_vs_stream: float
    reference_vs_onnx: float
    stream_vs_onnx: float
    share: float
    channel: int
    step_stream: float
    step_onnx: float

    @property
    def passed(self) -> bool:
        """True if all differences are within the tolerances of their channels."""
        return self.share <= 1  # False for NaN


@dataclass(frozen=True, slots=True)
class Rounding:
    """Effect of rounding on one output or state, over all steps with carried state, as relative RMS.

    Parameters
    ----------
    name
        ``"y"``, or a state.
    onnx
        Difference of the graph from the reference with the same weights: the effect of rounding vectors, or of float32
        alone.
    stream
        Difference of Stream from the same: the model with these formats, in its own arithmetic.
    total
        Difference of the graph from the model with unrounded weights; None if that is not known.
    """

    name: str
    onnx: float
    stream: float
    total: float | None


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a graph in smaller formats and of its float32 version, measured in turn on this machine.

    Each has the caches to itself while it is measured. In a program that does other work between steps, the larger one
    loses more.

    Parameters
    ----------
    ns, float32_ns
        Step time: the minimum over many short batches. For a sequence graph, per step of a call of ``steps``.
    nbytes, float32_nbytes
        File sizes.
    steps
        Steps per call.
    """

    ns: float
    float32_ns: float
    nbytes: int
    float32_nbytes: int
    steps: int

    @property
    def speedup(self) -> float:
        """Speed-up: ratio of the float32 step time to this one."""
        return self.float32_ns / self.ns

    @property
    def shrinkage(self) -> float:
        """Ratio of the float32 file size to this one."""
        return self.float32_nbytes / self.nbytes

    def __str__(self) -> str:
        what = "per step" if self.steps == 1 else f"per step, {self.steps} per call"
        quick = f"speed-up {self.speedup:.2f}"
        if self.speedup < _SLOWER:
            quick = f"SLOWER on this machine, {quick}"
        return (
            f"bytes  {self.nbytes:,}, in float32 {self.float32_nbytes:,}: {self.shrinkage:.2f} times smaller\n"
            f"time   {self.ns / 1000:.1f} µs {what}, in float32 {self.float32_ns / 1000:.1f} µs: {quick}"
        )


@dataclass(frozen=True, slots=True)
class Report:
    """Result of :func:`~edge_rnn_export.verify`.

    Parameters
    ----------
    steps
        Number of steps, with the state carried from each to the next.
    deviations
        Differences of the output ``y`` and of each state.
    drift
        Difference of the reference computed in float32 from that in float64 over these steps, relative to each
        channel's magnitude: the part that no float32 program can avoid.
    tolerance
        Allowed difference of runs: 16 times the drift, at least 1e-5. It is multiplied by each channel's magnitude.
    step_tolerance
        Likewise, for single steps from the same states: 1e-5, or up to 1e-3 if one step in float32 differs by more than
        a sixteenth of that.
    along
        Number of steps over which runs were compared; single steps were compared over all.
    mismatches
        Statements of the file that contradict the model, one sentence each.
    notes
        Comparisons that were not possible, one sentence each.
    rounding
        Effect of rounding on output and states of a graph in smaller formats; empty for float32.
    single_steps
        True if onnxruntime was compared in single steps only, because vectors are rounded.
    cost
        Size and time of a graph in smaller formats, measured by :func:`~edge_rnn_export.to_onnx`; else None.
    """

    steps: int
    deviations: tuple[Deviation, ...]
    drift: float
    tolerance: float
    step_tolerance: float
    along: int
    mismatches: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    rounding: tuple[Rounding, ...] = ()
    single_steps: bool = False
    cost: Cost | None = field(default=None, compare=False)

    @property
    def reference_vs_stream(self) -> float:
        """Largest absolute difference of Stream from the reference, over outputs and states."""
        return float(np.max([each.reference_vs_stream for each in self.deviations]))

    @property
    def reference_vs_onnx(self) -> float:
        """Largest absolute difference of onnxruntime from the reference, over outputs and states."""
        return float(np.max([each.reference_vs_onnx for each in self.deviations]))

    @property
    def stream_vs_onnx(self) -> float:
        """Largest absolute difference of onnxruntime from Stream, over outputs and states."""
        return float(np.max([each.stream_vs_onnx for each in self.deviations]))

    @property
    def max_abs_error(self) -> float:
        """Largest of the three differences."""
        return float(np.max([self.reference_vs_stream, self.reference_vs_onnx, self.stream_vs_onnx]))

    @property
    def drift_of_rounding(self) -> float:
        """Largest ``onnx`` in :attr:`rounding`; 0 for a float32 graph."""
        return max((each.onnx for each in self.rounding), default=0.0)

    @property
    def passed(self) -> bool:
        """True if all outputs and states are within tolerance and the file declares this model."""
        return not self.mismatches and all(each.passed for each in self.deviations)

    def __str__(self) -> str:
        width = max(len(each.name) for each in self.deviations)
        lines = [f"{counted(self.along, 'step')}, largest absolute differences", ""]
        lines.append(f"{'':{width}}  reference-Stream  reference-ONNX  Stream-ONNX  of tolerance")
        for each in self.deviations:
            figures = f"{each.reference_vs_stream:16.1e}  {each.reference_vs_onnx:14.1e}  {each.stream_vs_onnx:11.1e}"
            share = f"{each.share:12.1%}" if each.share < 100 else f"{each.share:11.1e}x"
            verdict = "" if each.passed else f"  FAILED at index {each.channel}"
            lines.append(f"{each.name:{width}}  {figures}  {share}{verdict}")
        steps = [max(getattr(each, name) for each in self.deviations) for name in ("step_stream", "step_onnx")]
        lines += [
            "",
            f"single steps from the same states: Stream is off by {steps[0]:.1e}, ONNX by {steps[1]:.1e}",
            f"over {counted(self.along, 'step')} float32 itself drifts by {self.drift:.1e} of the values' magnitude",
        ]
        if self.rounding:
            lines += ["", "effect of rounding over these steps, with carried state, as relative RMS", ""]
            lines.append(f"{'':{width}}     ONNX   Stream  ONNX from float32 weights")
            for row in self.rounding:
                total = "" if row.total is None else f"{row.total:25.1e}"
                lines.append(f"{row.name:{width}}  {row.onnx:7.1e}  {row.stream:7.1e}  {total}".rstrip())
        if self.cost:
            lines += ["", *str(self.cost).splitlines()]
        lines += [f"FAILED: {mismatch}" for mismatch in self.mismatches]
        lines += [f"Note: {note}" for note in self.notes]
        return "\n".join(lines)
