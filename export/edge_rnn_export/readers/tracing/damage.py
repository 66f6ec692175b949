"""Exceptions of graphs that contradict themselves."""

from __future__ import annotations

__all__ = ["DAMAGED", "reason_of"]

DAMAGED: tuple[type[Exception], ...] = (ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError)
DAMAGED += (RecursionError, MemoryError)
"""Exceptions that a graph which contradicts itself may cause anywhere."""


def reason_of(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
