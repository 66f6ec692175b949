"""SHA-256 without OpenSSL for little data: loading that library takes 4 MB of memory and 2 ms at every start.

Python's own implementation is a tenth as fast, so large data is left to OpenSSL.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Protocol, cast

__all__ = ["Hash", "sha256"]

_LARGE_BYTES = 1 << 20


class Hash(Protocol):
    """Hash object, as in :mod:`hashlib`."""

    def update(self, data: Any, /) -> None:
        """Append bytes."""

    def digest(self) -> bytes:
        """Hash of all bytes so far."""

    def hexdigest(self) -> str:
        """Hash of all bytes so far, in hexadecimal digits."""


def sha256(data: bytes = b"", size: int = 0) -> Hash:
    """Make a hash object, as :func:`hashlib.sha256` does.

    Parameters
    ----------
    data
        First bytes.
    size
        Number of bytes that follow, roughly.
    """
    if len(data) + size < _LARGE_BYTES:
        try:
            # Where random has it from, too; CPython can be built without it.
            own = import_module("_sha2" if sys.version_info >= (3, 12) else "_sha256")
            return cast(Hash, own.sha256(data))
        except ImportError:
            pass
    import hashlib

    return hashlib.sha256(data)
