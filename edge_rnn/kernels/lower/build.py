"""Turn the text of a generated kernel into the function that is compiled."""

from __future__ import annotations

from typing import Any

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.lower.key import Generated
from edge_rnn.kernels.matrices.segments import lanes_for, widths_for

__all__ = ["build", "panel_widths"]


def panel_widths(target: Target, gates: tuple[int, ...], formats: tuple[str, ...]) -> tuple[int, ...]:
    """Units in a panel, widest first."""
    return widths_for(target, max(gates, default=1), formats or ("float32",))


def build(name: Generated, target: Target) -> Any:
    """Build the step from a kernel's text, for the number of streams in its name."""
    from edge_rnn.kernels.compile.compiler import helper
    from edge_rnn.kernels.matrices.multiply import multiply
    from edge_rnn.kernels.program.sweep import sweep
    from edge_rnn.kernels.vectors import activations, error_function, load_store, logarithm, vector

    modules = (vector, activations, error_function, logarithm, load_store)
    known = {word: getattr(module, word) for module in modules for word in module.__all__}
    formats, streams = name.formats, name.streams

    def panel(width: int, lanes: int) -> Any:
        scope = {**known, "width": width, "lanes": lanes, "streams": streams, "__builtins__": {}}
        for number, (kind, count) in enumerate(zip(formats, name.gates, strict=True)):
            scope[f"product{number}"] = multiply(kind, count, width, lanes * streams, target)
        exec(compile(name.text, f"<{name}>", "exec"), scope)  # noqa: S102 - written by panels.py, with no text from a file
        return helper(scope["panel"])

    most = max(name.gates, default=1)
    widths = panel_widths(target, name.gates, formats)
    return sweep(streams, panel, widths, lanes_for(target, most, formats or ("float32",)))
