"""Reader of Keras models, in memory or from files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rnn.errors import UnsupportedError
from edge_rnn_export.readers.registry import AFTER, UPTO, Option, Reader

if TYPE_CHECKING:
    from edge_rnn_export.readers.keras.reader import KerasReading

__all__ = ["READER"]


def _read(path: Path, **options: Any) -> KerasReading:
    from edge_rnn_export.readers.keras.reader import reading_of

    return reading_of(path, **options)


def _check(read: KerasReading, path: Path) -> str:
    from edge_rnn_export.readers.keras.check import compare

    checked, unchecked = compare(read, path)
    if unchecked:
        raise UnsupportedError("; ".join([unchecked, *read.joins]))
    return "; ".join([checked, *read.joins])


READER = Reader(
    kind="Keras",
    what="a Keras model",
    suffixes=(".keras", ".h5", ".hdf5"),
    read=_read,
    options=(UPTO, AFTER, Option("unpadded", "--unpadded", "ignore Masking: no step of the stream is padding")),
    check=_check,
    examples=("edge-rnn import gestures.keras -o gestures.safetensors --labels rest,fist,wave",),
)
"""Entry of this reader for ``edge-rnn import``."""
