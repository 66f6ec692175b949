"""Group drafts that become one layer: the cycles through delays, and functions of units that only one layer reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge_rnn_export.readers.tracing.cycles import cycles_of, readers_of
from edge_rnn_export.readers.tracing.drafts import Draft

__all__ = ["Group", "groups_of"]


@dataclass(slots=True, eq=False)
class Group:
    """Drafts that become one layer."""

    drafts: list[Draft]
    outputs: list[Draft] = field(default_factory=list)

    @property
    def is_cell(self) -> bool:
        """True if the layer has states."""
        return any(draft.kind == "delay" for draft in self.drafts)


def groups_of(order: Sequence[Draft], end: Draft) -> list[Group]:
    """Groups in topological order."""
    cycles = cycles_of(order)
    readers = readers_of(order)
    groups: dict[int, Group] = {}
    of: dict[Draft, Group] = {}
    passed: dict[Draft, bool] = {}  # True behind the matrix through which a cell reads a vector
    for draft in order:
        if draft in cycles:
            group = groups.setdefault(cycles[draft], Group([]))
            group.drafts.append(draft)
            of[draft] = group
            passed[draft] = draft.kind == "Dense"
    for draft in reversed(order):
        if draft in of or draft.kind in ("input", "start"):
            continue
        joined = {id(of[each]): of[each] for each in readers[draft] if each in of}
        outside = draft is end or any(each not in of for each in readers[draft])
        group = next(iter(joined.values())) if len(joined) == 1 and not outside else Group([])
        if group.drafts and not _may_join(draft, group, [passed[each] for each in readers[draft] if each in passed]):
            group = Group([])
        group.drafts.append(draft)
        of[draft] = group
        passed[draft] = draft.kind == "Dense" or (group.is_cell and any(passed[each] for each in readers[draft]))
    for draft in order:  # functions of several vectors of a cell that nothing else needs
        alone = draft in of and not of[draft].is_cell and len(of[draft].drafts) == 1
        if not alone or draft.kind != "op" or len(draft.reads) < 2:
            continue
        behind = {id(of[each]): of[each] for each in draft.reads if each in of}
        if (
            len(behind) == 1
            and all(each in of for each in draft.reads)
            and (cell := next(iter(behind.values()))).is_cell
        ):
            cell.drafts.append(draft)
            of[draft] = cell
    for draft in order:
        if draft in of and (draft is end or any(of.get(each) is not of[draft] for each in readers[draft])):
            of[draft].outputs.append(draft)
    return _sorted(order, of)


def _may_join(draft: Draft, group: Group, passed: Sequence[bool]) -> bool:
    """True if a draft that only a group reads may become part of it."""
    if draft.kind == "op":
        first = group.drafts[0]
        return first.kind in ("op", "delay", "Dense") and (group.is_cell or first.kind == "op") and not any(passed)
    if draft.kind == "Dense":
        return group.is_cell and not any(passed) and draft.fields.get("activation", "none") == "none"
    return draft.kind == "delay" and group.is_cell


def _sorted(order: Sequence[Draft], of: Mapping[Draft, Group]) -> list[Group]:
    """Groups, each after those that it reads; the drafts of each in the order given."""
    groups: dict[int, Group] = {}
    for draft in order:
        if draft in of:
            groups.setdefault(id(of[draft]), of[draft])
    for group in groups.values():
        inside = set(group.drafts)
        group.drafts = [draft for draft in order if draft in inside]
    result: list[Group] = []
    done: set[int] = set()
    waiting = list(reversed(groups.values()))
    while waiting:
        group = waiting[-1]
        needed = {id(of[each]): of[each] for draft in group.drafts for each in draft.reads if each in of}
        missing = [each for key, each in needed.items() if key not in done and each is not group]
        if id(group) in done or not missing:
            waiting.pop()
            if id(group) not in done:
                done.add(id(group))
                result.append(group)
            continue
        waiting += missing
    return result
