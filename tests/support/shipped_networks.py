"""Run networks in another process, with shipped kernels alone or with compiled ones, and compare every bit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

import edge_rnn
from checkout import environment
from edge_rnn import EdgeRnnError, Model, Stream, StreamBank
from edge_rnn.digest import sha256
from edge_rnn.kernels.compile.shipped_targets import ShippedTarget, architecture, suitable
from edge_rnn.kernels.compile.target import cpuinfo
from edge_rnn.kernels.entry import object_cache, shipped_kernels

__all__ = ["best_target", "computed", "digests"]


def best_target() -> ShippedTarget:
    """Shipped target of this machine."""
    return next(suitable(architecture(), "".join(cpuinfo())))


def computed(paths: Iterable[Path], folder: Path, archives: Path | None) -> list[str]:
    """Digests of what networks compute in a process of its own, or the errors there.

    Parameters
    ----------
    paths
        Model files.
    folder
        A folder; the process without Numba keeps its cache in a folder ``cache`` there.
    archives
        Folder of archives, for a process without Numba and llvmlite; None for one that compiles for the same target.
    """
    target = best_target().target
    forced = {"NUMBA_CPU_NAME": target.cpu, "NUMBA_CPU_FEATURES": target.features}
    env = environment() | ({"EDGE_RNN_CACHE_DIR": str(folder / "cache")} if archives else forced)
    command = [sys.executable, __file__, str(archives or ""), *map(str, paths)]
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def digests(model: Model) -> str:
    """Digest of every bit of the outputs and states of a stream and of a bank."""
    xs = np.random.default_rng(0).normal(size=(50, model.input_size)).astype(np.float32)
    stream = Stream(model)
    ys = [stream.step(x).copy() for x in xs[:20]]
    saved = stream.snapshot()
    ys.append(stream.run(xs[20:]))
    stream.restore(saved)
    count = 2 * object_cache.host().group + 1
    bank = StreamBank(model, count)
    several = np.stack([np.roll(xs, i, axis=0) for i in range(count)], axis=1)
    ys += [bank.step(each).copy() for each in several]
    digest = sha256(b"".join(np.ascontiguousarray(y).tobytes() for y in ys) + saved + bank[1].snapshot())
    return f"{object_cache.host().cpu} {digest.hexdigest()} {np.concatenate([y.ravel() for y in ys]).std():.6f}"


if __name__ == "__main__":
    if sys.argv[1]:
        sys.modules["numba"] = sys.modules["llvmlite"] = None  # type: ignore[assignment]
        shipped_kernels.FOLDER = Path(sys.argv[1])
    for path in sys.argv[2:]:
        try:
            print(digests(edge_rnn.load(path)))
        except EdgeRnnError as error:
            print(f"{type(error).__name__}: {error}")
