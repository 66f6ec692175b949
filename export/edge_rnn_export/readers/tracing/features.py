"""Resolve the vectors that an operator reads along an axis of a signal, from the codes of its values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_rnn_export.readers.tracing.codes import Codes, Signal, Source, parts, source_places
from edge_rnn_export.readers.tracing.drafts import Draft
from edge_rnn_export.readers.tracing.graph import Operator
from edge_rnn_export.readers.tracing.trace import Trace

__all__ = ["ACROSS_STEPS", "feature_axis", "features", "is_along"]

ACROSS_STEPS = "it combines different steps, or different sequences of a batch; a stream has one step at a time."
"""Reason for refusing an operator."""

_MAX_FEATURES = 2**16
_MAX_RUNS = 16  # beyond, parts of vectors are picked by a matrix
_NO_STEP = (
    "does not hold the values of one step; expected steps, batch and features on separate axes, and samples not mixed."
)


def features(trace: Trace, operator: Operator, signal: Signal, axis: int = -1) -> tuple[tuple[Draft, ...], Codes]:
    """Resolve what an operator reads along an axis of a signal: a concatenation of vectors, and the samples.

    Returns
    -------
    reads, rows
        Vectors whose concatenation is read. ``rows`` has the signal's shape without the axis: the latest sample of
        each, -1 if all are from before the first step.
    """
    _check_readable(operator, signal)
    codes = np.moveaxis(signal.codes, axis, -1)
    _settle(trace, operator, codes)
    count = codes.shape[-1]
    if count > _MAX_FEATURES:
        raise operator.refuse(f"it reads {count} values per step, expected at most {_MAX_FEATURES}.")
    flat = codes.reshape(-1, count)
    source, row, feature = trace.decode(flat)
    if (source != source[0]).any():
        _roll(trace, operator, flat)
        source, row, feature = trace.decode(flat)
    edges = np.flatnonzero((source[0, 1:] != source[0, :-1]) | _jumps(trace, source[0], feature[0])) + 1
    starts, ends = [0, *edges.tolist()], [*edges.tolist(), count]
    rows = row.max(axis=1)
    constant = [trace.sources[place].kind == "start" for place in source[:, starts].reshape(-1).tolist()]
    if any(constant) and not all(constant) and rows.size == trace.rows:
        raise operator.refuse("it reads constants that are concatenated with the outputs of layers.")
    if (source != source[0]).any() or not _is_steady(trace, source[0], row, feature, starts):
        raise operator.refuse(f"axis {axis} of what it reads, of shape {signal.codes.shape}, {_NO_STEP}")
    _check_lags(trace, operator, row[:, starts], rows)
    runs = [(int(source[0, begin]), feature[:, begin:end]) for begin, end in zip(starts, ends, strict=True)]
    reads = _vectors(trace, operator, runs)
    if rows.size != trace.rows:
        reads = tuple(_at(trace, each, row[:, start]) for each, start in zip(reads, starts, strict=False))
    return reads, rows.reshape(codes.shape[:-1])


def _jumps(trace: Trace, source: Codes, feature: Codes) -> Codes:
    """True where a feature does not follow the one before it; the indices of states and constants need not."""
    loose = np.array([trace.sources[place].kind in ("port", "start") for place in source[1:].tolist()], bool)
    loose &= source[1:] != (-1 if trace.samples is None else trace.sources.index(trace.samples))
    jumps: Codes = (feature[1:] != feature[:-1] + 1) & ~loose
    return jumps


def _is_steady(trace: Trace, source: Codes, row: Codes, feature: Codes, starts: list[int]) -> bool:
    """True if all lines read the same features, each run of them of a single sample."""
    each = np.searchsorted(starts, np.arange(len(source)), side="right") - 1
    if (row != row[:, starts][:, each]).any():
        return False
    for place in set(source.tolist()):
        one, here = trace.sources[place], source == place
        lines = feature[:, here]
        if (row[0, here] != row[0, here][0]).any():
            return False
        if one.kind == "start" and one.numbers is not None:
            lines = one.numbers[lines]
        elif one.kind == "port" and one is not trace.samples:
            lines = lines - lines[:, :1]
        if (lines != lines[:1]).any():
            return False
    return True


def _check_lags(trace: Trace, operator: Operator, row: Codes, rows: Codes) -> None:
    """Check that parts of what is read are equally far apart at each sample, and together if all are read."""
    lags = np.where(row < 0, 0, rows[:, None] - row)
    if (lags != lags[:1]).any() or (lags.any() and rows.size == trace.rows):
        raise operator.refuse(ACROSS_STEPS)


def _vectors(trace: Trace, operator: Operator, runs: Sequence[tuple[int, Codes]]) -> tuple[Draft, ...]:
    if len(runs) > _MAX_RUNS and all(trace.sources[place].kind not in ("port", "start") for place, _ in runs):
        return (_picked(trace, operator, runs),)
    return tuple(_vector(trace, operator, place, feature) for place, feature in runs)


def _vector(trace: Trace, operator: Operator, place: int, feature: Codes) -> Draft:
    one, count = trace.sources[place], feature.shape[1]
    if one.kind == "start":
        assert one.numbers is not None
        return Draft("start", operator.title, operator.name, count, fields={"value": one.numbers[feature[0]]})
    if one.kind == "port" and one is not trace.samples:
        return _leaf(trace, operator, place, feature)
    draft, start = _draft_of(trace, operator, place), int(feature[0, 0])
    return draft if count == draft.size else part(trace, operator, draft, start, count)


def part(trace: Trace, operator: Operator, draft: Draft, start: int, size: int) -> Draft:
    """Part of a vector; the same one for the same units."""
    key = (draft, start, size)
    if key not in trace.parts:
        made = trace.draft(
            operator, "op", size, [draft], operation=f"part:{start}:{size}",
            function=lambda x: x[start : start + size],
        )  # fmt: skip
        made.rows = draft.rows
        trace.parts[key] = made
    return trace.parts[key]


def _leaf(trace: Trace, operator: Operator, place: int, feature: Codes) -> Draft:
    """Old value of a state that is part of an input of the graph."""
    key = (place, tuple(feature[0].tolist()))
    if key not in trace.leaves:
        size = feature.shape[1]
        fields = {"value": np.zeros(size, np.float32), "places": feature}
        trace.leaves[key] = Draft("delay", operator.title, operator.name, size, fields=fields)
    return trace.leaves[key]


def _picked(trace: Trace, operator: Operator, runs: Sequence[tuple[int, Codes]]) -> Draft:
    """Dense that picks units of several vectors."""
    pattern = [(_draft_of(trace, operator, place), unit) for place, feature in runs for unit in feature[0].tolist()]
    read = list(dict.fromkeys(draft for draft, _ in pattern))
    starts = dict(zip(read, np.cumsum([0, *(draft.size for draft in read)]), strict=False))
    columns = sum(draft.size for draft in read)
    trace.graph.budget.take(f"the {operator.title}", 4 * len(pattern) * columns)
    weight = np.zeros((len(pattern), columns), np.float32)
    weight[range(len(pattern)), [starts[draft] + unit for draft, unit in pattern]] = 1
    made = trace.draft(operator, "Dense", len(pattern), read, weight=weight)
    made.rows = max((draft.rows for draft in read if draft.rows is not None), key=lambda r: r[0], default=None)
    return made


def _roll(trace: Trace, operator: Operator, codes: Codes) -> None:
    """Merge vectors that operators compute step by step into one vector of all steps."""
    source, row, _ = trace.decode(codes)
    while (columns := np.flatnonzero((source != source[0]).any(axis=0))).size:
        column = int(columns[0])
        _, first = np.unique(source[:, column], return_index=True)
        order = first[np.argsort(row[first, column], kind="stable")]
        found = [trace.sources[place] for place in source[order, column].tolist()]
        if any(one.kind == "start" for one in found):
            return  # features() tells
        if any(one.kind != "y" or one.draft is None or one.draft.whole for one in found):
            raise operator.refuse(f"axis -1 of what it reads, of shape {codes.shape}, {_NO_STEP}")
        steps = [one.draft for one in found if one.draft is not None]
        trace.rolls.roll(operator, steps, trace.rows)
        rows = [step.rows for step in steps if step.rows is not None]
        if sum(each.size for each in rows) == trace.rows and len({each.size for each in rows}) == 1:
            trace.settle_grid(operator, np.stack(rows))
        source, row, _ = trace.decode(codes)


def _check_readable(operator: Operator, signal: Signal) -> None:
    if not signal.codes.ndim or not signal.codes.size:
        raise operator.refuse(f"it reads a value of shape {signal.codes.shape}.")
    if signal.whole and operator.kind != "Gather":
        raise operator.refuse("it reads integers, which only the table of an Embedding may read.")


def _settle(trace: Trace, operator: Operator, codes: Codes) -> None:
    """Take the input that an operator reads as the samples, and determine its feature axis."""
    line = codes.reshape(-1, codes.shape[-1])[0]
    for place, source in _new_ports(trace, codes):
        of_line, _, _, rest = parts(line)
        places = np.unravel_index(rest[of_line == place], source.shape)
        varying = [axis for axis, each in enumerate(places) if (each != each[0]).any()]
        if len(varying) > 1:
            raise operator.refuse(f"the values that it reads are along axes {varying} of the input, expected one.")
        ones = source.shape[-1:] == (1,)
        _take_samples(trace, operator, source, varying[0] if varying else len(source.shape) - 1 if ones else None)


def _new_ports(trace: Trace, codes: Codes) -> list[tuple[int, Source]]:
    """Inputs of the graph, with their indices, that occur in codes and are to become the samples."""
    found = [(place, trace.sources[place]) for place in source_places(codes)]
    return [(place, source) for place, source in found if source.kind == "port" and _may_be_samples(trace, source)]


def _may_be_samples(trace: Trace, source: Source) -> bool:
    if source is trace.samples or source.states or source.port is None:
        return False
    return trace.wanted is None or source.port.name == trace.wanted


def _take_samples(trace: Trace, operator: Operator, source: Source, axis: int | None) -> None:
    assert source.port is not None
    if trace.samples is not None:
        name = trace.samples.port.name if trace.samples.port else ""
        other = f" in addition to {trace.graph.known_as.get(name, name)!r}" if name else ""
        raise operator.refuse(
            f"it reads the graph's input {source.port.name[:80]!r} as samples{other}; expected one input of "
            f"samples, and states where they are states."
        )
    source.axis, trace.samples = axis, source
    size = 1 if axis is None else source.shape[axis]
    source.draft = Draft("input", f"input {source.port.name[:80]!r}", "", size)
    trace.drafts.append(source.draft)


def _draft_of(trace: Trace, operator: Operator, place: int) -> Draft:
    source = trace.sources[place]
    if source.kind == "c":
        raise operator.refuse("it reads a cell state, which no layer of edge_rnn outputs.")
    assert source.draft is not None
    return source.draft


def feature_axis(trace: Trace, operator: Operator, signal: Signal, first: int = -1) -> int:
    """Feature axis of a signal, for elementwise operators.

    If such an operator is the first to read the samples, the axis ``first`` is assumed.
    """
    codes = signal.codes
    _check_readable(operator, signal)
    _settle(trace, operator, np.moveaxis(codes, first, -1))
    _, row, _ = trace.decode(codes)
    for axis in sorted(range(codes.ndim), key=lambda axis: (codes.shape[axis] > 1, axis), reverse=True):
        if is_along(row, axis):
            return axis
    return codes.ndim - 1


def is_along(row: Codes, axis: int) -> bool:
    """True if the values along an axis are of one sample each, or constant."""
    latest = row.max(axis=axis, keepdims=True)
    return bool(((row == latest) | (row < 0)).all())


def _at(trace: Trace, draft: Draft, rows: Codes) -> Draft:
    """Value at one step of a vector that is computed for all steps."""
    if draft.kind in ("start", "delay") or not (draft.whole or draft.rows is None or draft.rows.size == trace.rows):
        return draft
    key = (draft, int(rows[0]))
    if key not in trace.reads:
        trace.reads[key] = Draft(
            "op", draft.title, draft.name, draft.size, (draft,), operation="at", function=lambda x: x, rows=rows
        )
    return trace.reads[key]
