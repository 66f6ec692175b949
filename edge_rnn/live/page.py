"""The page, and its Content-Security-Policy."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

__all__ = ["page", "policy"]


@cache
def page() -> bytes:
    """The whole page: one file with its style and script inline."""
    folder = Path(__file__).parent
    style, *scripts = ((folder / name).read_bytes() for name in ("page.css", "page.js", "charts.js", "view.js"))
    text = (folder / "page.html").read_bytes().replace(b"<style></style>", b"<style>\n%s</style>" % style)
    return text.replace(b"<script></script>", b"<script>\n%s</script>" % b"\n".join(scripts))


@cache
def policy() -> str:
    """Content-Security-Policy: the page's own style and script, data from this server, and nothing else."""
    style, script = (_hash(tag) for tag in (b"style", b"script"))
    return (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; img-src data:; "
        f"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(tag: bytes) -> str:
    found = re.search(rb"<%s>(.*?)</%s>" % (tag, tag), page(), re.DOTALL)
    assert found is not None
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[1]).digest()).decode()}'"
