"""Cycles per step from a pipeline model: LLVM's ``llvm-mca``, applied to the executed instructions.

The execution trace is folded into loops. The first iterations of each loop are passed to the tool as executed, so that
overlaps are simulated; the others count at the steady-state rate. Caches, mispredicted branches, and loads that wait
for stores are not modeled.
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

_TURNS = 3  # iterations of each loop that are passed as executed
_ITERATIONS = (4, 16)  # repetitions of each region; their difference gives the steady-state rate
_CYCLES = re.compile(r"^Total Cycles:\s+(\d+)", re.MULTILINE)
# A call or return is modeled as a jump; the callee's instructions are in the trace.
_LEAVES = re.compile(r"^(?:callq?|retq?|blx?|blr|ret|bx(?:[a-z]{2})?|jalr?|c\.jr|c\.jalr)\b|\bpc\}")

Folded = Block | Repeat[Block]


def cycles(device: Device, known: Listing, executed: Sequence[Block]) -> float:
    """Cycles of a step that executes these blocks repeatedly, with all data in the L1 cache.

    Raises
    ------
    UnsupportedError
        ``llvm-mca`` is not installed, or has no model of the processor's pipeline.
    """
    if not device.machine_model:
        raise UnsupportedError(f"llvm-mca has no pipeline model of {device.cpu}.")
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
    reported = [(more - less) / (_ITERATIONS[1] - _ITERATIONS[0]) for less, more in zip(few, many, strict=True)]
    if len(reported) != len(regions):
        raise UnsupportedError(f"llvm-mca reported {len(reported)} of {len(regions)} code regions.")
    turns: dict[Repeat[Block], float] = {}
    for loop, own in reversed(list(zip(loops, reported[1:], strict=True))):  # inner loops come after outer ones
        turns[loop] = own + _more(loop.body, turns)
    return reported[0] + _more(whole, turns)


def _totals(options: Sequence[str], text: str) -> list[int]:
    try:
        answer = run_tool("llvm-mca", options, text)
    except UnsupportedError as error:  # an incomplete model; newer versions can skip unsupported instructions
        try:
            answer = run_tool("llvm-mca", [*options, "-skip-unsupported-instructions=lack-sched"], text)
        except UnsupportedError:
            raise error from None
    return [int(each) for each in _CYCLES.findall(answer)]


def _long(items: Sequence[Folded]) -> list[Repeat[Block]]:
    """Loops with more iterations than are passed as executed, outer loops first."""
    found: list[Repeat[Block]] = []
    for item in items:
        if isinstance(item, Repeat):
            found += [item] if item.count > _TURNS else []
            found += _long(item.body)
    return found


def _more(items: Sequence[Folded], turns: dict[Repeat[Block], float]) -> float:
    """Cycles of the iterations that the text of ``items`` leaves out."""
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
    """Drop calls and returns from a block, with the Thumb ``it`` instruction that makes one conditional."""
    kept: list[str] = []
    for text in texts:
        if not _LEAVES.search(text):
            kept.append(text)
        elif kept and re.match(r"it\b", kept[-1]):
            kept.pop()
    return kept
