"""The name of a generated kernel, which carries what it is generated from."""

from __future__ import annotations

import hashlib

__all__ = ["Generated"]


class Generated(str):
    """A kernel's name, a hash of its text: equal kernels have the same name, and share their object code.

    Object files are found by the name alone. Whoever has to compile finds the text here.
    """

    __slots__ = ("formats", "gates", "streams", "text")

    text: str
    """What one panel does, as :mod:`edge_rnn.kernels.lower.panels` writes it."""
    gates: tuple[int, ...]
    """How many sums each product of the text goes into."""
    formats: tuple[str, ...]
    """Format of the matrix of each product."""
    streams: int
    """How many streams are done at once."""

    @classmethod
    def of(cls, text: str, gates: tuple[int, ...], formats: tuple[str, ...], streams: int = 1) -> Generated:
        """The name of what a text, with products of so many sums and such formats, is compiled to."""
        digest = hashlib.sha256(repr((text, gates)).encode()).hexdigest()[:16]
        others = f"__{'_'.join(formats)}" if {*formats} - {"float32"} else ""
        name = cls(f"eq_{digest}{others}{f'_x{streams}' if streams > 1 else ''}")
        name.text, name.gates, name.formats, name.streams = text, gates, formats, streams
        return name

    @property
    def for_groups(self) -> bool:
        """Whether there is a form for several streams: of float32 weights alone."""
        return not {*self.formats} - {"float32"}

    def grouped(self, streams: int) -> Generated:
        """The form for several streams at once."""
        return Generated.of(self.text, self.gates, self.formats, streams)
