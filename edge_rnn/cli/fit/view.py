"""Text and JSON output of ``edge-rnn fit``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edge_rnn.cli.shared.console import make_console, print_facts, print_table, spell_bytes, spell_ns

if TYPE_CHECKING:
    from edge_rnn.boards.fitting import Fit, Way
    from edge_rnn.model import Model

__all__ = ["as_json", "show", "verdict"]


def as_json(found: Fit, smaller: Sequence[Fit]) -> dict[str, Any]:
    """Return all results; ``formats`` holds the same for smaller formats."""
    estimate = found.estimate
    return {
        "device": found.device.name,
        "format": found.format or None,
        "fits": found.fits,
        "fits_memory": found.fits_memory,
        "fits_rate": found.fits_rate,
        "verdict": verdict(found, smaller),
        "weight_bytes": found.weight_bytes,
        "state_bytes": found.state_bytes,
        "code_bytes": found.code_bytes,
        "ways": [_way_as_json(way) for way in found.ways],
        "rate_hz": found.rate_hz,
        "highest_rate_hz": round(found.highest_rate_hz, 3),
        "step": {
            "estimated": True,
            "ns": round(estimate.ns, 1),
            "ns_at_worst": round(estimate.slow_ns, 1),
            "ns_at_best": round(estimate.ns * estimate.method.low, 1),
            "method": estimate.method.name,
            "how": estimate.method.how,
            "checked_on": "x86-64 only",
            "instructions": estimate.instructions,
            "stack_bytes": estimate.stack_bytes,
            "compute_cycles": round(estimate.compute_cycles, 1),
            "read_cycles": round(estimate.read_cycles, 1),
            "weights_in": estimate.weights_in,
            "why_not": list(estimate.why_not),
        },
        "formats": [as_json(each, ()) for each in smaller],
    }


def show(model: Model, found: Fit, smaller: Sequence[Fit]) -> None:
    """Print facts, ways to run the model, and the verdict."""
    from rich.table import Table

    console = make_console()
    estimate, board = found.estimate, found.device
    code = f"{spell_bytes(found.code_bytes)}, compiled for {board.cpu}"
    facts = [
        ("model", model.name or "unnamed"),
        ("board", f"{board.title} ({board.name})"),
        ("weights", f"{spell_bytes(found.weight_bytes)} packed, read from the {estimate.weights_in} in each step"),
        ("state", f"{spell_bytes(found.state_bytes)} per stream"),
        ("code", code),
        ("step time", f"about {spell_ns(estimate.ns)}, an estimate: {_band(found)}"),
        ("method", f"{estimate.method.how}; {_cycles(found)}"),
    ]
    facts += [("not better", reason) for reason in estimate.why_not]
    print_facts(console, facts)
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, justify in (("way to run it", "left"), ("needs", "right"), ("limit", "right"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for way in found.ways:
        table.add_row(way.name, *_ram(way), "fits" if way.fits else "does not fit")
        if way.flash_limit:
            table.add_row("  of flash", spell_bytes(way.flash_bytes), spell_bytes(way.flash_limit), "")
    print_table(console, table)
    if smaller:
        console.print()
        print_table(console, _formats(smaller))
    console.print(f"\n{verdict(found, smaller)}")


def verdict(found: Fit, smaller: Sequence[Fit] = ()) -> str:
    """Summarize whether the model fits, why not, and what would make it fit."""
    board, said = found.device, []
    if not found.fits_memory:
        least = found.ways[-1]
        part, has = ("flash", least.flash_limit) if least.flash_bytes > least.flash_limit else ("RAM", least.ram_limit)
        takes = least.flash_bytes if part == "flash" else least.ram_bytes
        said.append(f"it needs {spell_bytes(takes)} of {part}, and half of the board's is {spell_bytes(has)}")
    if not found.fits_rate and found.rate_hz is not None:
        period = spell_ns(1e9 / found.rate_hz)
        said.append(
            f"at {found.rate_hz:g} Hz the period is {period}, and a step may take up to "
            f"{spell_ns(found.estimate.slow_ns)} (an estimate: {_band(found)})"
        )
    if said:
        return f"Does not fit {board.name}: {'; '.join(said)}. {_remedy(found, smaller)}"
    share = ""
    if found.rate_hz is not None:
        busy = found.estimate.ns * found.rate_hz * 1e-7
        share = f" At {found.rate_hz:g} Hz it keeps one core busy for about {busy:.2g} % of the time."
    way = next(way.name for way in found.ways if way.fits)
    return (
        f"Fits {board.name} ({way}): up to {_spell_rate(found.highest_rate_hz)} with half of the time to spare, by an "
        f"estimate ({_band(found)}).{share}"
    )


def _band(found: Fit) -> str:
    method = found.estimate.method
    return f"measured times were {method.low:g} to {method.high:g} of the estimate where checked, on x86-64 only"


def _cycles(found: Fit) -> str:
    estimate = found.estimate
    ran = f"{estimate.instructions:,} instructions, " if estimate.instructions is not None else ""
    more = f", {estimate.read_cycles:,.0f} to read the weights" if estimate.read_cycles else ""
    return f"{ran}{estimate.compute_cycles:,.0f} cycles{more}"


def _remedy(found: Fit, smaller: Sequence[Fit]) -> str:
    fitting = [each for each in smaller if each.fits]
    if fitting:
        best = min(fitting, key=lambda each: each.estimate.ns)
        return (
            f"It fits with its matrices in {' or '.join(each.format for each in fitting)}; edge-rnn shrink --formats "
            f"{best.format} measures the loss of accuracy."
        )
    if not smaller:
        return ""
    best = min(smaller, key=lambda each: each.estimate.ns)
    if found.rate_hz is not None and not found.fits_rate:
        times = found.rate_hz / max(best.highest_rate_hz, found.highest_rate_hz)
        return f"No format makes it fit: the network or the board has to be about {times:.2g}x faster."
    return "No format makes it fit: use a smaller network or a larger board."


def _formats(smaller: Sequence[Fit]) -> Any:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    columns = (
        ("matrices in", "left"),
        ("weights", "right"),
        ("code", "right"),
        ("step time, estimated", "right"),
        ("", "left"),
    )
    for name, justify in columns:
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for each in smaller:
        fits = "fits" if each.fits else "does not fit"
        code = spell_bytes(each.code_bytes)
        table.add_row(each.format, spell_bytes(each.weight_bytes), code, spell_ns(each.estimate.ns), fits)
    return table


def _ram(way: Way) -> tuple[str, str]:
    return spell_bytes(way.ram_bytes), spell_bytes(way.ram_limit)


def _way_as_json(way: Way) -> dict[str, Any]:
    return {
        "name": way.name,
        "fits": way.fits,
        "ram_bytes": way.ram_bytes,
        "ram_limit_bytes": way.ram_limit,
        "flash_bytes": way.flash_bytes,
        "flash_limit_bytes": way.flash_limit,
    }


def _spell_rate(hertz: float) -> str:
    """Format a rate with two digits and a suitable unit: ``12 kHz``."""
    for unit, size in (("MHz", 1e6), ("kHz", 1e3)):
        if hertz >= size:
            return f"{hertz / size:.2g} {unit}" if hertz < 100 * size else f"{round(hertz / size, -1):.0f} {unit}"
    return f"{hertz:.2g} Hz" if hertz < 100 else f"{hertz:.0f} Hz"
