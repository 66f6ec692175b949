"""Drawing of a network as SVG: layers from top to bottom, their sizes, skip connections, and loops of state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_rnn.cards.description import named_inputs
from edge_rnn.printable import as_html
from edge_rnn.spelling import counted

__all__ = ["draw"]

_STYLE = """
.net{font:13px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
.net .ground{fill:#fff}.net text{fill:#1b2026;stroke:none}.net .dim{fill:#59636e;font-size:12px}
.net .name{font-weight:650}.net rect.box{fill:#f4f6f8;stroke:#8a939d}.net rect.state{fill:#e8f1fb;stroke:#0a66c2}
.net path{fill:none;stroke:#59636e;stroke-width:1.5}.net path.loop{stroke:#0a66c2}
.net .head{fill:#59636e;stroke:none}.net .loophead{fill:#0a66c2;stroke:none}
@media (prefers-color-scheme:dark){.net .ground{fill:#16181b}.net text{fill:#e4e4e4}.net .dim{fill:#a0a7af}
.net rect.box{fill:#22272d;stroke:#6b747e}.net rect.state{fill:#12304f;stroke:#5aa9f5}.net path{stroke:#9aa4af}
.net path.loop{stroke:#5aa9f5}.net .head{fill:#9aa4af}.net .loophead{fill:#5aa9f5}}
""".strip()

_MARGIN, _BOX, _HEIGHT, _GAP = 16, 276, 52, 40
_LANE, _BESIDE, _LOOP = 16, 14, 26
_STATE_TEXT = 96
_LETTERS = 38
"""Characters that fit in a box."""
_FIRST, _LAST = 20, 4
"""Layers that are drawn at each end of a network with more."""


@dataclass(frozen=True, slots=True)
class _Row:
    """Box: two lines of text, the name that others read it by, and its states."""

    name: str
    title: str
    note: str
    states: Mapping[str, int]
    is_end: bool = False


def draw(found: Mapping[str, Any]) -> str:
    """Draw a network, in colors for light and dark pages.

    Parameters
    ----------
    found
        Result of :func:`edge_rnn.cards.description.describe`.

    Returns
    -------
    str
        ``<svg>`` element that needs nothing else; the same network gives the same text.
    """
    rows, edges = _rows(found), _edges(found)
    lanes = _lanes([edge for edge in edges if edge[1] - edge[0] > 1])
    left = _MARGIN + (_BESIDE + _LANE * (max(lanes.values()) + 1) if lanes else 0)
    beside = _LOOP + _STATE_TEXT if any(row.states for row in rows) else 0
    width = left + _BOX + beside + _MARGIN
    height = 2 * _MARGIN + len(rows) * (_HEIGHT + _GAP) - _GAP
    parts = [*_arrows(edges, lanes, left), *(part for place, row in enumerate(rows) for part in _box(row, place, left))]
    title = as_html(f"Layers of {found['name'] or 'the network'}")
    lines = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="net" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{title}">\n<title>{title}</title>\n<style>{_STYLE}</style>\n'
        f'<rect class="ground" width="{width}" height="{height}" rx="8"/>\n{lines}\n</svg>\n'
    )


def _rows(found: Mapping[str, Any]) -> list[_Row]:
    names = ", ".join(named_inputs(found))
    first = _Row("input", f"input: {counted(found['input_size'], 'value')}", names, {}, is_end=True)
    layers = [_layer(each) for each in found["layers"]]
    hidden = len(layers) - _FIRST - _LAST
    if hidden > 1:
        gap = _Row("", f"… {hidden} more layers …", "", {}, is_end=True)
        layers = [*layers[:_FIRST], gap, *layers[-_LAST:]]
    labels = found["labels"] or found["vocabulary"]
    last = _Row("output", f"output: {counted(found['output_size'], 'value')}", ", ".join(labels), {}, is_end=True)
    return [first, *layers, last]


def _layer(each: Mapping[str, Any]) -> _Row:
    size = counted(each["output_size"], "unit" if each["states"] else "value")
    note = f"{size}, {counted(each['parameters'], 'parameter')}"
    return _Row(each["name"], f"{each['kind']}  {each['name']}", note, each["states"])


def _edges(found: Mapping[str, Any]) -> list[tuple[int, int, int]]:
    """Rows that are connected, from and to, with the number of values; those of layers that are left out are merged."""
    layers = found["layers"]
    hidden = len(layers) - _FIRST - _LAST

    def row(place: int) -> int:
        if hidden <= 1 or place < _FIRST:
            return place + 1
        return _FIRST + 1 if place < _FIRST + hidden else place + 2 - hidden

    places = {each["name"]: place for place, each in enumerate(layers)}
    edges = {
        (0 if name not in places else row(places[name]), row(place), size)
        for place, each in enumerate(layers)
        for name, size in zip(each["reads"], each["input_sizes"], strict=True)
    }
    edges.add((row(len(layers) - 1), row(len(layers) - 1) + 1, found["output_size"]))
    return sorted(edge for edge in edges if edge[0] != edge[1])


def _lanes(skips: Sequence[tuple[int, int, int]]) -> dict[tuple[int, int, int], int]:
    """Lane at the left of the boxes for each connection that skips some: the shortest nearest, none on another."""
    lanes: dict[tuple[int, int, int], int] = {}
    for edge in sorted(skips, key=lambda each: (each[1] - each[0], each)):
        taken = {lane for other, lane in lanes.items() if other[0] < edge[1] and edge[0] < other[1]}
        lanes[edge] = next(lane for lane in range(len(lanes) + 1) if lane not in taken)
    return lanes


def _top(place: int) -> int:
    return _MARGIN + place * (_HEIGHT + _GAP)


def _arrows(
    edges: Sequence[tuple[int, int, int]], lanes: Mapping[tuple[int, int, int], int], left: int
) -> Iterator[str]:
    middle = left + _BOX // 2
    for edge in edges:
        begin, end, size = edge
        if edge not in lanes:
            from_y, to_y = _top(begin) + _HEIGHT, _top(end)
            yield f'<path d="M{middle} {from_y}V{to_y - 7}"/>{_head(middle, to_y, down=True)}'
            yield f'<text class="dim" x="{middle + 9}" y="{(from_y + to_y) // 2 + 4}">{size:,}</text>'
            continue
        lane = lanes[edge]
        x = left - _BESIDE - _LANE * (lane + 1) + _LANE // 2
        from_y, to_y = _top(begin) + _HEIGHT - 10 - 5 * (lane % 4), _top(end) + 10 + 5 * (lane % 4)
        yield (
            f'<path d="M{left} {from_y}H{x + 6}Q{x} {from_y} {x} {from_y + 6}V{to_y - 6}Q{x} {to_y} {x + 6} {to_y}'
            f'H{left - 7}"/>{_head(left, to_y, down=False)}'
        )
        yield f'<text class="dim" x="{left - 4}" y="{_top(begin) + _HEIGHT + 14}" text-anchor="end">{size:,}</text>'


def _head(x: int, y: int, *, down: bool, kind: str = "head") -> str:
    """Arrowhead with its tip at a point, downwards or to the right."""
    points = f"{x - 5},{y - 8} {x + 5},{y - 8} {x},{y}" if down else f"{x - 8},{y - 5} {x - 8},{y + 5} {x},{y}"
    return f'<polygon class="{kind}" points="{points}"/>'


def _box(row: _Row, place: int, left: int) -> Iterator[str]:
    top, middle = _top(place), left + _BOX // 2
    kind, radius = ("state" if row.states else "box"), (_HEIGHT // 2 if row.is_end else 8)
    yield f'<rect class="{kind}" x="{left}" y="{top}" width="{_BOX}" height="{_HEIGHT}" rx="{radius}"/>'
    title, note = _cut(row.title, _LETTERS - 4), _cut(row.note, _LETTERS)
    lines = [(title, "name", top + (22 if note else 31)), *([(note, "dim", top + 40)] if note else [])]
    for text, style, y in lines:
        yield f'<text class="{style}" x="{middle}" y="{y}" text-anchor="middle">{as_html(text)}</text>'
    if row.states:
        right, low, high = left + _BOX, top + _HEIGHT - 14, top + 14
        out = right + _LOOP
        yield (
            f'<path class="loop" d="M{right} {low}H{out - 8}Q{out} {low} {out} {low - 8}V{high + 8}'
            f'Q{out} {high} {out - 8} {high}H{right + 7}"/>'
            f'<polygon class="loophead" points="{right + 8},{high - 5} {right + 8},{high + 5} {right},{high}"/>'
        )
        shown = [f"{name}: {size:,}" for name, size in row.states.items()]
        shown = shown if len(shown) <= 3 else [*shown[:2], f"and {len(shown) - 2} more"]
        first = top + _HEIGHT // 2 + 4 - 8 * (len(shown) - 1)
        for line, text in enumerate(shown):
            yield f'<text class="dim" x="{out + 8}" y="{first + 16 * line}">{as_html(_cut(text, 13))}</text>'


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
