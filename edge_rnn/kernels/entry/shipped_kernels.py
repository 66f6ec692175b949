"""Kernels that came with the package, in a wheel for this architecture.

There is an archive of compiled functions for each of several CPUs; the best one that this CPU can run is used. How
weights are packed depends on the target, so a process uses one target for everything: where there are shipped kernels,
theirs, also for what is compiled in addition. Archives are part of the package, and trusted as its Python files are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path

from edge_rnn.kernels.compile.image import Image, parse
from edge_rnn.kernels.compile.shipped_targets import ShippedTarget, architecture, suitable
from edge_rnn.kernels.compile.target import OVERRIDES, cpuinfo
from edge_rnn.kernels.entry.archive import Archive

__all__ = ["FOLDER", "SOURCES", "ShippedKernels", "shipped_kernels"]

SOURCES = "sources"
"""Entry of an archive that is not a function's or a graph's."""

FOLDER = Path(__file__).parents[1] / "shipped"
"""Folder of archives; missing where the package was not installed from such a wheel."""


@dataclass(frozen=True, slots=True)
class ShippedKernels:
    """Kernels for this CPU.

    Parameters
    ----------
    chosen
        Their target.
    archive
        Compiled functions, and texts of lowered graphs.
    """

    chosen: ShippedTarget
    archive: Archive

    @property
    def sources(self) -> bytes:
        """Digest of the sources that they were compiled from."""
        return self.archive.get(SOURCES) or b""

    def image(self, name: str) -> Image | None:
        """Image of a function; None if it is not among the shipped ones."""
        data = self.archive.get(name)
        return None if data is None else parse(data)

    def text(self, name: str) -> str | None:
        """Text by its name; None if it is not among the shipped ones."""
        data = self.archive.get(name)
        return None if data is None else data.decode()


@cache
def shipped_kernels() -> ShippedKernels | None:
    """Kernels for this CPU; None if there are none, or if the environment names a CPU to compile for."""
    if not FOLDER.is_dir() or (any(name in os.environ for name in OVERRIDES) and _can_compile()):
        return None
    kind, lines = architecture(), cpuinfo()
    if kind == "x86_64":  # all processors have the same features; a list of a hundred takes a while
        lines = takewhile(str.strip, lines)
    for each in suitable(kind, "".join(lines)):
        path = FOLDER / each.file
        if path.is_file():
            return ShippedKernels(each, Archive(path))
    return None


def _can_compile() -> bool:
    from importlib.util import find_spec

    return find_spec("llvmlite") is not None
