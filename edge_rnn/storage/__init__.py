"""Storage: model files, snapshots of state, and checks of files from untrusted sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_rnn.lazy import attach

if TYPE_CHECKING:
    from edge_rnn.storage.model_file import load, save

__all__ = ["load", "save"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = attach(__name__, {"model_file": ("load", "save")})
