"""Pages made from the project itself: the command line, boards, shipped networks, and the public API.

They are written into ``generated`` folders before Sphinx looks for pages; git ignores them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import api
import command_line

from edge_rnn import boards

__all__ = ["setup"]

DOCS = Path(__file__).parents[1]
DEVICES = DOCS.parent / "devices"
NETWORKS = ("smart_watch", "reber")


def board_page(name: str) -> str:
    """Page of a board: its README, and the table of its figures."""
    text = (DEVICES / name / "README.md").read_text(encoding="utf-8").rstrip()
    rows = [
        f"| `{figure}` | {value.value:,} | {value.kind} | {value.source} |"
        for figure, value in boards.load(name).figures.items()
    ]
    table = "\n".join(["| figure | value | kind | source |", "| --- | ---: | --- | --- |", *rows])
    return f"{text}\n\n## Figures\n\n{table}\n"


def boards_page(names: list[str]) -> str:
    """Table of all boards, and where each one's page is."""
    text = "`edge-rnn devices` prints this list, and `edge-rnn devices show NAME` a board's figures with their sources."
    rows = [f"| [{boards.load(name).title}]({name}.md) | `{name}` | `{boards.load(name).cpu}` |" for name in names]
    table = ["| board | name | processor |", "| --- | --- | --- |", *rows]
    return "\n".join(["# Boards", "", text, "", *table, "", "```{toctree}", ":hidden:", "", *names, "```", ""])


def pages() -> Mapping[Path, str]:
    """Texts of all pages, by where they go."""
    names = sorted(boards.names())
    found = {DOCS / "boards" / "generated" / f"{name}.md": board_page(name) for name in names}
    found[DOCS / "boards" / "generated" / "index.md"] = boards_page(names)
    for name in NETWORKS:
        text = (DEVICES / name / "README.md").read_text(encoding="utf-8")
        found[DOCS / "reference" / "generated" / "networks" / f"{name}.md"] = text
    for name, text in command_line.pages().items():
        found[DOCS / "reference" / "generated" / "commands" / f"{name}.md"] = text
    for name, text in api.pages().items():
        found[DOCS / "reference" / "generated" / "api" / f"{name}.rst"] = text
    return found


def write(_: Any) -> None:
    """Write every page whose text has changed, and remove those that are not made any more."""
    found = pages()
    for path, text in found.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in set(DOCS.glob("*/generated/**/*.*")) - found.keys():
        path.unlink()


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
