"""Fixtures of loop tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import needs
from source_helpers import with_close

# Serial line


@pytest.fixture
def port() -> Iterator[tuple[int, str]]:
    """Test's end of a serial line, and the name of the other end."""
    needs.package("pyserial")
    import tty

    ours, theirs = os.openpty()
    tty.setraw(theirs)
    yield ours, os.ttyname(theirs)
    for each in (ours, theirs):
        with_close(each)
