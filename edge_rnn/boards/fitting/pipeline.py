"""Cycles of a step by a model of the processor's pipeline: LLVM's ``llvm-mca`` on the instructions that it executes.

What is executed is folded into loops. The first turns of each loop are handed over as they were executed, so that what
overlaps with what is seen; of the others, the lasting pace of a turn counts. Caches, mispredicted branches and loads
that wait for stores are not in the model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from edge_rnn.boards.fitting.listing import Listing, instructions, run_tool
from edge_rnn.boards.fitting.repeats import Repeat, fold
from edge_rnn.boards.fitting.trace import Block
from edge_rnn.boards.profile import Device
from edge_rnn.errors import UnsupportedError

__all__ = ["cycles"]

_TURNS = 3  # of each loop, as executed
_ITERATIONS = (4, 16)  # of each piece of code, one after another: what lies between is its lasting pace
_CYCLES = re.compile(r"^Total Cycles:\s+(\d+)", re.MULTILINE)
# The way to and from a function is a jump; what a called function costs is in the trace.
_LEAVES = re.compile(r"^(?:callq?|retq?|blx?|blr|ret|bx(?:[a-z]{2})?|jalr?|c\.jr|c\.jalr)\b|\bpc\}")

Folded = Block | Repeat[Block]


def cycles(device: Device, known: Listing, executed: Sequence[Block]) -> float:
    """Cycles of a step that executes these blocks, again and again, all data in the first-level cache.

    Raises
    ------
    UnsupportedError
        ``llvm-mca`` is not installed, or does not know the processor's pipeline.
    """
    if not device.machine_model:
        raise UnsupportedError(f"llvm-mca has no model of the pipeline of {device.cpu}.")
    whole = fold(executed)
    loops = list(dict.fromkeys(_long(whole)))
    regions = [whole, *(loop.body for loop in loops)]
    text = "".join(
        f"# LLVM-MCA-BEGIN r{i}\n{_text(known, region)}\n# LLVM-MCA-END\n" for i, region in enumerate(regions)
    )
    options = [f"-mtriple={device.triple}", f"-mcpu={device.machine_model}"]
    options += [f"-mattr={device.features}"] if device.features else []
    options += ["-resource-pressure=0", "-instruction-info=0"]
    few, many = (_totals([*options, f"-iterations={turns}"], text) for turns in _ITERATIONS)
    told = [(more - less) / (_ITERATIONS[1] - _ITERATIONS[0]) for less, more in zip(few, many, strict=True)]
    if len(told) != len(regions):
        raise UnsupportedError(f"llvm-mca answered for {len(told)} of {len(regions)} pieces of code.")
    turns: dict[Repeat[Block], float] = {}
    for loop, own in reversed(list(zip(loops, told[1:], strict=True))):  # inner loops stand behind outer ones
        turns[loop] = own + _more(loop.body, turns)
    return told[0] + _more(whole, turns)


def _totals(options: Sequence[str], text: str) -> list[int]:
    try:
        answer = run_tool("llvm-mca", options, text)
    except UnsupportedError as error:  # a model with gaps; newer versions can leave out what it does not know
        try:
            answer = run_tool("llvm-mca", [*options, "-skip-unsupported-instructions=lack-sched"], text)
        except UnsupportedError:
            raise error from None
    return [int(each) for each in _CYCLES.findall(answer)]


def _long(items: Sequence[Folded]) -> list[Repeat[Block]]:
    """Loops with more turns than are handed over, outer ones first."""
    found: list[Repeat[Block]] = []
    for item in items:
        if isinstance(item, Repeat):
            found += [item] if item.count > _TURNS else []
            found += _long(item.body)
    return found


def _more(items: Sequence[Folded], turns: dict[Repeat[Block], float]) -> float:
    """Cycles of the turns that are not in the text of ``items``."""
    total = 0.0
    for item in items:
        if isinstance(item, Repeat):
            shown = min(item.count, _TURNS)
            total += shown * _more(item.body, turns)
            total += (item.count - shown) * turns[item] if item.count > shown else 0.0
    return total


def _text(known: Listing, items: Sequence[Folded]) -> str:
    parts = []
    for item in items:
        if isinstance(item, Repeat):
            parts += [_text(known, item.body)] * min(item.count, _TURNS)
        else:
            parts += _stays(instructions(known, item))
    return "\n".join(parts)


def _stays(texts: Sequence[str]) -> list[str]:
    """A block without what leads to another function; nor the Thumb instruction that makes this conditional."""
    kept: list[str] = []
    for text in texts:
        if not _LEAVES.search(text):
            kept.append(text)
        elif kept and re.match(r"it\b", kept[-1]):
            kept.pop()
    return kept
