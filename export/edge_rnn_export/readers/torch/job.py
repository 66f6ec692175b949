"""A job for :mod:`edge_rnn_export.limits.process`: read the state_dict in a file of ``torch.save`` as arrays.

Nothing that the file names is run. It can still claim gigabytes (an expanded tensor) or take practically forever
(containers that contain each other), so this happens in a process with limits.
"""

from __future__ import annotations

import codecs
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from io import BytesIO
from typing import Any

from edge_rnn_export.limits.worker import Answer, Call
from edge_rnn_export.readers.torch.archive import opened
from edge_rnn_export.readers.torch.archive_members import Archive
from edge_rnn_export.readers.torch.checkpoint import chosen, contents_of, with_normalizers
from edge_rnn_export.readers.torch.pickled import Tensor
from edge_rnn_export.readers.torch.script_symbols import UnreadableError

__all__ = ["CALLS", "prepare"]


def prepare() -> None:
    """Import what is imported on first use."""
    for codec in ("cp437", "latin-1", "ascii"):  # names in archives, and bytes in pickles
        codecs.lookup(codec)
    with zipfile.ZipFile(BytesIO(), "w") as archive:
        archive.writestr("a", b"a")
        archive.read("a")


def _load(about: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    """Return ``names`` in order of definition, ``loose`` tensors outside, and arrays by their index among the names."""
    path = about["path"]
    archive = opened(path, arrays["data"].tobytes())
    contents = contents_of(archive.root, lambda value: isinstance(value, Tensor))
    state = with_normalizers(contents, chosen(path, contents, about["state"]))
    found = {
        str(place): archive.array(f"{path}: {name[:256]}", each) for place, (name, each) in enumerate(state.items())
    }
    script = _forward(archive, state) if about["state"] is None else {}
    return {"names": list(state), **script, "loose": [name[:80] for name in contents.loose(state)]}, found


def _forward(archive: Archive, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return ``steps`` of forward, if the file holds it, or ``unread``, the reason why there are none."""
    try:
        steps = archive.steps(state)
        for name in (name for step in steps or () for name in step.states if name in state):
            if archive.array(name, state[name]).any():
                raise UnreadableError(f"its state {name!r} is not zero; set it as h0 or c0 of the layer afterwards")
    except UnreadableError as error:
        return {"unread": str(error)[:200]}
    return {} if steps is None else {"steps": [asdict(step) for step in steps]}


CALLS: dict[str, Call] = {"load": _load}
