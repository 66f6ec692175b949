"""Readers of networks from other frameworks, one folder per framework.

Your own package can add another kind of file with a :class:`Reader`, registered as an entry point of the group
``edge_rnn.readers``.
"""

from __future__ import annotations

from edge_rnn_export.readers.registry import Option, Reader

__all__ = ["Option", "Reader"]
