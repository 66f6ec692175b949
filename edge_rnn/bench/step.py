"""Benchmark of one model: its step from Python and in compiled code, and in other runtimes."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_rnn import plugins
from edge_rnn.errors import CompileError

if TYPE_CHECKING:
    from edge_rnn.model import Model
    from edge_rnn.timing import Chunks, Make
    from edge_rnn.typing import F32

__all__ = ["SEQUENCE", "measure", "set_up_rivals"]

RIVALS = "edge_rnn.bench"
"""Group of entry points ``rivals(model, *, litert=None) -> (list, dict)``; see :mod:`edge_rnn_export.rivals`."""

SEQUENCE = 1000
"""Steps of a whole sequence."""

_ROWS = 64  # samples that a loop repeats: as close in the caches as one that a sensor has just delivered
_CHECKED = 200
_TOLERANCE = 1e-4  # allows for float32 and other approximations of tanh; different weights differ by more
_RIVAL_CALLS = 1000

Rivals = tuple[list[Any], dict[str, str]]


def set_up_rivals(model: Model, litert: str | None) -> Rivals:
    """The same model, with float32 matrices, in other runtimes; and the reasons for missing ones, by name."""
    from edge_rnn.quantization.apply import dequantize

    rivals, missing = plugins.load_first(RIVALS)
    if rivals is None:
        return [], {"rivals": missing}
    found, reasons = rivals(dequantize(model), litert=litert)
    return list(found), dict(reasons)


def measure(model: Model, steps: int, rivals: Rivals | None = None, seconds: float = 0.3) -> dict[str, Any]:
    """Time a model's step.

    Parameters
    ----------
    steps
        Number of calls from Python that are timed individually, in whole passes over up to 1000 samples.
    rivals
        Result of :func:`set_up_rivals`.
    seconds
        Maximum time for each kind of step.

    Returns
    -------
    dict
        Times in ns per step: ``loop_ns_min`` and ``loop_ns_p50`` in the compiled loop of ``stream.run``, ``python_ns``
        of ``stream.step`` in a Python loop (without the loop itself), ``python_overhead_ns``, ``run_ns_100`` and
        ``run_ns_1000`` of whole calls of ``stream.run``, ``read_ns`` of a compiled loop that only reads the packed
        weights, ``roofline_fraction`` = ``read_ns / loop_ns_min``, ``step_ns_p50`` and so on of single calls.
        ``rivals``: a list, ``not_compared``: reasons by name.
    """
    from edge_rnn.recordings.random_samples import random_samples
    from edge_rnn.streams.compiled import warm_up
    from edge_rnn.streams.planner import plan_of
    from edge_rnn.streams.stream import Stream
    from edge_rnn.timing import calls, reads, runs, time_chunks, time_steps, turns

    with suppress(CompileError):  # without a compiler, streams step by the kernels that there are
        warm_up(model)
    stream = Stream(model)
    xs = random_samples(model, SEQUENCE)
    few, hundred = xs[:_ROWS], xs[:100]
    weights = plan_of(model).weights
    makes: dict[str, Make] = {
        "loop": runs(stream, xs),
        "python": calls(stream.step, few),
        "for": calls(None, few),
        "run_100": turns(lambda: stream.run(hundred)),
        "run_1000": turns(lambda: stream.run(xs)),
    }
    makes |= {"read": reads(weights)} if weights.size else {}
    chunks = time_chunks(makes, seconds=seconds)

    count = min(SEQUENCE, steps)
    rows = [few[i % _ROWS] for i in range(count)]
    called = time_steps({"step": stream.step}, rows, passes=-(-steps // count))["step"]
    loop, python = chunks["loop"], chunks["python"].ns - chunks["for"].ns
    memory, rate = stream.memory, model.sample_rate_hz
    return {
        "name": model.name,
        "multiply_adds": model.multiply_adds,
        "weight_bytes": memory.weights,
        "state_bytes": memory.state,
        "timed_steps": called.steps,
        **called.as_json("step_ns"),
        "clock_ns": round(called.clock, 1),
        "clock_tick_ns": called.tick,
        "histogram": {"edges_ns": called.histogram.edges_ns, "counts": called.histogram.counts},
        "loop_ns_min": round(loop.ns, 2),
        "loop_ns_p50": round(loop.p50, 2),
        "loop_batches": loop.kept or loop.taken,
        "loop_batches_disturbed": loop.taken - loop.kept,
        "loop_batch_steps": loop.steps,
        "python_ns": round(python, 2),
        "python_overhead_ns": round(python - loop.ns, 2),
        "run_ns_100": round(chunks["run_100"].ns / 100, 2),
        "run_ns_1000": round(chunks["run_1000"].ns / SEQUENCE, 2),
        **_roofline(chunks.get("read"), memory.weights, loop.ns),
        "sample_rate_hz": rate,
        "times_real_time": round(1e9 / (rate * max(loop.p50, 1e-3)), 1) if rate else None,
        **_against(model, xs, rivals or ([], {}), seconds),
    }


def _roofline(read: Chunks | None, weight_bytes: int, loop_ns: float) -> dict[str, float | None]:
    """Time of only reading the weights. A model without weights has no roofline."""
    if read is None or read.ns <= 0 or loop_ns <= 0:
        return {"read_ns": None, "bandwidth_gb_s": None, "roofline_fraction": None}
    return {
        "read_ns": round(read.ns, 2),
        "bandwidth_gb_s": round(weight_bytes / read.ns, 1),
        "roofline_fraction": round(read.ns / loop_ns, 3),
    }


def _against(model: Model, xs: F32, rivals: Rivals, seconds: float) -> dict[str, Any]:
    """Time the rivals that compute the same, in turn with the model; in a separate run, since they fill the caches."""
    from edge_rnn.streams.stream import Stream
    from edge_rnn.timing import calls, time_chunks, turns

    few = xs[:_ROWS]
    errors, not_compared = _compared(model, xs, rivals)
    equal = [rival for rival in rivals[0] if rival.name in errors]
    stream = Stream(model)
    makes = {"step": calls(stream.step, few), "run": turns(partial(stream.run, xs)), "for": calls(None, few)}
    for rival in equal:
        makes[f"step {rival.name}"] = calls(rival.start(), few)
        makes |= {f"run {rival.name}": turns(partial(rival.run, xs))} if rival.run else {}
    chunks = time_chunks(makes, seconds=seconds) if equal else {}
    return {
        "rivals": [_rival(rival, errors[rival.name], chunks, few) for rival in equal],
        "not_compared": not_compared,
    }


def _compared(model: Model, xs: F32, rivals: Rivals) -> tuple[dict[str, float], dict[str, str]]:
    """Largest error of each rival that computes the same, and the reason why any other is not compared, by name."""
    import numpy as np

    from edge_rnn.quantization.apply import dequantize
    from edge_rnn.streams.stream import Stream

    ours = Stream(dequantize(model)).run(xs)
    errors, not_compared = {}, dict(rivals[1])
    for rival in rivals[0]:
        step = rival.start()
        theirs = np.array([np.array(step(x)) for x in xs[:_CHECKED]])
        error = float(np.abs(theirs - ours[:_CHECKED]).max())
        if rival.run:
            error = max(error, float(np.abs(rival.run(xs) - ours).max()))
        if error <= _TOLERANCE:  # False for NaN
            errors[rival.name] = error
        else:
            not_compared[rival.name] = f"its outputs differ by up to {error:.1e}, so it is not the same network"
    return errors, not_compared


def _rival(rival: Any, error: float, chunks: dict[str, Chunks], few: Any) -> dict[str, Any]:
    """Times of a rival, our times, and the ratio of both."""
    from edge_rnn.timing import time_steps

    ours, theirs = (chunks[name].ns - chunks["for"].ns for name in ("step", f"step {rival.name}"))
    our_run, run = chunks["run"].ns / SEQUENCE, chunks.get(f"run {rival.name}")
    passes = max(1, min(_RIVAL_CALLS, int(1e8 / max(theirs, 1))) // len(few))
    called = time_steps({"step": rival.start()}, few, passes)["step"]
    return {
        "name": rival.name,
        "version": rival.version,
        "how": rival.how,
        "max_abs_error": error,
        "python_ns": round(theirs, 1),
        "ours_python_ns": round(ours, 1),
        "ratio": round(theirs / ours, 3),
        "run_ns_1000": round(run.ns / SEQUENCE, 1) if run else None,
        "ours_run_ns_1000": round(our_run, 1) if run else None,
        "run_ratio": round(run.ns / SEQUENCE / our_run, 3) if run else None,
        "timed_steps": called.steps,
        **called.as_json("step_ns"),
    }
