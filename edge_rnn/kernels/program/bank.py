"""Step of several streams of one model together.

Operation by operation, groups of streams go through functions that load each weight once for the whole group; the
remaining streams go through the functions for a single stream.
"""

from __future__ import annotations

from typing import Any

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.program.record import FREE, Bank, Handle, Policy

__all__ = ["build"]


def build(name: str, target: Target, streams: int) -> Any:
    """Build ``int32_t bank(table, const float *xs, float *ys)``: step all streams that are present.

    ``xs`` and ``ys`` have a row for each stream. It returns 0, or 1 + the index of the stream whose sample was refused
    with an error, in which case no stream has changed. A result below 0 is -1 - the index of a stream that another call
    is or was in.
    """
    from edge_rnn.kernels.program.claim import own_number

    claim_all, let_go_of_all, step_all = _claim_all(), _let_go_of_all(), _step_all()

    def bank(table, xs, ys):  # type: ignore[no-untyped-def]
        number, count = own_number(), table[Bank.COUNT]
        claimed = claim_all(table, number)
        if claimed < count:
            let_go_of_all(table, number, claimed)
            return -1 - claimed
        refused = step_all(table, xs, ys)
        mixed = let_go_of_all(table, number, count)
        return refused if mixed == count else -1 - mixed

    return bank


def _claim_all() -> Any:
    """Build a helper that claims all streams that are present."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.program.claim import enter
    from edge_rnn.kernels.vectors.addresses import as_words
    from edge_rnn.kernels.vectors.load_store import at

    @helper
    def claim_all(table, number):  # type: ignore[no-untyped-def]
        """Claim streams; return the index of the first that is in use, or their number if all are claimed."""
        handles, present = as_words(table[Bank.HANDLES]), as_words(table[Bank.PRESENT])
        for s in range(table[Bank.COUNT]):
            if present[s] and enter(at(as_words(handles[s]), Handle.IN_USE), number) != FREE:
                return s
        return table[Bank.COUNT]

    return claim_all


def _let_go_of_all() -> Any:
    """Build a helper that releases the first streams."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.program.claim import leave
    from edge_rnn.kernels.vectors.addresses import as_words
    from edge_rnn.kernels.vectors.load_store import at

    @helper
    def let_go_of_all(table, number, count):  # type: ignore[no-untyped-def]
        """Release streams; return the index of one that another call was in meanwhile, or the number of streams."""
        handles, present, mixed = as_words(table[Bank.HANDLES]), as_words(table[Bank.PRESENT]), table[Bank.COUNT]
        for s in range(count):
            if present[s] and not leave(at(as_words(handles[s]), Handle.IN_USE), number):
                mixed = s
        return mixed

    return let_go_of_all


def _step_all() -> Any:
    """Build the step itself, for streams that are claimed."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.program.policy import hand_over, is_finite, repeat_last
    from edge_rnn.kernels.vectors.addresses import as_words
    from edge_rnn.kernels.vectors.load_store import at

    take_all, run_program = _take_all(), _run_program()

    @helper
    def step_all(table, xs, ys):  # type: ignore[no-untyped-def]
        part = take_all(table, xs, ys)
        if part < 0:
            return -part
        run_program(table, part)
        handles, who = as_words(table[Bank.HANDLES]), as_words(table[Bank.WHO])
        for k in range(part):
            handle = as_words(handles[who[k] >> 1])
            if handle[Handle.POLICY] == Policy.RAISE and not is_finite(handle):
                return 1 + (who[k] >> 1)
        for k in range(part):
            handle = as_words(handles[who[k] >> 1])
            y = at(ys, (who[k] >> 1) * handle[Handle.OUTPUT_SIZE])
            if handle[Handle.POLICY] == Policy.RAISE or is_finite(handle):
                hand_over(handle, y, who[k] & 1)
            else:
                repeat_last(handle, y)
        return 0

    return step_all


def _take_all() -> Any:
    """Build a helper that takes the samples of all streams that are present."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.program.policy import REFUSED, repeat_last, take
    from edge_rnn.kernels.vectors.addresses import as_words
    from edge_rnn.kernels.vectors.load_store import at

    @helper
    def take_all(table, xs, ys):  # type: ignore[no-untyped-def]
        """Take the samples; return the number of streams that take part, or -1 - the index of one that was refused."""
        handles, present, who = as_words(table[Bank.HANDLES]), as_words(table[Bank.PRESENT]), as_words(table[Bank.WHO])
        records, arenas = as_words(table[Bank.RECORDS]), as_words(table[Bank.ARENAS])
        part = 0
        for s in range(table[Bank.COUNT]):
            if not present[s]:
                continue
            handle = as_words(handles[s])
            held = take(handle, at(xs, s * handle[Handle.INPUT_SIZE]))
            if held == REFUSED:
                if handle[Handle.POLICY] == Policy.RAISE:
                    return -1 - s
                repeat_last(handle, at(ys, s * handle[Handle.OUTPUT_SIZE]))
                continue
            who[part] = 2 * s + held
            arenas[part] = handle[Handle.ARENA]
            records[part] = handle[Handle.RECORDS_EVEN + handle[Handle.PARITY]]
            part += 1
        return part

    return take_all


def _run_program() -> Any:
    """Build a helper that runs all operations, each for all streams that take part."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.vectors.addresses import as_floats, as_int32s, as_words, call_kernel
    from edge_rnn.kernels.vectors.load_store import at

    @helper
    def run_program(table, part):  # type: ignore[no-untyped-def]
        records, arenas = as_words(table[Bank.RECORDS]), as_words(table[Bank.ARENAS])
        handle = as_words(as_words(table[Bank.HANDLES])[0])
        group, grouped = table[Bank.GROUP], as_words(table[Bank.GROUPED])
        functions, weights = as_words(table[Bank.FUNCTIONS]), as_floats(handle[Handle.WEIGHTS])
        record_bytes = 4 * handle[Handle.RECORD_LENGTH]
        for i in range(handle[Handle.OPERATIONS]):
            k = 0
            if grouped[i]:
                while k + group <= part:
                    call_kernel(grouped[i], (at(records, k), weights, at(arenas, k)))
                    k += group
            while k < part:
                call_kernel(functions[i], (as_int32s(records[k]), weights, as_floats(arenas[k])))
                k += 1
            for k in range(part):
                records[k] += record_bytes

    return run_program
