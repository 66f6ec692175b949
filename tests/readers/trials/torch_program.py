"""Text of a random PyTorch module, and what a caller of it has to know."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

__all__ = ["Key", "Program"]

_HEADER = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"

Key = int | str | None


@dataclass
class Program:
    """Text of a class or a function ``Net``, line by line; ``v`` is the value that its blocks compute.

    Parameters
    ----------
    layout
        Axes of the samples, see ``LAYOUTS`` in :mod:`tests.readers.trials.torch_write`; ``"step"`` is ``(batch, I)``.
    inputs
        Number of features; if ``symbols``, number of symbols.
    """

    rng: Random
    layout: str
    inputs: int
    symbols: bool = False
    obstacle: str = ""
    """Operation over time that a stream cannot do; empty if there is none."""
    last: bool = False
    """True if forward returns only the last step."""
    features_first: bool = False
    """True if the outputs are ``(batch, O, time)``."""
    heads: list[Key] = field(default_factory=list)
    """Index or key of each head in what forward returns; None for a tensor without a container."""
    logs: list[bool] = field(default_factory=list)
    """For each head, True if it ends in log_softmax."""
    states: list[list[tuple[int, ...]]] = field(default_factory=list)
    """Shapes of each state argument, two for a pair; for a batch of one."""
    optional: bool = False
    """True if state arguments may be left out."""
    new_states: list[Key] = field(default_factory=list)
    """Index or key of each new state, or pair of these, in what forward returns; None for all of it."""

    axis: int | None = 1
    """Axis of time inside of forward; None for one step."""
    size: int = 1
    """Number of features of ``v``."""
    last_state: str = ""
    """Expression that equals ``v`` at the last step; empty if there is none but ``v``."""
    given: bool = False
    """True if states are arguments of forward."""
    returned: list[str] = field(default_factory=list)
    """Expressions of new states."""
    arguments: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    bare: str = ""
    """Expression of the module, if it is one of PyTorch's own."""
    _init: list[str] = field(default_factory=list)
    _lines: list[str] = field(default_factory=list)

    def chance(self, share: float) -> bool:
        """True in this share of cases."""
        return self.rng.random() < share

    def module(self, stem: str, expression: str) -> str:
        """Add a submodule or a parameter; return its name in forward."""
        name = f"self.{stem}{len(self._init) + 1}"
        self._init.append(f"{name} = {expression}")
        return name

    def buffer(self, stem: str, expression: str) -> str:
        """Add a buffer; return its name in forward."""
        name = f"{stem}{len(self._init) + 1}"
        self._init.append(f"self.register_buffer({name!r}, {expression})")
        return f"self.{name}"

    def add(self, *lines: str) -> None:
        """Add lines to forward."""
        self._lines += lines
        if any(line.startswith("v") for line in lines):
            self.last_state = ""

    @property
    def batch(self) -> str:
        """Expression of the batch size."""
        return "v.size(1)" if self.axis == 0 else "v.size(0)"

    def at(self, step: str) -> str:
        """Expression of a step, or a slice of steps, of ``v``."""
        return f"v[:, {step}]" if self.axis == 1 else f"v[{step}]"

    @property
    def text(self) -> str:
        """The whole program."""
        if self.bare:
            return f"{_HEADER}\n\ndef Net():\n    return {self.bare}\n"
        init = "".join(f"        {line}\n" for line in ["super().__init__()", *self._init])
        forward = "".join(f"        {line}\n" for line in self._lines)
        return (
            f"{_HEADER}\n\n{''.join(self.classes)}class Net(nn.Module):\n    def __init__(self):\n{init}\n"
            f"    def forward({', '.join(['self', 'x', *self.arguments])}):\n{forward}"
        )
