"""A job for :mod:`edge_rnn_export.limits.process`: run a Keras file in Keras itself, on one batch.

Keras and its backend import modules on first use, so this job may open files. Python's audit events are used to keep it
from opening connections, starting programs, and writing outside its own temporary folder.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edge_rnn.errors import UnsupportedError
from edge_rnn_export.limits.worker import Answer, Call

__all__ = ["CALLS", "prepare"]

_REFUSED = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "urllib.")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_loaded: list[Any] = []


def prepare() -> None:
    """Import the library with an installed backend: by default Keras takes TensorFlow."""
    import keras

    keras.utils.disable_interactive_logging()


def _open(about: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    """Load the file in Keras's safe mode; return Keras's version and the shapes of the ``inputs`` by name."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net").with_suffix(about["suffix"])
        path.write_bytes(arrays["data"].tobytes())
        tempfile.tempdir = folder
        sys.addaudithook(_guard(folder))
        with _as_unsupported():
            network = keras.models.load_model(path, compile=False, safe_mode=True)
            upto, after = about["upto"], about["after"]
            if upto or after:
                named = [upto] if isinstance(upto, str) else upto or ()
                ends = [network.get_layer(name).output for name in named] or network.outputs
                network = keras.Model(network.inputs, [*ends, *([network.get_layer(after).output] if after else [])])
            _loaded[:] = [network]
            return {
                "version": f"{keras.__version__} ({keras.config.backend()})",
                "inputs": {each.name: list(each.shape) for each in network.inputs},
            }, {}


def _run(_: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    """Return the outputs ``ys0``, ``ys1``, … for batches of the inputs; the last is that of the layer ``after``."""
    import keras

    with _as_unsupported():
        batches = [arrays[each.name] for each in _loaded[0].inputs]
        ys = keras.tree.flatten(_loaded[0](batches if len(batches) > 1 else batches[0], training=False))
        found = [np.ascontiguousarray(keras.ops.convert_to_numpy(each), np.float64) for each in ys]
        return {}, {f"ys{place}": each for place, each in enumerate(found)}


@contextmanager
def _as_unsupported() -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # Keras, its backend or an older version's file may raise anything
        reason = (str(error).splitlines() or [""])[0][:200]
        raise UnsupportedError(f"it does not load or run the file: {type(error).__name__}: {reason}") from None


def _guard(folder: str) -> Callable[[str, tuple[Any, ...]], None]:
    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(_REFUSED):
            raise PermissionError(f"the file makes Keras do {event}")
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
        if writes and not str(arguments[0]).startswith((folder, "/dev/null")):
            raise PermissionError("the file makes Keras write a file")

    return hook


CALLS: dict[str, Call] = {"open": _open, "run": _run}
