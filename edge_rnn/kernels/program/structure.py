"""Name of a model structure's program, which carries all that its code depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edge_rnn.digest import sha256
from edge_rnn.kernels.program.record import Handle
from edge_rnn.typing import I32

__all__ = ["Structure"]


class Structure(str):
    """Name of the program of a model structure, a hash of the structure: models of equal structure share their code.

    Weights are no part of it, but for what decides about code: formats, sparsity patterns' sizes, options of cells.
    """

    __slots__ = ("operations", "records", "rows", "words")

    operations: tuple[str, ...]
    """Name of the kernel of each operation of a step."""
    records: I32
    """``(2, operations, length)``: records for even and for odd steps."""
    words: Mapping[Handle, int]
    """Words of a handle that all streams of the structure share."""

    rows: int
    """Most values that the matrices of one operation multiply."""

    @classmethod
    def of(cls, operations: Sequence[str], records: I32, words: Mapping[Handle, int], rows: int) -> Structure:
        """Name of the program of a structure."""
        given = (*operations, str(records.shape), str(rows), *(f"{int(word)}={words[word]}" for word in sorted(words)))
        digest = sha256("\0".join(given).encode() + np.ascontiguousarray(records, "<i4").tobytes())
        name = cls(f"program_{digest.hexdigest()[:32]}")
        name.operations, name.records, name.words, name.rows = tuple(operations), records, words, rows
        return name
