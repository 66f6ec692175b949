"""Reader of JSON files of audio networks: RTNeural, AIDA-X, GuitarML, NAM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rnn.errors import UnsupportedError
from edge_rnn_export.readers.registry import Reader
from edge_rnn_export.readers.torch import STATE

if TYPE_CHECKING:
    from edge_rnn_export.readers.json.reader import Reading

__all__ = ["READER"]


def _read(path: Path, **options: Any) -> Reading:
    from edge_rnn_export.readers.json.reader import read_json

    said = {option.name: options.pop(option.name) for option in STATE if option.name in options}
    return read_json(path, said, **options)


def _check(read: Reading, path: Path) -> str:
    import numpy as np

    from edge_rnn import reference
    from edge_rnn.spelling import counted

    if read.assumed:
        raise UnsupportedError(f"a state_dict does not hold forward; assumed: {read.assumed}")
    if read.recording is None:
        return ""
    ys, _ = reference.run(read.model, read.recording.xs)
    error = float(np.abs(ys - read.recording.ys).max())
    return f"the file's own recording of {counted(len(ys), 'step')}: {error:.1e} off at most"


READER = Reader(
    kind="JSON",
    what="JSON of RTNeural, AIDA-X, GuitarML or Neural Amp Modeler",
    suffixes=(".json", ".nam", ".aidax"),
    read=_read,
    options=STATE,
    check=_check,
    examples=("edge-rnn import amp.nam -o amp.safetensors",),
)
"""Entry of this reader for ``edge-rnn import``."""
