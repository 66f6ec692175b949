"""Readers of drafts, and the cycles that they form through delays."""

from __future__ import annotations

from collections.abc import Sequence

from edge_rnn_export.readers.tracing.drafts import Draft

__all__ = ["cycles_of", "readers_of"]


def readers_of(order: Sequence[Draft]) -> dict[Draft, list[Draft]]:
    """Drafts that read each draft."""
    readers: dict[Draft, list[Draft]] = {draft: [] for draft in order}
    for draft in order:
        for each in draft.reads:
            readers[each].append(draft)
    return readers


def cycles_of(order: Sequence[Draft]) -> dict[Draft, int]:
    """Number of the cycle that each draft on a cycle belongs to (Tarjan 1972, doi:10.1137/0201010)."""
    index: dict[Draft, int] = {}
    low: dict[Draft, int] = {}
    stack: list[Draft] = []
    on_stack: set[Draft] = set()
    found: dict[Draft, int] = {}
    cycles = 0
    for root in order:
        if root in index:
            continue
        work: list[tuple[Draft, int]] = [(root, 0)]
        while work:
            draft, place = work.pop()
            if place == 0:
                index[draft] = low[draft] = len(index)
                stack.append(draft)
                on_stack.add(draft)
            reads = draft.reads
            descended = False
            for number in range(place, len(reads)):
                each = reads[number]
                if each not in index:
                    work += [(draft, number + 1), (each, 0)]
                    descended = True
                    break
                if each in on_stack:
                    low[draft] = min(low[draft], index[each])
            if descended:
                continue
            for each in reads:
                if each in on_stack:
                    low[draft] = min(low[draft], low[each])
            if low[draft] == index[draft]:
                members = []
                while True:
                    each = stack.pop()
                    on_stack.discard(each)
                    members.append(each)
                    if each is draft:
                        break
                if len(members) > 1 or draft in draft.reads:
                    found.update(dict.fromkeys(members, cycles))
                    cycles += 1
    return found
