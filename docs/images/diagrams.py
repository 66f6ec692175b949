"""Draw the diagrams of the documentation as SVG files in this folder.

    python docs/images/diagrams.py

Boxes have grounds and text of their own, and lines a gray between, so that they read on light and on dark pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]

FOLDER = Path(__file__).parent
LINE = "#7d8795"
BLUE, ORANGE, GREEN, PINK, PALE = "#cfe6f7", "#fbe0c4", "#cdeadf", "#f3dbe8", "#e6e9ee"
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


def box(x: float, y: float, width: float, height: float, ground: str, lines: Sequence[str]) -> str:
    """Rounded box with lines of text in its middle; the first one bold if there are more."""
    top = y + height / 2 - 9 * (len(lines) - 1) + 5
    texts = [
        f'<text x="{x + width / 2:g}" y="{top + 18 * i:g}"'
        f"{' font-weight=' + chr(34) + '600' + chr(34) if i == 0 and len(lines) > 1 else ''}>{line}</text>"
        for i, line in enumerate(lines)
    ]
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="7" fill="{ground}" />' + "".join(texts)


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """Line with an arrowhead at its end."""
    ends = f'x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"'
    return f'<line {ends} stroke="{LINE}" stroke-width="2" marker-end="url(#head)" />'


def note(x: float, y: float, text: str, anchor: str = "middle") -> str:
    """Text outside of boxes."""
    return f'<text x="{x:g}" y="{y:g}" class="note" style="text-anchor: {anchor}">{text}</text>'


def write(name: str, title: str, width: int, height: int, parts: Sequence[str]) -> None:
    """Write a diagram."""
    style = (
        f"text {{ font: 14px {FONT}; fill: #1d2530; text-anchor: middle; }} .note {{ fill: {LINE}; font-size: 13px; }} "
    )
    head = (
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="5" markerHeight="5" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{LINE}" /></marker>'
    )
    text = "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            f"<title>{title}</title>",
            f"<style>{style}</style>",
            f"<defs>{head}</defs>",
            *parts,
            "</svg>\n",
        ]
    )
    (FOLDER / f"{name}.svg").write_text(text, encoding="utf-8")


def state_through_time() -> None:
    """Samples, steps, states and outputs along time."""
    parts = []
    for step in range(3):
        x = 190 + 190 * step
        name = ("t", "t + 1", "t + 2")[step]
        parts += [
            box(x, 105, 110, 56, BLUE, ["step", "fixed weights"]),
            box(x + 10, 10, 90, 34, GREEN, [f"y, {name}"]),
            box(x + 10, 222, 90, 34, ORANGE, [f"x, {name}"]),
            arrow(x + 55, 105, x + 55, 47),
            arrow(x + 55, 222, x + 55, 164),
            arrow(x + 110, 133, x + 187, 133) if step < 2 else arrow(x + 110, 133, x + 150, 133),
        ]
        if step < 2:
            parts.append(note(x + 148, 124, "h"))
    parts += [
        box(10, 105, 110, 56, PINK, ["state", "h, at first 0"]),
        arrow(120, 133, 187, 133),
        note(748, 120, "snapshot():"),
        note(748, 158, "the state as bytes"),
    ]
    write("state_through_time", "Each step reads a sample and the state that the step before left", 810, 266, parts)


def stream_memory() -> None:
    """Weights that streams share, and the memory that each has."""
    parts = [
        box(10, 10, 750, 44, BLUE, ["weights and records of the model: one block, read-only, shared by all streams"])
    ]
    fields = [
        ("h", "even", PINK), ("c", "even", PINK), ("h", "odd", PINK), ("c", "odd", PINK),
        ("sample", "", ORANGE), ("last", "finite", PALE), ("last", "output", PALE), ("output", "", GREEN),
    ]  # fmt: skip
    for row, name in enumerate(("stream 1", "stream 2")):
        y = 92 + 74 * row
        parts.append(note(48, y + 29, name))
        for column, (what, which, ground) in enumerate(fields):
            parts.append(box(96 + 83 * column, y, 79, 48, ground, [what, which] if which else [what]))
    parts += [
        note(260, 262, "an even step reads the even slots, writes the odd ones"),
        note(260, 280, "and the next step the other way round"),
        note(595, 262, "a sample that does not count"),
        note(595, 280, "is undone by not changing slots"),
    ]
    write("stream_memory", "Memory of two streams of one LSTM: shared weights, and an arena each", 770, 292, parts)


def doors() -> None:
    """From files of other frameworks over a model to the three uses."""
    sources = ("PyTorch", "Keras", "ONNX", "TFLite", "RTNeural, NAM …")
    parts = []
    for row, name in enumerate(sources):
        y = 10 + 50 * row
        parts += [box(10, y, 150, 38, ORANGE, [name]), arrow(160, y + 19, 247, 129)]
    parts += [
        note(325, 82, "read, and compared"),
        box(250, 95, 150, 70, BLUE, ["Model", "one .safetensors"]),
    ]
    targets = (
        (["Stream", "in Python, in loops,", "from sensors"], 10),
        (["ONNX, ORT graph", "for other runtimes,", "compared first"], 96),
        (["C library", "for boards without", "Numba or Python"], 182),
    )
    for lines, y in targets:
        parts += [arrow(400, 130, 497, y + 36), box(500, y, 190, 72, GREEN, lines)]
    parts += [
        note(325, 200, "quantize, shrink"),
        f'<path d="M300 165 q25 40 50 2" fill="none" stroke="{LINE}" stroke-width="2" marker-end="url(#head)" />',
    ]
    write("doors", "Files of other frameworks become a model, which is run, exported or built", 700, 264, parts)


def main() -> None:
    """Draw all diagrams."""
    state_through_time()
    stream_memory()
    doors()


if __name__ == "__main__":
    main()
