"""Analysis for ``edge-rnn inspect --recording``: the state over many steps, and the network's memory span."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_rnn.analysis.long_run import Bucket, LongRun, StateRun, long_run
from edge_rnn.analysis.sensitivity import LAGS, Sensitivity, sensitivity
from edge_rnn.analysis.texts import holds_texts, read_texts
from edge_rnn.cli.shared.console import make_console, print_facts, print_table
from edge_rnn.errors import InputError
from edge_rnn.recordings.files import read_recording
from edge_rnn.spelling import counted
from edge_rnn.typing import F32

if TYPE_CHECKING:
    from edge_rnn.model import Model

__all__ = ["as_json", "examine", "show", "verdict"]

_GROWN, _FADED = 1.1, 0.5
_SHOWN_LAGS = (0, *(2**n for n in range(LAGS.bit_length())))
_STILL_FELT = 0.5


def examine(
    model: Model, path: Path, steps: int, *, any_rate: bool = False, resample: bool = False
) -> tuple[LongRun, Sensitivity | None]:
    """Run the model over a recording or texts; sensitivity is None if the run broke off."""
    rows = _rows(model, path, any_rate, resample)
    if not model.initial_state:
        raise InputError("--recording examines a network's state, and this model has none.")
    run = long_run(model, rows, steps)
    return run, None if run.broke_at else sensitivity(model, rows)


def _rows(model: Model, path: Path, any_rate: bool, resample: bool) -> F32:
    """Return the samples of a recording, or of texts, concatenated."""
    if not holds_texts(path):
        rows = read_recording(path, model, any_rate=any_rate, resample=resample).xs
        if not len(rows):
            raise InputError(f"{path}: contains no samples, expected one or more.")
        return rows
    from edge_rnn.sampling.symbols import alphabet, encode, samples

    symbols = [encode(model, list(text), call="inspect") for text in read_texts(path).task.texts]
    return samples(alphabet(model, "inspect"), np.concatenate(symbols))


def verdict(run: LongRun, felt: Sensitivity | None) -> str:
    """Summarize the results in a few sentences."""
    if run.broke_at:
        return (
            f"The state explodes: step {run.broke_at:,} exceeds the range of float32. A stream rejects that sample; do "
            f"not deploy this network."
        )
    found = [_growth(state) for state in run.states if _growth(state)]
    stable = f"Stable over {counted(run.steps, 'step')}: no state grows or fades"
    lines = [f"{'; '.join(found)}." if found else f"{stable}." if run.states[0].growth else f"{_too_short(run)}."]
    stuck, dead, units = (sum(len(part) for part in parts) for parts in zip(*map(_units, run.states), strict=True))
    lines.append(f"Of {counted(units, 'value')} of state {_count(stuck)} nearly always saturated, {_count(dead)} dead.")
    if felt is not None:
        lines.append(_memory(felt))
    return " ".join(lines)


def _growth(state: StateRun) -> str:
    if len(state.dead) == len(state.low):
        return f"{state.name} never changes"
    if state.growth is None or _FADED <= state.growth <= _GROWN:
        return ""
    what = "still grows" if state.growth > _GROWN else "fades"
    return f"{state.name} {what}: its norm is {state.growth:.3g} times that of the second pass"


def _too_short(run: LongRun) -> str:
    few = f"{counted(run.steps, 'step')} are not three passes of {counted(run.samples, 'sample')}"
    return f"{few}, too few to determine whether the state grows"


def _units(state: StateRun) -> tuple[Sequence[int], Sequence[int], Sequence[float]]:
    return state.stuck, state.dead, state.low.tolist()


def _count(count: int) -> str:
    return "none is" if not count else "1 is" if count == 1 else f"{count} are"


def _memory(felt: Sensitivity) -> str:
    last = len(felt.values) - 1
    if not felt.values.any():
        return "The outputs do not depend on the samples at all."
    what = "Another symbol" if felt.of_symbols else "A change of a sample"
    if felt.values[last] >= _STILL_FELT * felt.values.max():
        return f"{what} does not decay: after {counted(last, 'step')} its effect on the outputs is undiminished."
    if felt.felt_steps == last:
        return f"{what} still has more than a hundredth of its greatest effect after {counted(last, 'step')}."
    every = f"{felt.half_life_steps or 0:.2g}"
    half = f", halving in {every} step{'s' * (every != '1')} on average" if felt.half_life_steps else ""
    return f"{what} has at least a hundredth of its greatest effect for up to {counted(felt.felt_steps, 'step')}{half}."


def show(run: LongRun, felt: Sensitivity | None) -> None:
    """Print norms over time, units, the effect of a sample on later outputs, and the verdict."""
    from rich.table import Table

    console = make_console()
    console.print(
        f"\nState over {counted(run.steps, 'step')}, repeating the recording of {counted(run.samples, 'sample')}"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("norm in steps")
    for state in run.states:
        table.add_column(f"{state.name}: minimum", justify="right")
        table.add_column("mean", justify="right")
        table.add_column("most", justify="right")
    for buckets in zip(*(state.buckets for state in run.states), strict=True):
        cells = [f"{value:.4g}" for bucket in buckets for value in (bucket.least, bucket.mean, bucket.most)]
        table.add_row(_spelled(buckets[0]), *cells)
    print_table(console, table)
    console.print()
    print_facts(console, [fact for state in run.states for fact in _facts(state)])
    if felt is not None:
        console.print(f"\nEffect of a sample on later outputs: {_how(felt)}")
        lags = Table(box=None, pad_edge=False, header_style="bold")
        lags.add_column("steps later", justify="right")
        lags.add_column("output change", justify="right")
        for lag in _SHOWN_LAGS:
            lags.add_row(f"{lag:,}", f"{felt.values[lag]:.3g}")
        print_table(console, lags)
    console.print()
    console.print(verdict(run, felt))


def _spelled(bucket: Bucket) -> str:
    return f"{bucket.first:,}" if bucket.first == bucket.last else f"{bucket.first:,} to {bucket.last:,}"


def _facts(state: StateRun) -> list[tuple[str, str]]:
    moved = state.high - state.low
    facts = [(state.name, f"units range over {moved.min():.3g} to {moved.max():.3g}")]
    if state.growth is not None:
        facts.append(("", f"mean norm in the last pass over that in the second: {state.growth:.4g}"))
    if state.saturated is None:
        facts.append(("", "saturated: not applicable, units are unbounded"))
    else:
        stuck = f"nearly always: {_places(state.stuck)}"
        facts.append(("", f"saturated in {state.saturated.mean():.2%} of all steps, {stuck}"))
    return [*facts, ("", f"dead: {_places(state.dead)}")]


def _places(units: Sequence[int]) -> str:
    return "no unit" if not units else f"unit{'s' if len(units) > 1 else ''} {', '.join(map(str, units))}"


def _how(felt: Sensitivity) -> str:
    of = "scores before softmax" if felt.of_scores else "outputs"
    places = counted(felt.places, "place")
    if felt.of_symbols:
        return f"{of} of the float64 reference with one symbol replaced, at {places}"
    return f"{of} per standard deviation of a channel, central differences of the float64 reference, at {places}"


def as_json(path: str, run: LongRun, felt: Sensitivity | None) -> dict[str, Any]:
    """Return all results, unrounded."""
    return {
        "file": path,
        "samples": run.samples,
        "steps": run.steps,
        "broke_at": run.broke_at,
        "states": [_state(state) for state in run.states],
        "sensitivity": None if felt is None else _sensitivity(felt),
        "verdict": verdict(run, felt),
    }


def _state(state: StateRun) -> dict[str, Any]:
    return {
        "name": state.name,
        "norms": [
            {"first": each.first, "last": each.last, "least": each.least, "mean": each.mean, "most": each.most}
            for each in state.buckets
        ],
        "growth": state.growth,
        "saturated": None if state.saturated is None else state.saturated.tolist(),
        "stuck": list(state.stuck),
        "dead": list(state.dead),
        "low": state.low.tolist(),
        "high": state.high.tolist(),
    }


def _sensitivity(felt: Sensitivity) -> dict[str, Any]:
    return {
        "lags": list(_SHOWN_LAGS),
        "values": [float(felt.values[lag]) for lag in _SHOWN_LAGS],
        "method": "exchanged symbols" if felt.of_symbols else "central differences",
        "of_scores": felt.of_scores,
        "places": felt.places,
        "peak_lag": felt.peak_lag,
        "felt_steps": felt.felt_steps,
        "half_life_steps": felt.half_life_steps,
    }
