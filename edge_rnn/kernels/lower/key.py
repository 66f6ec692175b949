"""Name of a generated kernel, which carries its source text."""

from __future__ import annotations

from edge_rnn.digest import sha256

__all__ = ["Generated"]


class Generated(str):
    """Name of a kernel, a hash of its text: equal kernels have the same name and share their object code.

    Images are found by the name alone; the text is needed to compile one.
    """

    __slots__ = ("formats", "gates", "streams", "text")

    text: str
    """Source text for one panel, written by :mod:`edge_rnn.kernels.lower.panels`."""
    gates: tuple[int, ...]
    """Number of sums that each product of the text goes into."""
    formats: tuple[str, ...]
    """Format of the matrix of each product."""
    streams: int
    """Number of streams that are computed at once."""

    @classmethod
    def of(cls, text: str, gates: tuple[int, ...], formats: tuple[str, ...], streams: int = 1) -> Generated:
        """Name of the kernel with a text, given the number of sums and the format of each of its products."""
        digest = sha256(repr((text, gates)).encode()).hexdigest()[:16]
        others = f"__{'_'.join(formats)}" if {*formats} - {"float32"} else ""
        name = cls(f"eq_{digest}{others}{f'_x{streams}' if streams > 1 else ''}")
        name.text, name.gates, name.formats, name.streams = text, gates, formats, streams
        return name

    @property
    def for_groups(self) -> bool:
        """True if there is a variant for several streams: if all weights are float32."""
        return not {*self.formats} - {"float32"}

    def grouped(self, streams: int) -> Generated:
        """Name of the variant for several streams at once."""
        return Generated.of(self.text, self.gates, self.formats, streams)
