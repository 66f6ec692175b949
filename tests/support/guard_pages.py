"""Memory between protected pages: run as a program, this module steps networks whose memory lies there.

Each block begins right behind such a page, or ends right before one, so that a read or a write of one byte too many
ends the process. The weights may not be written to. The name of each case is printed before it is run: the last one
printed is the one that failed.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import mmap
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import edge_rnn
from edge_rnn import GRU, LSTM, Dense, Elman, Embedding, Model, Standardize, Stream, StreamBank
from edge_rnn.kernels.program.record import Bank, Handle
from edge_rnn.layers import Add
from edge_rnn.quantization.apply import matrices
from edge_rnn.sampling import generate, rollout, sampler
from edge_rnn.streams import planner, stream_memory

PAGE = mmap.PAGESIZE
STEP = ctypes.PYFUNCTYPE(ctypes.c_int32, *(ctypes.c_void_p,) * 3)
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_long)
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class Guarded:
    """Blocks at the start or at the end of separate pages; none is ever freed."""

    def __init__(self, place: str) -> None:
        self.at_end = place == "end"

    def __call__(self, size: int) -> np.ndarray:
        """``(size,)`` float32 zeros."""
        nbytes = 4 * size
        inner = -(-max(nbytes, 1) // PAGE) * PAGE
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        start = _libc.mmap(None, inner + 2 * PAGE, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0) + PAGE
        for guard in (start - PAGE, start + inner):
            self.protect(guard, PAGE, 0)
        address = start + inner - nbytes if self.at_end else start
        return np.frombuffer((ctypes.c_float * size).from_address(address), np.float32)

    def copy(self, values: np.ndarray) -> np.ndarray:
        block = self(values.size)
        block[:] = values.ravel()
        return block.reshape(values.shape)

    @staticmethod
    def protect(address: int, nbytes: int, access: int) -> None:
        assert _libc.mprotect(address, nbytes, access) == 0, ctypes.get_errno()


def uniform(*shape: int) -> np.ndarray:
    return np.random.default_rng([len(shape), *shape]).uniform(-0.4, 0.4, shape).astype(np.float32)


def recurrent(cls: Any, inputs: int, hidden: int, outputs: int = 0, **options: Any) -> Any:
    rows = len(cls.gates) * hidden
    return cls(uniform(rows, inputs), uniform(rows, outputs or hidden), uniform(rows), uniform(rows), **options)


def few_models() -> Iterator[tuple[str, Model]]:
    """A recurrent layer, a table of rows, and values too large for one."""
    yield "gru", Model([recurrent(GRU, 9, 17), Dense(uniform(3, 17))])
    yield "embedding", Model([Embedding(uniform(5, 7)), recurrent(GRU, 7, 6)], input_size=1)
    nan = [Dense([[3e38], [-3e38]]), Dense([[1.0, 1.0]])]
    yield "embedding of anything", Model([*nan, Embedding(uniform(5, 7))], input_size=1)


def plain_models() -> Iterator[tuple[str, Model]]:
    """Every kind of layer, of sizes that fill no vector."""
    for inputs, hidden in ((1, 1), (3, 5), (9, 17), (8, 40)):
        sizes = f"{inputs} {hidden}"
        yield f"elman {sizes}", Model([recurrent(Elman, inputs, hidden), Dense(uniform(3, hidden))])
        yield f"gru {sizes}", Model([recurrent(GRU, inputs, hidden), Dense(uniform(9, hidden), activation="softmax")])
        before = recurrent(GRU, inputs, hidden, reset_after=False)
        yield f"gru reset before {sizes}", Model([before, Dense(uniform(1, hidden), activation="relu")])
        yield f"lstm {sizes}", Model([recurrent(LSTM, inputs, hidden), Dense(uniform(4, hidden))])
        projected = recurrent(LSTM, inputs, hidden, 2, weight_hr=uniform(2, hidden), peephole=uniform(3 * hidden))
        yield f"lstm projected {sizes}", Model([projected])
        first, second = Dense(uniform(inputs, inputs), name="a"), Add(inputs=("input", "a"), name="b")
        third = dataclasses.replace(recurrent(Elman, 2 * inputs, hidden), inputs=("a", "b"))
        parts = [Standardize(uniform(inputs), np.ones(inputs)), first, second, third]
        yield f"parts {sizes}", Model(parts)
    for width in (1, 7, 8, 21):
        table = Embedding(uniform(5, width))
        yield f"embedding {width}", Model([table, recurrent(GRU, width, 6)], input_size=1)
        nan = [Dense([[3e38], [-3e38]]), Dense([[1.0, 1.0]])]
        yield f"embedding of anything {width}", Model([*nan, table], input_size=1)
        yield f"embedding of the largest {width}", Model([Dense([[3e38]]), table], input_size=1)


def formatted_models(cls: Any) -> Iterator[tuple[str, Model]]:
    """A recurrent layer in every format, of sizes that fill no vector."""
    for format_ in ("float16", "int8", "w8a8", "int4", "sparse:0.5", "rank:2"):
        for inputs, hidden in ((3, 5), (9, 24)):
            model = Model([recurrent(cls, inputs, hidden), Dense(uniform(9, hidden))])
            for name in matrices(model):
                try:
                    model = edge_rnn.quantize(model, {name: format_})
                except edge_rnn.errors.InputError:  # it saves nothing there
                    continue
            yield f"{format_} {cls.__name__} {inputs} {hidden}", model


def samples(model: Model, guarded: Guarded, count: int) -> np.ndarray:
    return guarded.copy(np.random.default_rng(1).uniform(-10, 10, (count, model.input_size)).astype(np.float32))


def check_calls(model: Model, guarded: Guarded) -> None:
    """Check step, run, rollout and bank, with every policy, good samples and bad ones."""
    for policy in ("raise", "hold", "skip"):
        stream = Stream(model, on_nonfinite=policy)
        weights = stream._memory.plan.weights
        if weights.size:
            first = weights.ctypes.data // PAGE * PAGE
            guarded.protect(first, weights.ctypes.data + weights.nbytes - first, mmap.PROT_READ)
        xs, ys = samples(model, guarded, 5), guarded(5 * model.output_size).reshape(5, -1)
        call_step = STEP(int(stream._memory.handle[Handle.STEP]))
        for row in range(5):
            x, y = guarded.copy(xs[row]), guarded(model.output_size)
            call_step(stream.handle, x.ctypes.data, y.ctypes.data)
            if policy != "raise":
                x[-1] = np.nan
                call_step(stream.handle, x.ctypes.data, y.ctypes.data)
        try:
            stream.run(xs, ys)
            check_others(model, guarded, policy)
        except edge_rnn.errors.InputError as error:
            assert "overflow" in str(error), error
        stream.restore(stream.clone().snapshot())


def check_others(model: Model, guarded: Guarded, policy: Any) -> None:
    if model.input_size == model.output_size:
        rollout(Stream(model, on_nonfinite=policy), guarded.copy(np.ones(model.input_size, np.float32)), 5)
    count = 2 * edge_rnn.kernels.entry.object_cache.host().group + 1
    bank = StreamBank(model, count, on_nonfinite=policy)
    ys = guarded(count * model.output_size)
    step = edge_rnn.streams.stream_bank._stepper()
    for _ in range(3):
        step(bank._table.ctypes.data, samples(model, guarded, count).ctypes.data, ys.ctypes.data)
    assert bank._table[Bank.COUNT] == count
    assert stream_words(bank[0]) == 0


def stream_words(stream: Stream) -> int:
    return int(stream._memory.handle[Handle.IN_USE])


def check_writing(guarded: Guarded) -> None:
    """Check text generation: symbols one-hot and by id, greedy and sampled, with all limits."""
    for symbols in (2, 5, 8, 19):
        one_hot = Model([recurrent(GRU, symbols, 7), Dense(uniform(symbols, 7))])
        numbered = Model(
            [Embedding(uniform(symbols, 3)), recurrent(GRU, 3, 7), Dense(uniform(symbols, 7))], input_size=1
        )
        for model in (one_hot, numbered):
            for options in (
                {"temperature": 0},
                {"temperature": 1e4, "top_k": 2, "top_p": 0.5, "min_p": 0.1, "repetition_penalty": 2.0},
                {"temperature": 1e-4, "stop": [0]},
            ):
                generate(Stream(model), [symbols - 1], max_length=20, **options)


def check_library(folder: Path, room: Guarded) -> None:
    """Check every function of the library that :func:`edge_rnn_export.build` wrote to a folder as ``net``."""
    meta = json.loads((folder / "net.json").read_text())
    built = ctypes.CDLL(str(folder / meta["library"]))

    def call(function: str, *given: Any) -> int:
        arguments = [a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else a for a in given]
        return int(getattr(built, f"net_{function}")(*arguments))

    inputs, outputs = meta["input_size"], meta["output_size"]
    state, saved = room(meta["state_bytes"] // 4), room(meta["saved_floats"])
    assert call("self_test", state) == 0
    for policy in (0, 1, 2):
        assert call("reset", state) == 0
        assert call("set_policy", state, policy) == 0
        for value in (np.nan, 0.5, np.inf, 3e38, -1e30, 2.0):
            x, y = room.copy(np.full(inputs, value, np.float32)), room(outputs)
            status = call("step", x, y, state)
            assert status == 0 or policy == 0
            if policy == 2 and np.isnan(value):
                assert np.isnan(y).all()
            assert call("save", state, saved) == 0
            assert call("restore", state, saved) == 0  # also while there is no output yet
        xs, ys = room.copy(np.ones((7, inputs), np.float32)), room(7 * outputs)
        assert call("run", xs, ys, 7, state) in ((7,) if policy else range(8))


def main(what: str) -> None:
    for place in ("end", "start"):
        guarded = Guarded(place)
        for module in (planner, stream_memory, sampler):
            module.aligned = guarded  # type: ignore[attr-defined]
        for name, check in cases(what):
            print(f"{name}, guarded at its {place}", flush=True)
            check(guarded)


def cases(what: str) -> Iterator[tuple[str, Callable[[Guarded], None]]]:
    if what == "writing":
        yield "writing", check_writing
        return
    kind, _, folder = what.partition(":")
    if kind == "library":
        yield "the library", partial(check_library, Path(folder))
        return
    cells = {"elman": Elman, "gru": GRU, "lstm": LSTM}
    models = formatted_models(cells[what]) if what in cells else {"few": few_models, "plain": plain_models}[what]()
    for name, model in models:
        yield name, partial(check_calls, model)


if __name__ == "__main__":
    np.seterr(all="ignore")
    main(*sys.argv[1:])
