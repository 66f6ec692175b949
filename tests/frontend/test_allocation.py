"""Front ends allocate no memory per sample, counted at malloc itself."""

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
#include <stddef.h>
static long taken, given;
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);
#define ONE(counter) __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED)
void *malloc(size_t n) { ONE(taken); return __libc_malloc(n); }
void *calloc(size_t n, size_t s) { ONE(taken); return __libc_calloc(n, s); }
void *realloc(void *p, size_t n) { if (!p) ONE(taken); return __libc_realloc(p, n); }
void *memalign(size_t a, size_t n) { ONE(taken); return __libc_memalign(a, n); }
void *aligned_alloc(size_t a, size_t n) { return memalign(a, n); }
int posix_memalign(void **p, size_t a, size_t n) { *p = memalign(a, n); return *p ? 0 : 12; }
void free(void *p) { if (p) ONE(given); __libc_free(p); }
long blocks_taken(void) { return __atomic_load_n(&taken, __ATOMIC_RELAXED); }
long blocks_given_back(void) { return __atomic_load_n(&given, __ATOMIC_RELAXED); }
"""

PROGRAM = r"""
import ctypes, gc, json, sys
import numpy as np
from edge_rnn.backend import Detector, Hysteresis, Majority, Smooth
from edge_rnn.frontend import parse

lib = ctypes.CDLL(None)
taken, given = lib.blocks_taken, lib.blocks_given_back
taken.restype = given.restype = ctypes.c_long
gc.disable()

def push_all(front, xs):
    outputs = 0
    for x in xs:
        y = front.push(x)
        while y is not None:
            outputs += 1
            y = front.more()
    return outputs

report = {}
specs = {
    "resample": "resample:rate_in=44100,rate_out=16000,channels=2",
    "up": "resample:rate_in=8000,rate_out=16000",
    "moving": "moving:statistics=mean+std+min+max+range+rms+energy+crossings,window=50,hop=5,channels=6",
    "standardize": "standardize:mean=1/2,scale=1/2",
    "logmel": "logmel:rate=16000,frame=400,hop=160,fft=512",
    "mfcc": "mfcc:preset=kaldi,energy=1",
    "micro": "micro:hop=160",
    "chain": "resample:rate_in=48000,rate_out=16000|logmel:preset=kaldi|standardize:mean=%s,scale=%s"
        % ("/".join(["0"] * 40), "/".join(["1"] * 40)),
}
fronts = {name: parse(spec) for name, spec in specs.items()} | {"smooth": Smooth(5, 12), "majority": Majority(9, 12)}
for name, front in fronts.items():
    xs = list(np.random.default_rng(0).standard_normal((8000, front.input_size)).astype(np.float32))
    for _ in range(2):
        push_all(front, xs)
    t, g = taken(), given()
    outputs = push_all(front, xs)
    t, g = taken() - t, given() - g
    report[name] = {"outputs": outputs, "taken": t, "left": t - g}

detector = Detector(Hysteresis(12), [Smooth(5, 12)])
ys = list(0.1 * np.random.default_rng(0).random((4000, 12)).astype(np.float32))
for y in ys: detector.write(y, 0.0)
t, g = taken(), given()
for y in ys: detector.write(y, 0.0)
report["detector"] = {"outputs": 4000, "taken": taken() - t, "left": taken() - t - (given() - g)}
t = taken()
bytearray(100_000)
assert taken() > t, "the counter does not count"
json.dump(report, sys.stdout)
"""


@pytest.mark.needs("cc")
@pytest.mark.skipif(sys.platform != "linux", reason="counts by LD_PRELOAD")
def test_a_sample_takes_no_memory(tmp_path: Path) -> None:
    compiler = needs.program("cc")
    source, counter = tmp_path / "counter.c", tmp_path / "counter.so"
    source.write_text(COUNTER)
    assert compiler is not None
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", counter, source], check=True)
    environment = os.environ | {"LD_PRELOAD": str(counter), "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    for name, counts in report.items():
        assert counts["outputs"] > 10, name
        assert abs(counts["left"]) <= 2, (name, counts)
        if name in ("moving", "logmel", "mfcc", "micro", "chain"):
            # A sample takes nothing. With a feature NumPy takes iterators and a buffer for the transform, for a moment.
            most = 500 if name == "micro" else 40  # its whole numbers are arrays of their own at each step
            assert counts["taken"] <= 2 + most * counts["outputs"], (name, counts)
        else:
            assert counts["taken"] <= 2, (name, counts)
