"""Run random trials of a kind. A network follows from kind, seed and number alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module

from tests.readers.trials.judge import Table, Trial, UntriedError, judge, same

__all__ = ["KINDS", "Kind", "run"]


os.environ.setdefault("KERAS_BACKEND", "torch")


@dataclass(frozen=True)
class Kind:
    """A kind of network, and how well it is read.

    Parameters
    ----------
    make
        Module here, and its function, that makes a trial from seed and number.
    share
        Least share that is read, of the networks that a stream can compute.
    few, many
        Numbers of trials of the usual run, and of the whole one.
    needs
        Packages.
    obstacles
        True if some of the networks do what a stream cannot.
    """

    make: str
    share: float
    few: int
    many: int
    needs: tuple[str, ...] = ()
    obstacles: bool = True


KINDS = {
    "torch": Kind("torch_trials:trial", 0.9, 15, 60, ("torch",)),
    "torch-example": Kind("torch_trials:with_example", 0.85, 15, 80, ("torch",)),
    "onnx": Kind("onnx_trials:script", 0.67, 60, 200, ("torch",)),
    "onnx-dynamo": Kind("onnx_trials:dynamo", 0.5, 6, 30, ("torch", "onnxscript")),
    "keras": Kind("keras_trials:trial", 0.95, 40, 150, ("torch", "keras", "h5py")),
    "tflite": Kind("tflite_trials:trial", 1.0, 24, 24, obstacles=False),
}
"""Kinds, each with the share that is read today."""


def run(kind: str, seed: int, numbers: Iterable[int]) -> Table:
    """Try networks by number."""
    module, _, function = KINDS[kind].make.partition(":")
    make: Callable[[int, int], Trial] = getattr(import_module(f"tests.readers.trials.{module}"), function)
    table = Table()
    for number in numbers:
        try:
            table.add(number, judge(make(seed, number)))
        except UntriedError as error:
            cause = same(str(error))
            table.untried[cause] = table.untried.get(cause, 0) + 1
    return table
