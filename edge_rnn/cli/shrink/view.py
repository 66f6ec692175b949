"""Text and JSON output of ``edge-rnn shrink``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edge_rnn.cli.shared.console import make_console, print_table, spell_bytes, spell_ns

if TYPE_CHECKING:
    from edge_rnn.quantization.trials import Shrunk, Trial

__all__ = ["as_json", "show", "spell_bound", "verdict"]


def show(found: Shrunk, bound: Mapping[str, Any], output: str | None, report: str | None) -> None:
    """Print the Pareto front as a table with the best model marked, and a summary."""
    from rich.table import Table

    from edge_rnn.quantization.bound import Bound

    console = make_console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = list(found.best.formats)
    table.add_column("")
    for name in names:
        table.add_column(name, overflow="fold")
    for heading in ("bytes", "memory", "error", "accuracy", "step time", "speed-up"):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = dict.fromkeys([found.trials[0], *found.front, found.best])
    for trial in sorted(rows, key=lambda each: -each.nbytes):
        table.add_row("→" if trial is found.best else "", *(trial.formats[name] for name in names), *_figures(trial))
    print_table(console, table)
    console.print()
    lines = [*verdict(found), f"Bound: {spell_bound(bound)}."]
    if found.stopped:
        kept = "" if Bound(**bound).kept_by(found.best) else ", but it is not within the bound"
        lines.append(f"The search was stopped early; this is the best model found{kept}.")
    lines += [f"Written: {output}."] * bool(output) + [f"Report: {report}."] * bool(report)
    for line in lines:
        console.print(line)


def verdict(found: Shrunk) -> list[str]:
    """Compare the best model with the float32 one, in sentences."""
    plain, best = found.trials[0], found.best
    smaller = f"{plain.nbytes / best.nbytes:.2f} times smaller"
    lines = [
        f"{spell_bytes(plain.nbytes)} become {spell_bytes(best.nbytes)}, {smaller}, at an error of {best.error:.2g}."
    ]
    if plain.accuracy is not None and best.accuracy is not None:
        lines.append(f"Accuracy: {_share(plain.accuracy)} before, {_share(best.accuracy)} now.")
    if best is plain:
        lines.append("Nothing smaller is within the bound: this is the float32 model.")
    elif best.step_ns and best.baseline_ns and best.speedup:
        times = f"{spell_ns(best.step_ns)} per step, against {spell_ns(best.baseline_ns)}"
        if best.speedup < 1:
            lines.append(f"It is smaller, but not faster: {times}. Small layers gain size, not speed.")
        else:
            lines.append(f"Speed-up: {best.speedup:.2f} ({times}).")
    return lines


def as_json(found: Shrunk, bound: Mapping[str, Any], output: str | None) -> dict[str, Any]:
    """Return all trials; best and front are indices into them."""
    places = {id(trial): place for place, trial in enumerate(found.trials)}
    return {
        "bound": dict(bound),
        "stopped": found.stopped,
        "best": places[id(found.best)],
        "front": [places[id(trial)] for trial in found.front],
        "trials": [_trial(trial) for trial in found.trials],
        "output": output,
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "formats": dict(trial.formats),
        "bytes": trial.nbytes,
        "memory_bytes": trial.memory_bytes,
        "error": trial.error if math.isfinite(trial.error) else None,
        "accuracy": trial.accuracy,
        "step_ns": trial.step_ns,
        "float32_ns": trial.baseline_ns,
    }


def _figures(trial: Trial) -> list[str]:
    return [
        f"{trial.nbytes:,}",
        f"{trial.memory_bytes:,}",
        f"{trial.error:.1e}" if trial.error else "0",
        "" if trial.accuracy is None else _share(trial.accuracy),
        spell_ns(trial.step_ns) if trial.step_ns else "",
        f"{trial.speedup:.2f}x" if trial.speedup else "",
    ]


def _share(accuracy: float) -> str:
    """Format an accuracy in percent, or the value of another metric."""
    return f"{accuracy:.2%}" if 0 <= accuracy <= 1 else f"{accuracy:.4g}"


def spell_bound(bound: Mapping[str, Any]) -> str:
    """Describe the bound in words."""
    words = {"max_error": "error at most {:.2g}", "min_accuracy": "accuracy at least {:.2%}"}
    words["max_bytes"] = "at most {:,} bytes"
    return ", ".join(words[name].format(value) for name, value in bound.items() if value)
