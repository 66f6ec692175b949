"""Text output of ``edge-rnn bench``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from edge_rnn.bench.conditions import spell_conditions
from edge_rnn.cli.shared.console import make_console, print_facts, print_table, say, spell_bytes, spell_ns
from edge_rnn.spelling import counted

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show_denormals", "show_model", "show_startup", "show_table"]

_BAR = 60
_BESIDE_BAR = 32
_QUANTILES = {"p50": "p50", "p99": "p99", "p999": "p99.9", "max": "max"}


def show_model(result: Mapping[str, Any], picture: str | None) -> None:
    """Print the results of one model: figures, histogram, other runtimes."""
    console = make_console()
    facts = {
        "model": f"{result['name'] or result['model']}, {result['multiply_adds']:,} multiply-adds per step",
        "from Python": f"{_quantiles(result, 'step_ns')}; in a loop {spell_ns(result['python_ns'])} minimum",
        "compiled loop": f"{spell_ns(result['loop_ns_p50'])} p50, {spell_ns(result['loop_ns_min'])} minimum, inside "
        f"stream.run; a call from Python adds {_signed(result['python_overhead_ns'])}",
        "stream.run": f"{spell_ns(result['run_ns_100'])} per step in calls of 100, {spell_ns(result['run_ns_1000'])} "
        f"in calls of 1000",
    }
    if result["roofline_fraction"]:
        facts["roofline"] = (
            f"{result['roofline_fraction']:.0%}: reading the weights alone takes {spell_ns(result['read_ns'])}, at "
            f"{result['bandwidth_gb_s']:,.0f} GB/s"
        )
    if result["sample_rate_hz"]:
        facts["real time"] = f"{result['times_real_time']:,.0f} times faster, at {result['sample_rate_hz']:g} Hz"
    facts["memory"] = f"{spell_bytes(result['weight_bytes'])} of weights, {spell_bytes(result['state_bytes'])} of state"
    paced = result.get("paced")
    if paced:
        facts["paced"] = (
            f"{counted(paced['misses'], 'deadline miss', 'deadline misses')} in {counted(paced['samples'], 'tick')} at "
            f"{paced['rate_hz']:g} Hz; step after a "
            f"sleep {_quantiles(paced, 'paced_step_ns')}; wake-up latency {_quantiles(paced, 'wake_ns')}"
        )
    tick = result["clock_tick_ns"]
    facts["measured"] = (
        f"{result['timed_steps']:,} calls, clock overhead of {spell_ns(result['clock_ns'])} subtracted"
        + (f" (resolution {tick} ns)" if tick > 1 else "")
        + f"; {counted(result['loop_batches'], 'batch', 'batches')} of "
        f"{counted(result['loop_batch_steps'], 'step')}, "
        f"{result['loop_batches_disturbed']} disturbed ones discarded"
    )
    facts["conditions"] = spell_conditions(result)
    if picture:
        facts["picture"] = picture
    if result["plain_calls_reason"]:
        facts["note"] = f"calls from Python take the plain path: {result['plain_calls_reason']}"
    print_facts(console, facts)
    _show_histogram(console, "single calls from Python", result["histogram"])
    if paced:
        _show_histogram(console, f"from deadline to result, at {paced['rate_hz']:g} Hz", paced["histogram"])
    _show_rivals(console, [("", result)])


def show_table(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> None:
    """Print the table with one network per line, then the other runtimes."""
    console = make_console()
    table = _table("network", "loop", "Python", "adds", *_QUANTILES.values(), "run 1000", "roofline", "GB/s")
    for row in rows:
        table.add_row(
            _name(row),
            *(spell_ns(row[key]) for key in ("loop_ns_min", "python_ns")),
            _signed(row["python_overhead_ns"]),
            *(spell_ns(row[f"step_ns_{name}"]) for name in _QUANTILES),
            spell_ns(row["run_ns_1000"]),
            f"{row['roofline_fraction']:.0%}",
            f"{row['bandwidth_gb_s']:.0f}",
        )
    print_table(console, table)
    say(
        "loop: step time inside stream.run. Python: step time of stream.step in a loop, and the overhead it adds;\n"
        "both are minimum values over many batches. p50 to max: single calls. run 1000: step time in calls of\n"
        "stream.run for 1000 steps. roofline: time to read the weights alone, at the GB/s shown, as a share of the\n"
        "step time.",
        lines=True,
    )
    _show_rivals(console, [(_name(row), row) for row in rows])
    say()
    print_facts(console, {"conditions": spell_conditions(found)})


def show_startup(result: Mapping[str, Any]) -> None:
    """Print time and memory of the process start."""
    console = make_console()
    table = _table("since process start", "cached", "peak memory", "cache empty", "peak memory")
    labels = {
        "python": "Python alone",
        "numpy": "import numpy",
        "numba": "import numba, call an empty function",
        "edge_rnn": "load a model, create a Stream, first step",
    }
    for name, label in labels.items():
        cells = []
        for key in (name, f"{name}_cold"):
            seconds, peak = result.get(f"{key}_seconds"), result.get(f"{key}_peak_bytes")
            cells += [spell_ns(seconds * 1e9), f"{peak / 1e6:.0f} MB"] if seconds and peak else ["", ""]
        table.add_row(label, *cells)
    print_table(console, table)
    if result["ratio"]:
        say(f"First step, cached: {result['ratio']:.2f} times the duration of importing numba with an empty call.")


def show_denormals(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print step times from a normal and a decayed state."""
    heads = ("normal", "subnormal state", "ratio", "and subnormal input", "ratio", "subnormal afterwards")
    table = _table("network", *heads)
    for row in rows:
        table.add_row(
            _name(row),
            spell_ns(row["normal_ns"]),
            spell_ns(row["subnormal_ns"]),
            f"{row['ratio']:.2f}",
            spell_ns(row["subnormal_input_ns"]),
            f"{row['input_ratio']:.2f}",
            f"{row['subnormal_share']:.0%}",
        )
    print_table(make_console(), table)


