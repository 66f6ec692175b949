"""A built library touches no byte outside state, samples and outputs: each adjoins a protected page."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import needs
from edge_rnn import Dense, Embedding, Model, Standardize, boards
from edge_rnn.kernels.entry import object_cache
from edge_rnn_export import build

needs.package("pyelftools")
needs.package("capstone")

Build = Callable[..., Model]
InFormat = Callable[[Model, str], Model]
HARNESS = Path(__file__).parents[1] / "support" / "guard_pages.py"

pytestmark = pytest.mark.needs("linker:here")


MODELS: dict[str, Callable[[Build, InFormat], Model]] = {
    "gru": lambda make, _: make("gru", 3, 5, head=9, activation="softmax"),
    "two lstms": lambda make, _: make("lstm", 9, 17, layers=2, head=1),
    "elman int8": lambda make, in_format: in_format(make("elman_tanh", 5, 24), "int8"),
    "means": lambda make, _: Model([Standardize([1.0, 2.0], [2.0, 4.0]), Dense([[1.0, 1.0]])]),
    "embedding of anything": lambda make, _: Model(
        [Dense([[1e10], [-1e10]]), Dense([[1.0, 1.0]]), Embedding(np.arange(40.0).reshape(5, 8))], input_size=1
    ),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.slow
def test_a_library_stays_within_its_memory(name: str, make_model: Build, in_format: InFormat, tmp_path: Path) -> None:
    host = object_cache.host()
    here = dataclasses.replace(
        boards.load("generic_x86_64"), title="this machine", triple=host.triple, cpu=host.cpu, features=host.features
    )
    build(MODELS[name](make_model, in_format), here, tmp_path, name="net")
    command = [sys.executable, str(HARNESS), f"library:{tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = done.stdout.splitlines()[-1:]
    ended = signal.Signals(-done.returncode).name if done.returncode < 0 else done.returncode
    assert done.returncode == 0, f"{name}: {ended} in {last}: {done.stderr[-2000:]}"
