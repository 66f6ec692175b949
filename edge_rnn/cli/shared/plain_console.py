"""Console of rich that lets no text control the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from edge_rnn.printable import printable

__all__ = ["PlainConsole"]


class PlainConsole(Console):
    """Escapes non-printable characters: in strings before they are measured, in everything else when rendered.

    Only rich's own control codes, for cursor movement and colors, reach the terminal.
    """

    def render_str(self, text: str, *args: Any, **kwargs: Any) -> Text:
        """Convert a string to rich's Text, with non-printable characters escaped."""
        return super().render_str(printable(text, keep="\n"), *args, **kwargs)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render anything that rich can draw, with non-printable characters in text escaped."""
        for segment in super().render(renderable, options):
            if segment.control or (segment.text.isascii() and segment.text.isprintable()):
                yield segment
            else:
                yield Segment(printable(segment.text, keep="\n"), segment.style)
