"""A step of several streams of one model together.

Operation by operation, groups of streams go through functions that load each weight once for the whole group; the
streams that are left over go through the ones for a single stream.
"""

from __future__ import annotations

from typing import Any

from edge_rnn.kernels.record import RECORD_INTS, Bank, Handle, Policy

__all__ = ["build"]

# Numba takes no members of enumerations as indices.
_COUNT, _HANDLES, _PRESENT = int(Bank.COUNT), int(Bank.HANDLES), int(Bank.PRESENT)
_GROUP, _GROUPED = int(Bank.GROUP), int(Bank.GROUPED)
_WHO, _CURRENT, _ARENAS = int(Bank.WHO), int(Bank.RECORDS), int(Bank.ARENAS)
_INPUT_SIZE, _OUTPUT_SIZE = int(Handle.INPUT_SIZE), int(Handle.OUTPUT_SIZE)
_FUNCTIONS, _OPERATIONS, _RECORDS = int(Handle.FUNCTIONS), int(Handle.OPERATIONS), int(Handle.RECORDS)
_WEIGHTS, _ARENA, _INPUT, _HELD = int(Handle.WEIGHTS), int(Handle.ARENA), int(Handle.INPUT), int(Handle.HELD)
_LAST_OUTPUT, _OUTPUT, _PARITY = int(Handle.LAST_OUTPUT), int(Handle.OUTPUT_EVEN), int(Handle.PARITY)
_POLICY, _REFUSED = int(Handle.POLICY), int(Handle.REFUSED)
_STATES, _STATE_FLOATS = int(Handle.STATES_EVEN), int(Handle.STATE_FLOATS)
_RAISE, _HOLD = int(Policy.RAISE), int(Policy.HOLD)
_RECORD_BYTES = 4 * RECORD_INTS


def build(name: str, block: int, streams: int) -> Any:
    """``int32_t bank(table, const float *xs, float *ys)``: 0, or 1 + which stream's sample was refused with an error.

    ``xs`` and ``ys`` have a row for each stream. With an error, no stream has moved.
    """
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.memory import at
    from edge_rnn.kernels.pointer import as_floats, as_words
    from edge_rnn.kernels.samples import all_finite, give

    repeat_last = _repeat_last()
    take_all, run_program = _take_all(repeat_last), _run_program()

    @helper
    def output_of(handle):  # type: ignore[no-untyped-def]
        return at(as_floats(handle[_ARENA]), handle[_OUTPUT + handle[_PARITY]])

    @helper
    def moved(handle):  # type: ignore[no-untyped-def]
        """Whether output and new states are finite."""
        states = at(as_floats(handle[_ARENA]), handle[_STATES + handle[_PARITY]])
        return all_finite(output_of(handle), handle[_OUTPUT_SIZE]) and all_finite(states, handle[_STATE_FLOATS])

    def bank(table, xs, ys):  # type: ignore[no-untyped-def]
        part = take_all(table, xs, ys)
        if part < 0:
            return -part
        run_program(table, part)
        handles, who = as_words(table[_HANDLES]), as_words(table[_WHO])
        for k in range(part):
            handle = as_words(handles[who[k] >> 1])
            if handle[_POLICY] == _RAISE and not moved(handle):
                return 1 + (who[k] >> 1)
        for k in range(part):
            handle = as_words(handles[who[k] >> 1])
            y = at(ys, (who[k] >> 1) * handle[_OUTPUT_SIZE])
            if moved(handle):
                handle[_REFUSED] += who[k] & 1
                give(output_of(handle), at(as_floats(handle[_ARENA]), handle[_LAST_OUTPUT]), y, handle[_OUTPUT_SIZE])
                handle[_PARITY] = 1 - handle[_PARITY]
            else:
                repeat_last(handle, y)
        return 0

    return bank


def _repeat_last() -> Any:
    """The last output of a stream once more, for a sample that does not count."""
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.memory import at
    from edge_rnn.kernels.pointer import as_floats
    from edge_rnn.kernels.samples import give

    @helper
    def repeat_last(handle, y):  # type: ignore[no-untyped-def]
        last = at(as_floats(handle[_ARENA]), handle[_LAST_OUTPUT])
        handle[_REFUSED] += 1
        give(last, last, y, handle[_OUTPUT_SIZE])

    return repeat_last


def _take_all(repeat_last: Any) -> Any:
    """The samples of all streams that are present."""
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.memory import at
    from edge_rnn.kernels.pointer import as_floats, as_words
    from edge_rnn.kernels.samples import hold, take

    @helper
    def take_all(table, xs, ys):  # type: ignore[no-untyped-def]
        """Take the samples of all streams that are present; how many take part, or -1 - which was refused."""
        handles, present, who = as_words(table[_HANDLES]), as_words(table[_PRESENT]), as_words(table[_WHO])
        records, arenas = as_words(table[_CURRENT]), as_words(table[_ARENAS])
        part = 0
        for s in range(table[_COUNT]):
            if not present[s]:
                continue
            handle = as_words(handles[s])
            arena, x, count = as_floats(handle[_ARENA]), at(xs, s * handle[_INPUT_SIZE]), handle[_INPUT_SIZE]
            held = 0
            if handle[_POLICY] == _HOLD:
                if not hold(at(arena, handle[_INPUT]), at(arena, handle[_HELD]), x, count):
                    held = 1
            elif not take(at(arena, handle[_INPUT]), x, count):
                if handle[_POLICY] == _RAISE:
                    return -1 - s
                repeat_last(handle, at(ys, s * handle[_OUTPUT_SIZE]))
                continue
            who[part] = 2 * s + held
            arenas[part] = handle[_ARENA]
            records[part] = handle[_RECORDS] + handle[_PARITY] * handle[_OPERATIONS] * _RECORD_BYTES
            part += 1
        return part

    return take_all


def _run_program() -> Any:
    """All operations, each for all streams that take part."""
    from edge_rnn.kernels.compiler import helper
    from edge_rnn.kernels.memory import at
    from edge_rnn.kernels.pointer import as_floats, as_int32s, as_words, call_kernel

    @helper
    def run_program(table, part):  # type: ignore[no-untyped-def]
        records, arenas = as_words(table[_CURRENT]), as_words(table[_ARENAS])
        handle, group, grouped = as_words(as_words(table[_HANDLES])[0]), table[_GROUP], as_words(table[_GROUPED])
        functions, weights = as_words(handle[_FUNCTIONS]), as_floats(handle[_WEIGHTS])
        for i in range(handle[_OPERATIONS]):
            k = 0
            if grouped[i]:
                while k + group <= part:
                    call_kernel(grouped[i], (at(records, k), weights, at(arenas, k)))
                    k += group
            while k < part:
                call_kernel(functions[i], (as_int32s(records[k]), weights, as_floats(arenas[k])))
                k += 1
            for k in range(part):
                records[k] += _RECORD_BYTES

    return run_program
