"""Libraries built for the tests' machine, called as from C."""

from __future__ import annotations

import ctypes
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from edge_rnn import boards as device
from edge_rnn.boards import Device
from edge_rnn.kernels.entry import object_cache


def this_machine() -> Device:
    """A board that is the machine the tests run on."""
    host = object_cache.host()
    return dataclasses.replace(
        device.load("generic_x86_64"), title="this machine", triple=host.triple, cpu=host.cpu, features=host.features
    )


class Library:
    """A built library, called as from C."""

    def __init__(self, folder: Path, name: str) -> None:
        self.meta: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
        self.library, self.name = ctypes.CDLL(str(folder / self.meta["library"])), name
        room = np.zeros(self.meta["state_bytes"] + 64, np.uint8)
        start = -room.ctypes.data % 64
        self.state = room[start : start + self.meta["state_bytes"]]
        self.y = np.zeros(self.meta["output_size"], np.float32)

    def __call__(self, function: str, *arguments: Any) -> int:
        given = [a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else a for a in arguments]
        return int(getattr(self.library, f"{self.name}_{function}")(*given))

    def step(self, x: np.ndarray) -> tuple[int, np.ndarray]:
        return self("step", np.ascontiguousarray(x, np.float32), self.y, self.state), self.y.copy()
