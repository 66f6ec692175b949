"""Images on other processors, under QEMU: mapped from their file by a C program, and placed by Python."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn import Model, boards
from edge_rnn.kernels.compile.image import Image
from edge_rnn.kernels.compile.link import link
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.program.record import Handle
from edge_rnn.streams.plan import Plan
from edge_rnn.streams.planner import plan_for
from emulated import LINUX, cases_on_linux, check, compiled_c, outputs, run, samples
from linked_code import LOADS, OTHER, assembled, program_object

pytestmark = pytest.mark.emulated

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tests" / "devices" / "images" / "run_image.c"
ADDRESSES = ("STEP", "ADVANCE", "FUNCTIONS", "RECORDS_EVEN", "RECORDS_ODD", "WEIGHTS", "ARENA")


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Function that compiles the program for a board."""
    words = [f"-DHANDLE_{name}={int(Handle[name])}" for name in ADDRESSES]

    @cache
    def program(board: str) -> Path:
        return compiled_c(tmp_path_factory.mktemp("images") / "run_image", board, [SOURCE], words)

    return program


def image_of(way: str, plan: Plan, target: Target) -> Image:
    """One image with everything that a stream calls: the kernels of any model, or the program of one structure."""
    names = ("run",) if way == "program" else ("run", "step", "advance", *plan.operations)
    objects = [bytes(object_cache.compile_for(name, target)) for name in dict.fromkeys(names)]
    return link(objects + [program_object(plan, target)] * (way == "program"), target)


def job(plan: Plan, image: Image, xs: np.ndarray) -> bytes:
    """Network and samples in the form that the program reads, described in its first lines."""
    handle = np.zeros(len(Handle), np.int64)
    for word, value in plan.words.items():
        handle[word] = value
    functions = np.array([image.symbols.get(name, 0) for name in plan.operations], np.int64)
    arena = np.zeros(plan.arena_floats, np.float32)
    arena[: len(plan.initial)] = plan.initial
    entries = [image.symbols[name] for name in ("run", "advance", "step")]
    sizes = [len(functions), len(handle), plan.records.nbytes, plan.weights.nbytes, arena.nbytes]
    lengths = [len(image.code), *entries, *sizes, *xs.shape, plan.last_output.size]
    arrays = [np.array(lengths, np.int64), functions, handle, plan.records, plan.weights, arena, xs]
    return b"".join(array.tobytes() for array in arrays)


def ways() -> list[Any]:
    """Programs of all cases, and for some also the kernels that a program takes the place of."""
    kernels = ("lstm", "functions", "w8a8", "int4")
    return [
        pytest.param(board, way, case, marks=marks)
        for (board, case), marks, _ in cases_on_linux()
        for way in ("kernels", "program")
        if way == "program" or case in kernels
    ]


@pytest.mark.parametrize(("board", "way", "case"), ways())
def test_image_runs_on_linux(
    board: str, way: str, case: str, model_of: Callable[[str], Model], program: Callable[[str], Path], tmp_path: Path
) -> None:
    _, emulator, processors = LINUX[board]
    model, target = model_of(case), boards.load(board).target
    plan, xs = plan_for(model, target), samples(model)
    image = image_of(way, plan, target)
    (tmp_path / "net.image").write_bytes(image.to_bytes())
    (tmp_path / "job").write_bytes(job(plan, image, xs))
    for processor in processors:
        command = [
            needs.path(emulator),
            "-cpu",
            processor,
            str(program(board)),
            *map(str, (tmp_path / "net.image", tmp_path / "job")),
        ]
        done = run(command)
        assert done.returncode == 0, (done.returncode, done.stderr)
        check(case, model, outputs(done.stdout))


PLACE = r"""
import ctypes, sys
sys.path.insert(0, sys.argv[1])
from edge_rnn.kernels.compile.image import parse
from edge_rnn.kernels.entry import code_memory

def rights(address):
    for line in open("/proc/self/maps"):
        start, end = (int(word, 16) for word in line.split()[0].split("-"))
        if start <= address < end:
            return line.split()[1]

image = parse(open(sys.argv[2], "rb").read())
for _ in range(2):
    found = code_memory.place(image)
    calls = {name: ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int32)(address) for name, address in found.items()}
    print(calls["entry"](3), calls["calls"](5), calls["other"](-1), rights(found["entry"]))
    code_memory._in_sealed_file = code_memory._in_anonymous_memory
"""


@pytest.mark.parametrize(
    ("architecture", "board"),
    [
        pytest.param("arm64", "raspberry_pi_4", marks=pytest.mark.needs("qemu-aarch64", "mmdebstrap")),
        pytest.param("armhf", "raspberry_pi_zero_w", marks=pytest.mark.needs("qemu-arm", "mmdebstrap")),
    ],
)
def test_python_places_code(
    architecture: str, board: str, tmp_path: Path, debian_python: Callable[[str], list[str]]
) -> None:
    target = boards.load(board).target
    image = link([assembled(text, target) for text in (LOADS, OTHER)], target)
    (tmp_path / "small.image").write_bytes(image.to_bytes())
    done = run([*debian_python(architecture), "-c", PLACE, str(ROOT), str(tmp_path / "small.image")])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["9 3015 999 r-xp"] * 2
