"""Readers of networks from other frameworks, one folder per framework.

:class:`Reader` is how a package of one's own adds another kind, as an entry point of the group ``edge_rnn.readers``.
"""

from __future__ import annotations

from edge_rnn_export.readers.registry import Option, Reader

__all__ = ["Option", "Reader"]
