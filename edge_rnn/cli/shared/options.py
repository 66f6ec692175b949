"""Option types beyond those of argparse."""

from __future__ import annotations

import argparse
import math

__all__ = ["add_rate_options", "columns", "cpus", "positive_float", "positive_int", "shape"]


def add_rate_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the options for samples at a rate that differs from the model's."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--resample", action="store_true", help="resample the samples to the model's rate")
    either.add_argument(
        "--any-rate", action="store_true", help="accept samples at a rate that differs from the model's"
    )


def columns(text: str) -> tuple[str, ...]:
    """Parse column names or positions: ``ax,ay``."""
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected column names, or positions from 1, such as ax,ay")
    return parts


def positive_int(text: str) -> int:
    """Parse an integer of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number of 1 or more")
    return value


def positive_float(text: str) -> float:
    """Parse a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number above 0")
    return value


def shape(text: str) -> tuple[int, int]:
    """Parse input size and hidden size: ``16,64``."""
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected input and hidden size, such as 16,64")
    return int(parts[0]), int(parts[1])


def cpus(text: str) -> tuple[int, ...]:
    """Parse processor numbers: ``2,3``."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected processor numbers, such as 3 or 2,3")
    return tuple(int(part) for part in parts)
