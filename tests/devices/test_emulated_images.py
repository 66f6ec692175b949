"""Images on other processors: mapped from their file by a C program, and run under QEMU."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

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
from emulated import CASES, LINUX, boards_on_linux, check, compiled_c, outputs, run, samples

pytestmark = pytest.mark.emulated

SOURCE = Path(__file__).parent / "images" / "run_image.c"
ADDRESSES = ("STEP", "ADVANCE", "FUNCTIONS", "RECORDS_EVEN", "RECORDS_ODD", "WEIGHTS", "ARENA")


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Function that compiles the program for a board."""
    words = [f"-DHANDLE_{name}={int(Handle[name])}" for name in ADDRESSES]

    @cache
    def program(board: str) -> Path:
        return compiled_c(tmp_path_factory.mktemp("images") / "run_image", board, [SOURCE], words)

    return program


def image_of(plan: Plan, target: Target) -> Image:
    """One image with everything that a stream calls."""
    names = dict.fromkeys(("step", "advance", "run", *plan.operations))
    return link([bytes(object_cache.compile_for(name, target)) for name in names], target)


def job(plan: Plan, image: Image, xs: np.ndarray) -> bytes:
    """Network and samples in the form that the program reads, described in its first lines."""
    handle = np.zeros(len(Handle), np.int64)
    for word, value in plan.words.items():
        handle[word] = value
    functions = np.array([image.symbols[name] for name in plan.operations], np.int64)
    arena = np.zeros(plan.arena_floats, np.float32)
    arena[: len(plan.initial)] = plan.initial
    entries = [image.symbols[name] for name in ("run", "advance", "step")]
    sizes = [len(functions), len(handle), plan.records.nbytes, plan.weights.nbytes, arena.nbytes]
    lengths = [len(image.code), *entries, *sizes, *xs.shape, plan.last_output.size]
    arrays = [np.array(lengths, np.int64), functions, handle, plan.records, plan.weights, arena, xs]
    return b"".join(array.tobytes() for array in arrays)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("board", boards_on_linux())
def test_image_runs_on_linux(
    board: str, case: str, model_of: Callable[[str], Model], program: Callable[[str], Path], tmp_path: Path
) -> None:
    _, emulator, processors = LINUX[board]
    model, target = model_of(case), boards.load(board).target
    plan, xs = plan_for(model, target), samples(model)
    image = image_of(plan, target)
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
