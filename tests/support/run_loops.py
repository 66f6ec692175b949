"""Helpers of cli tests."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
