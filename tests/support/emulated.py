"""Networks, boards and tools for tests of code for other processors, which QEMU runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_rnn import LSTM, Dense, Model, Stream, cell, reference
from edge_rnn.equations import gelu, log, log_softmax, mish, softplus

__all__ = [
    "CASES",
    "FORMATS",
    "LINUX",
    "ZIG",
    "cases_on_linux",
    "cell_of_many_functions",
    "check",
    "compiled_c",
    "lstm_of_every_option",
    "outputs",
    "run",
    "samples",
    "shared_out",
]

ZIG = [sys.executable, "-m", "ziglang"]
STEPS = 64

LINUX = {  # board: how zig calls its system, the emulator, the processors to try it on
    "raspberry_pi_zero_2w": ("aarch64-linux-musl", "qemu-aarch64", ("cortex-a53",)),
    "raspberry_pi_4": ("aarch64-linux-musl", "qemu-aarch64", ("cortex-a72",)),
    "raspberry_pi_5": ("aarch64-linux-musl", "qemu-aarch64", ("cortex-a76",)),
    "raspberry_pi_2": ("arm-linux-musleabihf", "qemu-arm", ("cortex-a7",)),
    "raspberry_pi_zero_w": ("arm-linux-musleabihf -mcpu=arm1176jzf_s", "qemu-arm", ("arm1176",)),
    "visionfive_2": ("riscv64-linux-musl", "qemu-riscv64", ("sifive-u54",)),
    "generic_x86_64": ("x86_64-linux-musl", "qemu-x86_64", ("qemu64",)),
}

# Relative RMS, as tests/kernels/test_formats.py derives it for formats that round vectors to steps.
ROUNDED = {steps: 13 / steps / np.sqrt(12) for steps in (127, 32639)}
STEPS_OF = {"int8": 32639, "int4": 32639, "w8a8": 127}
FORMATS = ("float16", "int8", "w8a8", "int4", "sparse:0.5", "rank:2")


CELLS = ("elman_tanh", "elman_relu", "gru", "gru_reset_before", "lstm")
CASES = (*CELLS, "options", "functions", *FORMATS)


def lstm_of_every_option() -> Model:
    random = np.random.default_rng(5).standard_normal
    return Model(
        [
            LSTM(
                random((36, 5)) / 2,
                random((36, 6)) / 2,
                random(36),
                random(36),
                peephole=random(27) / 2,
                weight_hr=random((6, 9)) / 3,
                gate_clip=4.0,
                cell_clip=3.0,
                gate_activation="hard_sigmoid",
            ),
            Dense(random((4, 6)), random(4), activation="elu"),
        ]
    )


def cell_of_many_functions() -> Model:
    @cell
    def many(p: Any, x: Any, h: Any) -> Any:
        a = p.w @ x + p.u @ h
        return log_softmax(gelu(a)), {"h": mish(a) / (1 + softplus(a)) + log(a * a + 1e-40)}

    random = np.random.default_rng(6).standard_normal
    return Model([many(w=random((11, 5)), u=random((11, 11)) / 20)])


def samples(model: Model) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((STEPS, model.input_size)).astype(np.float32)


def check(case: str, model: Model, ys: np.ndarray) -> None:
    """Check outputs within 1e-5 of the reference; for formats that round, within their error, and as Stream."""
    expected, _ = reference.run(model, samples(model))
    steps = STEPS_OF.get(case)
    if steps is None:
        np.testing.assert_allclose(ys, expected, rtol=0, atol=1e-5 * max(1.0, np.abs(expected).max()))
        return
    assert np.sqrt(np.mean((ys - expected) ** 2) / np.mean(expected**2)) < ROUNDED[steps]
    here = Stream(model).run(samples(model))
    np.testing.assert_allclose(ys, here, rtol=0, atol=max(1.0, np.abs(expected).max()) / steps)


def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **options)  # type: ignore[call-overload]
    assert isinstance(done, subprocess.CompletedProcess)
    return done


def compiled_c(out: Path, board: str, sources: Iterable[Path], flags: Iterable[str] = ()) -> Path:
    """Compile C for the system of a board to a static program."""
    target, *options = LINUX[board][0].split()
    warnings = ["-O2", "-Wall", "-Werror", "-static"]
    done = run([*ZIG, "cc", "-target", target, *options, *warnings, *flags, "-o", str(out), *map(str, sources)])
    assert done.returncode == 0, done.stderr
    return out


def outputs(text: str) -> np.ndarray:
    """Values ``(time, output_size)`` that a program printed, a line per step."""
    return np.array([[float(word) for word in line.split()] for line in text.splitlines()])


def shared_out(names: Iterable[str], nth: int) -> list[tuple[str, str]]:
    """Every ``nth`` case for each board, the other cases for the boards after it."""
    return [(name, case) for (i, name), (j, case) in product(enumerate(names), enumerate(CASES)) if (i + j) % nth == 0]


def cases_on_linux() -> list[Any]:
    """Boards and cases, each with its needs; bytes on all boards with instructions of their own for dot products."""
    pairs = shared_out(LINUX, 2) + [(board, "w8a8") for board in ("raspberry_pi_5", "generic_x86_64")]
    return [
        pytest.param(board, case, marks=pytest.mark.needs(LINUX[board][1], "ziglang", f"linker:{board}"))
        for board, case in pairs
    ]
