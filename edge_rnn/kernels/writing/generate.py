"""Symbol after symbol: a step reads the last one, the next is chosen from what it puts out, and so on."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.compile.words import Words
from edge_rnn.kernels.program.record import FREE, Handle, Status
from edge_rnn.kernels.writing.choose import Choice, choose

__all__ = ["Outcome", "build"]


class Outcome(Words):
    """How a call of ``generate`` ended."""

    FULL = 0
    """As many symbols as were asked for."""
    STOPPED = 1
    """The last symbols are a row that ends the text."""
    REFUSED = 2
    """The step that was to read the last symbol made something that is not finite; the state is as before it."""


def build(name: str, target: Target, streams: int) -> Any:
    """The compiled function ``generate``: read all of ``prompt``, then write symbols; how many there are then.

    ``intptr_t generate(table, const int32_t *prompt, intptr_t length, int32_t *symbols, float *logarithms, intptr_t
    done, intptr_t count)``: ``done`` of ``count`` symbols were written before. The last one is not yet read when it
    returns, and is the next call's prompt. Less than 0 if another call is in the stream, or was: a :class:`Status` with
    its sign changed. The table is described by :class:`edge_rnn.kernels.writing.choose.Choice`.
    """
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.program.claim import busy, enter_atomically, leave, own_number
    from edge_rnn.kernels.vectors.addresses import as_floats, as_int32s, as_words, call_for_status
    from edge_rnn.kernels.vectors.load_store import at

    next_symbol = choose()

    @helper
    def read(table, symbol):  # type: ignore[no-untyped-def]
        """Take a step that reads ``symbol``; whether it counts."""
        x = as_floats(table[Choice.X])
        if table[Choice.ONE_HOT]:
            x[table[Choice.PLACE]] = np.float32(0)
            x[symbol] = np.float32(1)
            table[Choice.PLACE] = symbol
        else:
            x[0] = np.float32(symbol)
        as_int32s(table[Choice.SEEN])[symbol] = np.int32(1)
        handle, y = as_words(table[Choice.HANDLE]), as_floats(table[Choice.Y])
        return call_for_status(table[Choice.ADVANCE], (handle, x, y)) == Status.DONE

    @helper
    def ends(stops, symbols, done):  # type: ignore[no-untyped-def]
        """Whether the last symbols are one of the rows that end a text."""
        row = 0
        while stops[row]:
            length, same = stops[row], 0
            while same < length <= done and symbols[done - length + same] == stops[row + 1 + same]:
                same += 1
            if same == length:
                return True
            row += 1 + length
        return False

    @helper
    def write(table, prompt, length, symbols, logs, done, count):  # type: ignore[no-untyped-def]
        table[Choice.OUTCOME], begun = Outcome.REFUSED, done
        for i in range(length):
            if not read(table, prompt[i]):
                return done
        while done < count:
            if done > begun and not read(table, symbols[done - 1]):
                return done
            symbol = next_symbol(table, logs, done)
            symbols[done] = np.int32(symbol)
            done += 1
            if ends(as_int32s(table[Choice.STOPS]), symbols, done):
                table[Choice.OUTCOME] = Outcome.STOPPED
                return done
        table[Choice.OUTCOME] = Outcome.FULL
        return done

    def generate(table, prompt, length, symbols, logs, done, count):  # type: ignore[no-untyped-def]
        word, number = at(as_words(table[Choice.HANDLE]), Handle.IN_USE), own_number()
        found = enter_atomically(word, number)
        if found != FREE:
            return -busy(found)
        written = write(table, prompt, length, symbols, logs, done, count)
        return written if leave(word, number) else -Status.MIXED

    return generate
