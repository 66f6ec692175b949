"""A console of rich that lets no text steer the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from edge_rnn.printable import printable

__all__ = ["PlainConsole"]


class PlainConsole(Console):
    """Spells out what is not plain text: in strings before they are measured, and in all else when it is drawn.

    Only rich's own control codes, which move the cursor and choose colours, reach the terminal as they are.
    """

    def render_str(self, text: str, *args: Any, **kwargs: Any) -> Text:
        """A string as rich's text, what is not plain spelled out."""
        return super().render_str(printable(text, keep="\n"), *args, **kwargs)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments of anything that rich can draw; those of text with what is not plain spelled out."""
        for segment in super().render(renderable, options):
            if segment.control or (segment.text.isascii() and segment.text.isprintable()):
                yield segment
            else:
                yield Segment(printable(segment.text, keep="\n"), segment.style)
