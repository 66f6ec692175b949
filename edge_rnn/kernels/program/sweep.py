"""The loop over panels that all cells share, for one stream or for several at once.

Every other step reads the panels backwards: what a step has read last is then what the next one reads first, and of
weights that are a little larger than a cache most are still found there. Always forwards, the line that is thrown out
would always be the next one wanted, and the cache of no use at all. (Zen 4, ns a step, forwards : to and fro, one run:
GRU (16,64) 611 : 530 with 32 KiB of L1, LSTM (64,256) 14567 : 13519 with 1 MiB of L2.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_rnn.kernels.compile.compiler import helper
from edge_rnn.kernels.program.record import Record
from edge_rnn.kernels.vectors.addresses import floats_from, int32s_from
from edge_rnn.kernels.vectors.load_store import at

__all__ = ["sweep"]

Panel = Callable[..., Any]


def sweep(streams: int, panel: Callable[[int, int], Panel], widths: tuple[int, ...], most: int | None = None) -> Panel:
    """A kernel that runs ``panel(width, lanes)`` over all units, the widest panels first.

    ``panel(width, lanes)`` gives a helper ``(records, weights, arenas, unit)`` that does the ``lanes`` units from
    ``unit`` on, out of a panel that holds ``width``. Of several streams a narrower part of a panel is done at a time,
    so that the registers hold it; and of one where ``most`` says how many units they hold.

    Returns
    -------
    For one stream ``(record, weights, arena)``. For several ``(records, weights, arenas)``: tables of addresses.
    """
    run: Panel = _finish
    for width in reversed(widths):
        lanes = most or width if streams == 1 else max(8, width // 2)
        add = _widest_panels if width == widths[0] else _narrow_panel
        run = add(panel(width, lanes), width, lanes, run)
    first = run

    def one(record: Any, weights: Any, arena: Any) -> None:
        units = (record[Record.N_OUT] + 7) // 8 * 8
        first((record,), at(weights, record[Record.WEIGHTS]), (arena,), 0, units)

    def several(records: Any, weights: Any, arenas: Any) -> None:
        of_each = int32s_from(streams, records)
        units = (of_each[0][Record.N_OUT] + 7) // 8 * 8
        first(of_each, at(weights, of_each[0][Record.WEIGHTS]), floats_from(streams, arenas), 0, units)

    return one if streams == 1 else several


@helper
def _finish(records: Any, weights: Any, arenas: Any, start: Any, units: Any) -> None:
    pass


def _widest_panels(panel: Panel, width: int, lanes: int, rest: Panel) -> Panel:
    """As many panels of ``width`` as there are units for, and then the ``rest``."""
    shift = width.bit_length() - 1

    @helper
    def run(records: Any, weights: Any, arenas: Any, start: Any, units: Any) -> None:
        if width <= units:
            count, step, pitch = units >> shift, width, records[0][Record.UNIT_FLOATS] << shift
            unit, w = 0, weights
            if records[0][Record.BACKWARDS]:
                unit, w = (count - 1) << shift, at(weights, (count - 1) * pitch)
                step, pitch = -step, -pitch
            for _ in range(count):
                for part in range(0, width, lanes):
                    panel(records, at(w, part), arenas, unit + part)
                unit, w = unit + step, at(w, pitch)
            start = count << shift
        rest(records, weights, arenas, start, units)

    return run


def _narrow_panel(panel: Panel, width: int, lanes: int, rest: Panel) -> Panel:
    """One panel of ``width`` if there are units left for it, and then the ``rest``."""

    @helper
    def run(records: Any, weights: Any, arenas: Any, start: Any, units: Any) -> None:
        if start + width <= units:
            w = at(weights, start * records[0][Record.UNIT_FLOATS])
            for part in range(0, width, lanes):
                panel(records, at(w, part), arenas, start + part)
            start += width
        rest(records, weights, arenas, start, units)

    return run
