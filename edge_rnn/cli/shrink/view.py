"""What ``edge-rnn shrink`` found, as text and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edge_rnn.cli.shared.console import make_console, print_table, spell_bytes, spell_ns

if TYPE_CHECKING:
    from edge_rnn.quantization.trials import Shrunk, Trial

__all__ = ["as_json", "show", "spell_bound", "verdict"]


def show(found: Shrunk, bound: Mapping[str, Any], output: str | None, report: str | None) -> None:
    """The front as a table, the best marked, and what it comes to in words."""
    from rich.table import Table

    from edge_rnn.quantization.bound import Bound

    console = make_console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = list(found.best.formats)
    table.add_column("")
    for name in names:
        table.add_column(name, overflow="fold")
    for heading in ("bytes", "memory", "error", "accuracy", "step", "as quick"):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = dict.fromkeys([found.trials[0], *found.front, found.best])
    for trial in sorted(rows, key=lambda each: -each.nbytes):
        table.add_row("→" if trial is found.best else "", *(trial.formats[name] for name in names), *_figures(trial))
    print_table(console, table)
    console.print()
    lines = [*verdict(found), f"Asked for: {spell_bound(bound)}."]
    if found.stopped:
        kept = "" if Bound(**bound).kept_by(found.best) else ", and it does not keep the bound"
        lines.append(f"The search was stopped; this is the best that had been found{kept}.")
    lines += [f"Written: {output}."] * bool(output) + [f"Report: {report}."] * bool(report)
    for line in lines:
        console.print(line)


def verdict(found: Shrunk) -> list[str]:
    """The best model against the float32 one, in sentences."""
    plain, best = found.trials[0], found.best
    smaller = f"{plain.nbytes / best.nbytes:.2f} times smaller"
    lines = [
        f"{spell_bytes(plain.nbytes)} become {spell_bytes(best.nbytes)}, {smaller}, at an error of {best.error:.2g}."
    ]
    if plain.accuracy is not None and best.accuracy is not None:
        lines.append(f"Accuracy was {_share(plain.accuracy)} and is {_share(best.accuracy)}.")
    if best is plain:
        lines.append("Nothing smaller keeps the bound: this is the float32 model.")
    elif best.step_ns and best.baseline_ns and best.speedup:
        times = f"{spell_ns(best.step_ns)} a step, against {spell_ns(best.baseline_ns)}"
        if best.speedup < 1:
            lines.append(f"It is smaller, not quicker: {times}. Size and speed part company in small layers.")
        else:
            lines.append(f"It is {best.speedup:.2f} times as quick: {times}.")
    return lines


def as_json(found: Shrunk, bound: Mapping[str, Any], output: str | None) -> dict[str, Any]:
    """All trials, the best and the front by their places among them."""
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
    """An accuracy in per cent, or what a metric said."""
    return f"{accuracy:.2%}" if 0 <= accuracy <= 1 else f"{accuracy:.4g}"


def spell_bound(bound: Mapping[str, Any]) -> str:
    """What was asked for, in words."""
    words = {"max_error": "an error of {:.2g} at most", "min_accuracy": "an accuracy of {:.2%} at least"}
    words["max_bytes"] = "{:,} bytes at most"
    return ", ".join(words[name].format(value) for name, value in bound.items() if value)
