"""Text and JSON output of ``edge-rnn compare``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_rnn.analysis.tasks import Bin, RecordingTask, TextTask
from edge_rnn.cli.shared.console import make_console, print_table, spell_ns
from edge_rnn.spelling import listed

if TYPE_CHECKING:
    from edge_rnn.analysis.comparison import Compared

__all__ = ["FAR", "Asked", "as_json", "rows", "show", "spell_bin", "spell_share", "verdict"]

FAR = 8
"""Smallest lag reported separately."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Task with its name and file."""

    task: RecordingTask | TextTask
    name: str
    path: str

    @property
    def lag(self) -> str:
        """Description of the lag, for headings and axes."""
        if isinstance(self.task, TextTask):
            return "number of preceding symbols needed"
        return "samples since the label changed"


def show(found: Sequence[Compared], asked: Asked, report: str | None) -> None:
    """Print figures, accuracy by lag, and a summary."""
    from rich.table import Table

    console = make_console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", *(each.name for each in found)):
        table.add_column(name, justify="right" if name else "left", overflow="fold")
    for name, cells in rows(found):
        table.add_row(name, *cells)
    print_table(console, table)
    console.print()
    console.print(f"Accuracy by lag ({asked.lag})")
    lags = Table(box=None, pad_edge=False, header_style="bold")
    lags.add_column("")
    bins = found[0].score.bins
    for each_bin in bins:
        lags.add_column(spell_bin(each_bin), justify="right")
    for each in found:
        lags.add_row(each.name, *(spell_share(own.share) for own in each.score.bins))
    lags.add_row("answers", *(f"{each_bin.of:,}" for each_bin in bins), style="dim")
    print_table(console, lags)
    console.print()
    for line in verdict(found, asked):
        console.print(line)
    if report:
        console.print(f"Report: {report}.")


def rows(found: Sequence[Compared]) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of the table: heading, and one cell per network."""
    yield "recurrent layers", [each.kinds for each in found]
    yield "accuracy", [spell_share(each.score.accuracy) for each in found]
    yield "accuracy as int8", [spell_share(each.int8_score.accuracy) if each.int8_score else "–" for each in found]
    yield "parameters", [f"{each.model.num_parameters:,}" for each in found]
    yield "multiply-adds per step", [f"{each.model.multiply_adds:,}" for each in found]
    yield "bytes", [f"{each.nbytes:,}" for each in found]
    yield "bytes as int8", [f"{each.int8_bytes:,}" if each.int8_bytes else "–" for each in found]
    yield "memory: weights", [f"{each.weight_bytes:,}" for each in found]
    yield "memory: state per stream", [f"{each.state_bytes:,}" for each in found]
    yield "step time here", [spell_ns(each.step_ns) for each in found]
    boards = [each.on_board for each in found if each.on_board]
    if boards:
        name = boards[0].device.name
        yield f"on {name}, estimated", [spell_ns(board.estimate.ns) for board in boards]
        yield "best case", [spell_ns(board.estimate.ns * board.estimate.method.low) for board in boards]
        yield "worst case", [spell_ns(board.estimate.slow_ns) for board in boards]


def verdict(found: Sequence[Compared], asked: Asked) -> list[str]:
    """Summarize accuracy by lag, size and speed in sentences."""
    lines = []
    total = found[0].score.of
    far, near = found[0].score.within(FAR)[1], found[0].score.within(0, FAR - 1)[1]
    if isinstance(asked.task, TextTask):
        if far:
            where = f"Accuracy where {FAR} or more preceding symbols are needed ({far:,} of {total:,} answers)"
            lines.append(f"{where}: {_ranked(found, FAR, None)}.")
    else:
        if near:
            where = f"Accuracy in the first {FAR} samples after a change ({near:,} of {total:,})"
            lines.append(f"{where}: {_ranked(found, 0, FAR - 1)}.")
        if far:
            lines.append(f"Accuracy in later samples: {_ranked(found, FAR, None)}.")
        lines.append(f"Always predicting the most common label gives {spell_share(asked.task.commonest)}.")
    small, quick = min(found, key=lambda each: each.nbytes), min(found, key=lambda each: each.step_ns)
    as_int8 = f", {small.int8_bytes:,} as int8" if small.int8_bytes else ""
    others = [f"{each.name} {each.step_ns / quick.step_ns:.2f} times" for each in found if each is not quick]
    longer = f" ({listed(others)} that)" if others else ""
    lines.append(
        f"Smallest: {small.name}, {small.nbytes:,} bytes{as_int8}. Fastest here: {quick.name}, "
        f"{spell_ns(quick.step_ns)} per step{longer}."
    )
    return lines


def as_json(found: Sequence[Compared], asked: Asked, paths: Sequence[str]) -> dict[str, Any]:
    """Return all figures, unrounded."""
    return {
        "data": asked.path,
        "task": asked.name,
        "kind": "texts" if isinstance(asked.task, TextTask) else "recording",
        "lag": asked.lag,
        "commonest": asked.task.commonest if isinstance(asked.task, RecordingTask) else None,
        "models": [{"file": path, **_model(each)} for path, each in zip(paths, found, strict=True)],
    }


def _model(each: Compared) -> dict[str, Any]:
    board = each.on_board
    estimate = board.estimate if board else None
    return {
        "name": each.name,
        "layers": [layer.kind for layer in each.model.layers],
        "right": each.score.right,
        "of": each.score.of,
        "accuracy": each.score.accuracy,
        "int8_accuracy": each.int8_score.accuracy if each.int8_score else None,
        "by_lag": [
            {"low": own.low, "high": own.high, "right": own.right, "of": own.of, "interval": list(own.interval)}
            for own in each.score.bins
        ],
        "parameters": each.model.num_parameters,
        "multiply_adds": each.model.multiply_adds,
        "bytes": each.nbytes,
        "int8_bytes": each.int8_bytes,
        "weight_bytes": each.weight_bytes,
        "state_bytes": each.state_bytes,
        "step_ns": each.step_ns,
        "on_board": {
            "device": board.device.name,
            "step_ns": round(estimate.ns, 1),
            "step_ns_low": round(estimate.ns * estimate.method.low, 1),
            "step_ns_high": round(estimate.slow_ns, 1),
            "method": estimate.method.name,
        }
        if board and estimate
        else None,
    }


def spell_bin(each: Bin) -> str:
    """``8–15``."""
    return str(each.low) if each.low == each.high else f"{each.low}–{each.high}"


def spell_share(share: float) -> str:
    """Format a share in percent; a share below 1 is never rounded to 100 %."""
    text = f"{share:.2%}"
    return text if text != "100.00%" or share == 1 else "99.99%"


def _ranked(found: Sequence[Compared], low: int, high: int | None) -> str:
    parts = [(each.score.within(low) if high is None else each.score.within(low, high), each.name) for each in found]
    shares = sorted(((right / of, name) for (right, of), name in parts), key=lambda pair: -pair[0])
    return listed([f"{name} {spell_share(share)}" for share, name in shares])
