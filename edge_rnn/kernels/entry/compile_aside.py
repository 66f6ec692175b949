"""Compilation of a program in a process of low priority, next to a loop that must not wait for it.

The process runs this module; it reads the structure from its standard input, and its result is the file in the cache.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np

from edge_rnn.kernels.entry import object_cache, programs
from edge_rnn.kernels.lower.key import Generated
from edge_rnn.kernels.program.record import Handle
from edge_rnn.kernels.program.structure import Structure

__all__ = ["BACKGROUND_VARIABLE", "compiling_aside"]

BACKGROUND_VARIABLE = "EDGE_RNN_BACKGROUND"
"""Environment variable: ``off`` for no processes that compile."""

_LOWEST_PRIORITY = 19


@contextmanager
def compiling_aside(structure: Structure) -> Iterator[None]:
    """Compile the structure's program in a process meanwhile, unless it is there or cannot be made or kept."""
    if programs.ready(structure) or not _is_possible():
        yield
        return
    import subprocess

    with tempfile.TemporaryFile() as told:
        told.write(json.dumps(_plain(structure)).encode())
        told.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=told,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # an interrupt from the terminal is the loop's
        )
    try:
        yield
    finally:
        process.kill()  # what it would have written appears at once or not at all
        process.wait()


def _is_possible() -> bool:
    directory = object_cache.cache_directory()
    return (
        os.environ.get(BACKGROUND_VARIABLE, "") != "off"
        and bool(sys.executable)
        and directory.writable
        and directory.trusted
        and find_spec("numba") is not None
    )


def _plain(structure: Structure) -> dict[str, Any]:
    """Structure as JSON."""
    names = [name for name in structure.operations if isinstance(name, Generated)]
    return {
        "operations": structure.operations,
        "generated": {name: (name.text, name.gates, name.formats) for name in names},
        "records": structure.records.tolist(),
        "rows": structure.rows,
        "words": {int(word): value for word, value in structure.words.items()},
    }


def _structure(plain: dict[str, Any]) -> Structure:
    generated = {
        name: Generated.of(text, tuple(gates), tuple(formats))
        for name, (text, gates, formats) in plain["generated"].items()
    }
    operations = [generated.get(name, name) for name in plain["operations"]]
    records = np.array(plain["records"], np.int32).reshape(2, len(operations), -1)
    words = {Handle(int(word)): value for word, value in plain["words"].items()}
    return Structure.of(operations, records, words, plain["rows"])


def main() -> None:
    """Compile what standard input describes."""
    os.nice(_LOWEST_PRIORITY)
    programs.make(_structure(json.loads(sys.stdin.buffer.read())))


if __name__ == "__main__":
    main()
