"""Run random trials of a kind. A network follows from kind, seed and number alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module

from tests.readers.trials.judge import Table, Trial, judge

__all__ = ["KINDS", "Kind", "run"]


@dataclass(frozen=True)
class Kind:
    """A kind of network, and how well it is read.

    Parameters
    ----------
    make
        Module here, and its function, that makes a trial from seed and number.
    share
        Least share that is read, of the networks that a stream can compute.
    """

    make: str
    share: float
    needs: tuple[str, ...] = ()


KINDS = {"torch": Kind("torch_trials:trial", 0.07, ("torch",))}


def run(kind: str, seed: int, numbers: Iterable[int]) -> Table:
    """Try networks by number."""
    module, _, function = KINDS[kind].make.partition(":")
    make: Callable[[int, int], Trial] = getattr(import_module(f"tests.readers.trials.{module}"), function)
    table = Table()
    for number in numbers:
        table.add(number, judge(make(seed, number)))
    return table
