"""Loop in a separate process, to be killed: ``python loop_child.py FOLDER EVERY``.

Its clock advances by one period per tick, and never while the disk is busy with a snapshot, so that the loss by a kill
is exact under any load. Each step is reported on stdout before the next one begins.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from edge_rnn.loop import SensorLoop, sinks, sources
from loop_fakes import FakeClock, stream

WIDTH = 40


def sample(i: int) -> np.ndarray:
    """The i-th sample, from 0."""
    return np.sin(np.arange(WIDTH, dtype=np.float32) + i)


class Patient(FakeClock):
    """Clock that stands still while the disk is busy."""

    made: SensorLoop | None = None

    def sleep(self, seconds: float) -> None:
        assert self.made is not None
        self.made._chores._clerk.wait(60)
        super().sleep(seconds)


def main(folder: Path, every: int) -> None:
    network, clock = stream(WIDTH), Patient()
    place = 0

    def read() -> np.ndarray:
        nonlocal place
        if place == 0:
            assert clock.made is not None
            place = clock.made._chores.steps_before
            os.write(1, f"begin {place}\n".encode())
        place += 1
        return sample(place - 1)

    clock.made = SensorLoop(
        network,
        sources.Call(read),
        sinks.Call(lambda y, t_s: os.write(1, f"{place}\n".encode())),
        1000,
        snapshot=folder / "state",
        snapshot_every_s=every / 1000,
        clock=clock,
        report=lambda text: None,
        collect="never",
    )
    clock.made.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
