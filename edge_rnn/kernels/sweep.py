"""The loop over panels that all cells share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_rnn.kernels.compiler import helper
from edge_rnn.kernels.record import Record
from edge_rnn.kernels.vector import at

__all__ = ["sweep"]

Panel = Callable[..., Any]


def sweep(*passes: tuple[Callable[[int], Panel], tuple[int, ...]]) -> Panel:
    """A kernel that runs ``panel(width)`` over all units, the widest panels first, for each ``(panel, widths)``.

    ``panel(width)`` gives a helper ``(record, weights, arena, unit) -> weights`` that does the ``width`` units from
    ``unit`` on, and returns where the next panel's weights begin.
    """
    weights_at, units_at = int(Record.WEIGHTS), int(Record.N_OUT)
    run = _finish
    for panel, widths in reversed(passes):
        run = _from_first_unit(run)
        for width in reversed(widths):
            run = _while_enough_units(panel(width), width, run)
    first = run

    def kernel(record: Any, weights: Any, arena: Any) -> None:
        units = (record[units_at] + 7) // 8 * 8
        first(record, at(weights, record[weights_at]), arena, 0, units)

    return kernel


@helper
def _finish(record: Any, weights: Any, arena: Any, unit: Any, units: Any) -> None:
    pass


def _from_first_unit(rest: Panel) -> Panel:
    @helper
    def run(record: Any, weights: Any, arena: Any, unit: Any, units: Any) -> None:
        rest(record, weights, arena, 0, units)

    return run


def _while_enough_units(panel: Panel, width: int, rest: Panel) -> Panel:
    @helper
    def run(record: Any, weights: Any, arena: Any, unit: Any, units: Any) -> None:
        while unit + width <= units:
            weights = panel(record, weights, arena, unit)
            unit += width
        rest(record, weights, arena, unit, units)

    return run
