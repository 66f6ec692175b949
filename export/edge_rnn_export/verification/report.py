"""What a comparison of reference, Stream and onnxruntime found."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge_rnn.spelling import counted

__all__ = ["Cost", "Deviation", "Report", "Rounding"]


_SLOWER = 0.95
"""Below so many times as quick a graph is called slower; what is nearer to 1 may be the machine."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far the three are apart in one output or state, over all steps.

    Parameters
    ----------
    name
        ``"y"``, or a state: ``"gru1.h"``.
    peak
        Largest absolute value that the reference gave.
    tolerance
        What the channel ``channel`` may differ by: the report's tolerance, times what the channel's values are made of.
    reference_vs_stream, reference_vs_onnx, stream_vs_onnx
        Largest absolute differences of runs, over all channels. Of a graph that rounds vectors to 8 bits the second is
        that of single steps, from the reference that rounds them too, and the third, which rounding makes, is not
        judged.
    share
        Largest difference, of runs or single steps, as a share of its own channel's tolerance: the value has passed up
        to 1.
    channel
        Index of the output or unit that this is in.
    step_stream, step_onnx
        Largest absolute differences of single steps from the reference's from the same states.
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
        """Whether all differences are within the tolerances of their channels."""
        return self.share <= 1  # NaN is not


@dataclass(frozen=True, slots=True)
class Rounding:
    """How far rounding carries one output or state, over all steps, the state carried: relative root mean squares.

    Parameters
    ----------
    name
        ``"y"``, or a state.
    onnx
        The graph from the reference with the same weights: what rounding vectors does, or float32 alone.
    stream
        Stream from the same: the model with these formats, in its own arithmetic.
    total
        The graph from the model whose weights were not rounded; None where nobody knows that one.
    """

    name: str
    onnx: float
    stream: float
    total: float | None


@dataclass(frozen=True, slots=True)
class Cost:
    """A graph of smaller formats beside one of float32, measured in turn on this machine.

    Each has the caches to itself while it is measured. In a program that does something else between two steps, the
    larger one loses more.

    Parameters
    ----------
    ns, float32_ns
        Time of a step: the least over many short batches. Of a graph of sequences, a step of a call of ``steps``.
    nbytes, float32_nbytes
        Of the files.
    steps
        In a call.
    """

    ns: float
    float32_ns: float
    nbytes: int
    float32_nbytes: int
    steps: int

    @property
    def speedup(self) -> float:
        """How many times as quick it is."""
        return self.float32_ns / self.ns

    @property
    def shrinkage(self) -> float:
        """How many times smaller the file is."""
        return self.float32_nbytes / self.nbytes

    def __str__(self) -> str:
        what = "a step" if self.steps == 1 else f"a step, {self.steps} in a call"
        quick = f"{self.speedup:.2f} times as quick"
        if self.speedup < _SLOWER:
            quick = f"SLOWER here, {quick}"
        return (
            f"bytes  {self.nbytes:,}, in float32 {self.float32_nbytes:,}: {self.shrinkage:.2f} times smaller\n"
            f"time   {self.ns / 1000:.1f} µs {what}, in float32 {self.float32_ns / 1000:.1f} µs: {quick}"
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What :func:`~edge_rnn_export.verify` found.

    Parameters
    ----------
    steps
        How many steps were taken, the state carried from each to the next.
    deviations
        Of the output ``y`` and of each state.
    drift
        By how much the reference moves over these steps when it is computed in float32, relative to what each channel's
        values are made of: what no float32 program can avoid.
    tolerance
        What runs may differ by: 16 times the drift, 1e-5 at least. For each channel it is multiplied by what the
        channel's values are made of.
    step_tolerance
        Likewise, what single steps from the same states may differ by: 1e-5, or up to 1e-3 where one step in float32
        differs by more than a sixteenth of that.
    along
        Over how many steps runs were compared; single steps over all.
    mismatches
        What the file says of itself that is not so of the model, a sentence each.
    notes
        What could not be compared, a sentence each.
    rounding
        How far rounding carries output and states of a graph of smaller formats; empty for one of float32.
    single_steps
        Whether onnxruntime was compared in single steps alone, as vectors are rounded.
    cost
        Size and time of a graph of smaller formats, measured by :func:`~edge_rnn_export.to_onnx`; else None.
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
        """The largest of the three."""
        return float(np.max([self.reference_vs_stream, self.reference_vs_onnx, self.stream_vs_onnx]))

    @property
    def drift_of_rounding(self) -> float:
        """The largest of :attr:`rounding`'s ``onnx``; 0 for a graph of float32."""
        return max((each.onnx for each in self.rounding), default=0.0)

    @property
    def passed(self) -> bool:
        """Whether output and states are all within their tolerances, and the file says that it is of this model."""
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
            f"over {counted(self.along, 'step')} float32 itself drifts by {self.drift:.1e} of what values are made of",
        ]
        if self.rounding:
            lines += ["", "what rounding does over these steps, state carried, as relative RMS", ""]
            lines.append(f"{'':{width}}     ONNX   Stream  ONNX from float32 weights")
            for row in self.rounding:
                total = "" if row.total is None else f"{row.total:25.1e}"
                lines.append(f"{row.name:{width}}  {row.onnx:7.1e}  {row.stream:7.1e}  {total}".rstrip())
        if self.cost:
            lines += ["", *str(self.cost).splitlines()]
        lines += [f"FAILED: {mismatch}" for mismatch in self.mismatches]
        lines += [f"Note: {note}" for note in self.notes]
        return "\n".join(lines)
