"""A step allocates no memory, counted at malloc itself and by Numba's own statistics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import needs

ROOT = Path(__file__).resolve().parents[2]

COUNTER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
static long count;
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
void *malloc(size_t n) { __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED); return __libc_malloc(n); }
void *calloc(size_t n, size_t s) { __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED); return __libc_calloc(n, s); }
void *realloc(void *p, size_t n) { __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED); return __libc_realloc(p, n); }
void *memalign(size_t a, size_t n) { __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED); return __libc_memalign(a, n); }
void *aligned_alloc(size_t a, size_t n) { return memalign(a, n); }
int posix_memalign(void **p, size_t a, size_t n) { *p = memalign(a, n); return *p ? 0 : 12; }
long allocations(void) { return __atomic_load_n(&count, __ATOMIC_RELAXED); }
"""

PROGRAM = r"""
import ctypes, itertools, json, sys
import numba, numpy as np
from numba.core.runtime import rtsys
import edge_rnn
from edge_rnn import GRU, LSTM, Dense, Elman, Model, Standardize, Stream

allocations = ctypes.CDLL(None).allocations
allocations.restype = ctypes.c_long

rng = np.random.default_rng(0)
def uniform(*shape): return rng.uniform(-0.3, 0.3, shape)

@numba.njit
def loop(handle, xs, ys):
    for t in range(xs.shape[0]):
        edge_rnn.step(handle, xs[t], ys[t])

def each(cell, gates):
    return Model([
        Standardize(uniform(3), 1 + uniform(3)), cell(uniform(gates * 9, 3), uniform(gates * 9, 9)),
        Dense(uniform(4, 12), activation="softmax", inputs=(cell.__name__.lower() + "2", "input")),
    ])

report = {}
for cell, gates in ((Elman, 1), (GRU, 3), (LSTM, 4)):
    stream = Stream(each(cell, gates))
    step, x = stream.step, rng.standard_normal(3).astype(np.float32)
    xs, ys = rng.standard_normal((5000, 3)).astype(np.float32), np.empty((5000, 4), np.float32)
    step(x); loop(stream.handle, xs, ys); stream.run(xs, ys)
    marks = [allocations()]
    for _ in itertools.repeat(None, 5000):
        step(x)
    marks.append(allocations())
    stats = rtsys.get_allocation_stats()
    handle = stream.handle
    marks.append(allocations())
    loop(handle, xs, ys)
    marks.append(allocations())
    after = rtsys.get_allocation_stats()
    report[cell.__name__] = {
        "step": marks[1] - marks[0], "loop": marks[3] - marks[2],
        "numba": [after.alloc - stats.alloc, after.mi_alloc - stats.mi_alloc],
    }
    x[0] = np.nan
    skipping = Stream(stream.model, on_nonfinite="skip")
    skipping.step(x)
    before = allocations()
    for _ in itertools.repeat(None, 5000):
        skipping.step(x)
    report[cell.__name__]["skip"] = allocations() - before
    before = allocations()
    bytearray(100_000)
    assert allocations() > before, "the counter does not count"

from edge_rnn.sampling import Sampler

letters = Model([GRU(uniform(27, 12), uniform(27, 9)), Dense(uniform(12, 9))])
read = np.array([3], np.int32)
for name, options in {
    "greedy": {"temperature": 0}, "drawn": {},
    "all": {"top_k": 9, "top_p": 0.9, "min_p": 0.01, "repetition_penalty": 1.1, "temperature": 2.0},
}.items():
    sampler = Sampler(Stream(letters), **options)
    counts = []
    for length in (1, 1, 5000):
        symbols, logarithms = np.empty(length, np.int32), np.empty(length, np.float32)
        before = allocations()
        sampler._write(read, symbols, logarithms, 0, length)
        counts.append(allocations() - before)
    report[name] = counts[1:]
json.dump(report, sys.stdout)
"""


@pytest.mark.needs("cc")
@pytest.mark.skipif(sys.platform != "linux", reason="counts by LD_PRELOAD")
def test_a_step_allocates_nothing(tmp_path: Path) -> None:
    compiler = needs.program("cc")
    source, counter = tmp_path / "counter.c", tmp_path / "counter.so"
    source.write_text(COUNTER)
    assert compiler is not None
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", counter, source], check=True)
    environment = os.environ | {
        "LD_PRELOAD": str(counter),
        "NUMBA_NRT_STATS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "export")]),
    }
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    # A call of the compiled loop takes what ctypes takes for it, whether it writes 1 symbol or 5000.
    for name in ("greedy", "drawn", "all"):
        one, many = report.pop(name)
        assert many == one <= 8, name
    assert report.keys() == {"Elman", "GRU", "LSTM"}
    for cell, counts in report.items():
        # 5000 steps each; a call of a compiled function makes a MemInfo per array that it is handed: two, once.
        assert counts["step"] == 0, (cell, counts)
        assert counts["skip"] == 0, (cell, counts)
        assert counts["loop"] <= 8, (cell, counts)
        assert counts["numba"][0] <= 2, (cell, counts)
        assert counts["numba"][1] <= 2, (cell, counts)
