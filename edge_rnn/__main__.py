"""``python -m edge_rnn``: the command ``edge-rnn``."""

from __future__ import annotations

import sys

from edge_rnn.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
