"""The loop over panels that all cells share, for one stream or for several at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_rnn.kernels.compiler import helper
from edge_rnn.kernels.memory import at
from edge_rnn.kernels.pointer import floats_from, int32s_from
from edge_rnn.kernels.record import Record

__all__ = ["sweep"]

Panel = Callable[..., Any]

_WEIGHTS, _UNITS = int(Record.WEIGHTS), int(Record.N_OUT)


def sweep(streams: int, *passes: tuple[Callable[[int, int], Panel], tuple[int, ...]]) -> Panel:
    """A kernel that runs ``panel(width, lanes)`` over all units, the widest panels first, for each pair.

    ``panel(width, lanes)`` gives a helper ``(records, weights, arenas, unit) -> weights`` that does the ``lanes`` units
    from ``unit`` on, out of a panel that holds ``width``, and returns where the next panel's weights begin. Of several
    streams a narrower part of a panel is done at a time, so that the registers hold it.

    Returns
    -------
    For one stream ``(record, weights, arena)``. For several ``(records, weights, arenas)``: tables of addresses.
    """
    run: Panel = _finish
    for panel, widths in reversed(passes):
        run = _from_first_unit(run)
        for width in reversed(widths):
            lanes = width if streams == 1 else max(8, width // 2)
            run = _while_enough_units(panel(width, lanes), width, lanes, run)
    first = run

    def one(record: Any, weights: Any, arena: Any) -> None:
        units = (record[_UNITS] + 7) // 8 * 8
        first((record,), at(weights, record[_WEIGHTS]), (arena,), 0, units)

    def several(records: Any, weights: Any, arenas: Any) -> None:
        of_each = int32s_from(streams, records)
        units = (of_each[0][_UNITS] + 7) // 8 * 8
        first(of_each, at(weights, of_each[0][_WEIGHTS]), floats_from(streams, arenas), 0, units)

    return one if streams == 1 else several


@helper
def _finish(records: Any, weights: Any, arenas: Any, unit: Any, units: Any) -> None:
    pass


def _from_first_unit(rest: Panel) -> Panel:
    @helper
    def run(records: Any, weights: Any, arenas: Any, unit: Any, units: Any) -> None:
        rest(records, weights, arenas, 0, units)

    return run


def _while_enough_units(panel: Panel, width: int, lanes: int, rest: Panel) -> Panel:
    @helper
    def run(records: Any, weights: Any, arenas: Any, unit: Any, units: Any) -> None:
        while unit + width <= units:
            after = weights
            for part in range(0, width, lanes):
                after = at(panel(records, at(weights, part), arenas, unit + part), -part)
            weights = after
            unit += width
        rest(records, weights, arenas, unit, units)

    return run
