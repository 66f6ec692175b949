"""Live view of a running loop in the browser: standard library only, read-only, local by default.

>>> from edge_rnn.live import serving
>>> with serving(loop) as url:  # doctest: +SKIP
...     print(url)
...     loop.run()
"""

from __future__ import annotations

from edge_rnn.live.server import serving

__all__ = ["serving"]
