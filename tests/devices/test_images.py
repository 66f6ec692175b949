"""Kernels of every board as images: what a compiler emits that the linker does not know is found here."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product

import pytest

from edge_rnn import Model, boards
from edge_rnn.cli.warm_up import all_models
from edge_rnn.kernels.compile.link import link
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry import object_cache
from edge_rnn.streams.plan import DRIVER
from edge_rnn.streams.planner import plan_for
from emulated import shared_out
from linked_code import program_object

HERE = "here"
LOOPS = (*DRIVER, "rollout", "generate", "bank", "read", "quantize8", "quantize16")
OTHER_LINKERS = ("thumb", "wasm")
"""Machines whose programs are linked by the user's own tools."""


def targets() -> list[str]:
    """First board of each target that Python runs on, and this machine; one of each architecture comes first."""
    boards_of = {target_of(board): board for board in reversed((HERE, *boards.names()))}
    linked = {target: board for target, board in boards_of.items() if not target.triple.startswith(OTHER_LINKERS)}
    first = {target.triple.partition("-")[0]: board for target, board in linked.items()}
    return [*first.values(), *sorted({*linked.values()} - {*first.values()})]


def target_of(board: str) -> Target:
    return object_cache.host() if board == HERE else boards.load(board).target


@cache
def size_of(name: str, target: Target) -> int:
    image = link([bytes(object_cache.compile_for(name, target))], target)
    assert [*image.symbols] == [name]
    return len(image.code)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("board", "case"), [*shared_out(targets(), 3), *product(targets(), ["every layer", "loops"])])
def test_kernels_of_a_board_become_images(board: str, case: str, model_of: Callable[[str], Model]) -> None:
    target = target_of(board)
    models = all_models() if case == "every layer" else [] if case == "loops" else [model_of(case)]
    names = [*LOOPS] if case == "loops" else [name for model in models for name in plan_for(model, target).operations]
    if models and target.group > 1:
        names += filter(None, [object_cache.grouped(name, target.group) for name in names])
    for name in dict.fromkeys(names):
        assert 8 < size_of(name, target) < 64 << 10


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("board", "case"), shared_out(targets(), 5))
def test_programs_of_a_board_become_images(board: str, case: str, model_of: Callable[[str], Model]) -> None:
    target = target_of(board)
    image = link([program_object(plan_for(model_of(case), target), target)], target)
    assert {*image.symbols} == {"step", "advance"}