def _show_rivals(console: Console, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Print step times of other runtimes next to ours: single calls from Python, and whole sequences."""
    heads = ["runtime", "step", "ours", "ratio", "of 1000", "ours", "ratio", "error"]
    table = _table(*(["network"] if rows[0][0] else []), *heads)
    settings: dict[str, str] = {}
    reasons: dict[tuple[str, str], list[str]] = {}
    for name, row in rows:
        for rival, reason in row["not_compared"].items():
            reasons.setdefault((rival, reason), []).append(name)
        for rival in row["rivals"]:
            settings[f"{rival['name']} {rival['version']}"] = rival["how"]
            run = (
                [spell_ns(rival["run_ns_1000"]), spell_ns(rival["ours_run_ns_1000"])]
                if rival["run_ratio"]
                else ["", ""]
            )
            table.add_row(
                *([name] if name else []),
                rival["name"],
                spell_ns(rival["python_ns"]),
                spell_ns(rival["ours_python_ns"]),
                _times(rival["ratio"]),
                *run,
                _times(rival["run_ratio"]),
                f"{rival['max_abs_error']:.0e}",
            )
    if not settings and not reasons:
        return
    say()
    if settings:
        print_table(console, table)
        say(
            "step: step time from Python. ratio: theirs over ours, measured in one run. of 1000: step time in one\n"
            "call for 1000 steps. error: largest absolute difference of outputs, checked before timing.\n",
            lines=True,
        )
    missing = []
    for (rival, reason), names in reasons.items():
        which = "" if len(names) == len(rows) else f" for {', '.join(names)}"
        missing.append((rival, f"not compared{which}: {reason}"))
    print_facts(console, [*settings.items(), *missing])


def _show_histogram(console: Console, title: str, histogram: Mapping[str, Sequence[float]]) -> None:
    say()
    say(f"{title} (bars: logarithm of the count)")
    say("\n".join(_bars(histogram, max(1, min(console.width - _BESIDE_BAR, _BAR)))), lines=True)


def _bars(histogram: Mapping[str, Sequence[float]], width: int) -> Iterator[str]:
    edges, counts = histogram["edges_ns"], histogram["counts"]
    full = math.log1p(max(counts))
    rows = [(count > 0, low, high, count) for low, high, count in zip(edges, edges[1:], counts, strict=False)]
    for filled, group in groupby(rows, key=itemgetter(0)):
        for _, low, high, count in group if filled else ():
            bar = "█" * math.ceil(width * (math.log1p(count) / full))  # the largest is exactly `width`
            yield f"{spell_ns(low):>8} to {spell_ns(high):>8} {int(count):>9,} {bar}"
        if not filled:
            yield f"{'…':>8}"


def _table(first: str, *others: str) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="left" if name == "runtime" else "right", no_wrap=True)
    return table


def _name(row: Mapping[str, Any]) -> str:
    from edge_rnn.bench.networks import CELLS

    return f"{CELLS[row['cell']]} ({row['input_size']}, {row['hidden_size']})"


def _quantiles(result: Mapping[str, Any], prefix: str) -> str:
    return ", ".join(f"{spell_ns(result[f'{prefix}_{key}'])} {name}" for key, name in _QUANTILES.items())


def _signed(nanoseconds: float) -> str:
    return f"-{spell_ns(-nanoseconds)}" if nanoseconds <= -0.5 else spell_ns(abs(nanoseconds))


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.{0 if ratio >= 100 else 1 if ratio >= 10 else 2}f}x"
