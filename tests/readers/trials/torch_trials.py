"""Random PyTorch modules: what they compute by themselves, and as ``from_torch`` reads them."""

from __future__ import annotations

import copy
import linecache
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import numpy as np
import torch

from edge_rnn.errors import UnsupportedError
from edge_rnn.model import Model
from edge_rnn_export import from_torch
from tests.readers.trials.judge import Run, Trial
from tests.readers.trials.torch_program import Key, Program
from tests.readers.trials.torch_write import write

__all__ = ["SEQUENCES", "arguments", "made", "outputs", "runs", "trial", "with_example"]

SEQUENCES = ((1.0, 200), (0.1, 60), (10.0, 60), (1000.0, 40))
"""Scale and length of each sequence of samples."""
STEPS = 12
"""Length of a sequence that shows the shape of the arguments."""
LENGTHS = (1, 2, 7, 40)
"""Lengths of sequences, for networks that return only the last step."""


def trial(seed: int, number: int) -> Trial:
    """Return a trial of ``from_torch``."""
    program = write(Random(f"torch/{seed}/{number}"))
    module = made(program, number)
    return Trial(
        program.text, program.obstacle, lambda: _read(program, module), lambda: runs(program, module), program.logs
    )


def with_example(seed: int, number: int) -> Trial:
    """Return a trial of ``from_torch`` with the arguments of forward."""
    program = write(Random(f"torch/{seed}/{number}"))
    module = made(program, number)
    return Trial(
        program.text,
        program.obstacle,
        lambda: _read(program, module, example=arguments(program)),
        lambda: runs(program, module),
        program.logs,
    )


def arguments(program: Program) -> tuple[Any, ...]:
    """Return arguments of forward: samples, and zero states; a whole sequence of a bare module starts without."""
    rng = np.random.default_rng(1)
    steps = 1 if program.layout == "step" else STEPS
    if program.symbols:
        xs = rng.integers(0, program.inputs, (steps, 1)).astype(np.float32)
    else:
        xs = rng.standard_normal((steps, program.inputs)).astype(np.float32)
    x = shaped(program, xs)
    states = [] if program.bare and program.layout != "step" else zeros(program)
    return (x if program.symbols else x.float(), *states)


def _read(program: Program, module: Any, **options: Any) -> Model:
    """Read a module; where several outputs are refused, all heads joined, as the refusal proposes."""
    try:
        return from_torch(module, **options)
    except UnsupportedError as error:
        if "which are joined" not in str(error):
            raise
    return from_torch(module, upto=tuple(str(key) for key in program.heads), **options)


def made(program: Program, number: int) -> Any:
    """Return the module of a program, with weights that follow from the number, in eval mode."""
    torch.manual_seed(number)
    torch.set_num_threads(1)
    name = f"<trial {number}>"
    linecache.cache[name] = (len(program.text), None, program.text.splitlines(keepends=True), name)
    space: dict[str, Any] = {"__name__": "trial"}
    exec(compile(program.text, name, "exec"), space)
    module = space["Net"]().eval()
    for each in module.modules():
        if isinstance(each, torch.nn.BatchNorm1d):
            each.running_mean.normal_()
            each.running_var.uniform_(0.3, 2)
        if isinstance(each, torch.nn.BatchNorm1d | torch.nn.LayerNorm) and each.weight is not None:
            each.weight.data.uniform_(0.5, 1.5)
            each.bias.data.normal_(0, 0.3)
    return module


def runs(program: Program, module: Any) -> list[Run]:
    """Return a module's outputs in float64, on sequences of several scales."""
    rng, found = np.random.default_rng(0), []
    for scale, steps in SEQUENCES:
        if program.symbols:
            xs = rng.integers(0, program.inputs, (steps, 1)).astype(np.float32)
        else:
            xs = (scale * rng.standard_normal((steps, program.inputs))).astype(np.float32)
        again = None if program.symbols else lambda xs: outputs(program, module, xs)[1]
        found.append(Run(xs, *outputs(program, module, xs), again))
    return found


def outputs(program: Program, module: Any, xs: np.ndarray) -> tuple[Any, list[np.ndarray]]:
    """Return the steps that the module returns, and its heads there, in float64 from its initial state."""
    default = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)  # for states that forward makes
        with torch.no_grad():
            run = copy.deepcopy(module).double()
            if program.last:
                lengths = [each for each in LENGTHS if each <= len(xs)]
                parts = [_call(program, run, xs[:length], None)[0] for length in lengths]
                return [each - 1 for each in lengths], [np.stack(each) for each in zip(*parts, strict=True)]
            state, pieces = None, []
            for part in _parts(program, xs):
                heads, state = _call(program, run, part, state)
                pieces.append(heads)
            return slice(None), [np.concatenate(each) for each in zip(*pieces, strict=True)]
    finally:
        torch.set_default_dtype(default)


def _parts(program: Program, xs: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the samples of each call: one, or in two halves if the states go in and out."""
    if program.layout == "step":
        yield from xs[:, None]
    elif program.states:
        yield from (xs[: len(xs) // 2], xs[len(xs) // 2 :])
    else:
        yield xs


def shaped(program: Program, xs: np.ndarray) -> Any:
    """Return samples ``(time, I)`` as the module takes them."""
    x = torch.from_numpy(xs.astype(np.int64)[:, 0] if program.symbols else xs.astype(np.float64))
    if program.layout == "channels":
        return x.T[None]
    return {"batch": x[None], "turned": x[None], "time": x[:, None], "single": x, "step": x}[program.layout]


def zeros(program: Program) -> list[Any]:
    """Zero states, an entry for each argument."""
    made = [tuple(torch.zeros(shape) for shape in shapes) for shapes in program.states]
    return [each if len(each) > 1 else each[0] for each in made]


def _call(program: Program, module: Any, xs: np.ndarray, states: list[Any] | None) -> tuple[list[Any], list[Any]]:
    """Return heads, ``(time, O)`` or ``(O,)``, and new states."""
    if states is None:
        states = [] if program.optional else zeros(program)
    returned = module(shaped(program, xs), *states)
    heads = []
    for key in program.heads:
        head = _picked(returned, key)
        if program.features_first:
            head = head.mT
        heads.append(head.reshape(-1 if program.last else (len(xs), -1)).numpy().astype(np.float64))
    flat = list(_flat([_picked(returned, key) for key in program.new_states]))
    grouped = []
    for shapes in program.states if flat else []:
        taken, flat = flat[: len(shapes)], flat[len(shapes) :]
        grouped.append(tuple(taken) if len(shapes) > 1 else taken[0])
    return heads, grouped


def _picked(returned: Any, key: Key) -> Any:
    return returned if key is None else returned[key]


def _flat(values: Any) -> Iterator[Any]:
    for value in values.values() if isinstance(values, Mapping) else values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value
