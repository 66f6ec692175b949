"""Write ``snapshots.npz``: snapshots of edge_rnn 0.1.0, and its outputs after them.

Keys are ``<kind>/<name>/<what>``. A ``stream`` has its ``model`` (the bytes of a model file), the ``snapshot``, the
samples ``xs`` that follow, and the outputs ``ys``. A ``loop`` has the same, its ``snapshot`` a whole file, and its
``steps`` and ``at_s``. A ``front`` end, whose spelling is ``spec``, has ``snapshot``, ``xs`` and ``ys``; a
``rule`` has the events that follow instead, as rows of output, sample and since.

    git worktree add ../old v0.1.0 && PYTHONPATH=../old python tests/golden/make_snapshots.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from edge_rnn.loop.snapshot_file import encode

import edge_rnn
from edge_rnn.backend import Hysteresis, Majority, Smooth
from edge_rnn.frontend import parse

TARGET = Path(__file__).with_name("snapshots.npz")
FRONT_ENDS = {
    "resample": "resample:rate_in=441,rate_out=160,channels=2",
    "moving": "moving:window=8,hop=3,channels=2,statistics=mean+std+crossings",
    "logmel": "logmel:rate=16000,frame=64,hop=48,bands=8",
    "mfcc": "mfcc:rate=16000,frame=64,hop=100,bands=8,coefficients=4",
    "micro": "micro:rate=16000,frame=64,hop=48,bands=8",
    "chain": "resample:rate_in=100,rate_out=150|moving:window=4",
}
BEFORE, AFTER = 777, 300


def models() -> dict[str, edge_rnn.Model]:
    """A few small networks with every kind of state."""
    rng = np.random.default_rng(1)

    def cell(kind: type, inputs: int, units: int, gates: int, **more: object) -> edge_rnn.layers.Layer:
        shape = (gates * units, inputs), (gates * units, units), (gates * units,)
        w, u, b = (rng.standard_normal(each).astype(np.float32) * 0.5 for each in shape)
        return kind(w, u, b, **more)

    def dense(inputs: int, outputs: int) -> edge_rnn.Dense:
        return edge_rnn.Dense(rng.standard_normal((outputs, inputs)).astype(np.float32), activation="softmax")

    scaling = edge_rnn.Standardize([0.5, -0.5, 1.0], [2.0, 0.5, 1.0])
    gru = edge_rnn.Model([scaling, cell(edge_rnn.GRU, 3, 6, 3), dense(6, 2)], name="gru", sample_rate_hz=10)
    stack = [cell(edge_rnn.LSTM, 3, 5, 4), cell(edge_rnn.Elman, 5, 4, 1), dense(4, 2)]
    return {"gru": gru, "stack": edge_rnn.Model(stack), "int8": edge_rnn.quantize(gru, "int8")}


def main() -> None:
    assert edge_rnn.__version__ == "0.1.0", edge_rnn.__file__
    kept: dict[str, np.ndarray] = {}

    def keep(name: str, **values: object) -> None:
        for what, value in values.items():
            kept[f"{name}/{what}"] = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else np.asarray(value)

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for name, model in models().items():
            path = Path(folder, "m.safetensors")
            edge_rnn.save(model, path)
            stream = edge_rnn.Stream(model)
            stream.run(rng.standard_normal((7, 3)).astype(np.float32))
            xs = rng.standard_normal((5, 3)).astype(np.float32)
            whole, file = stream.snapshot(), encode(stream, 7, 1.7e9)
            ys = stream.run(xs)
            keep(f"stream/{name}", model=path.read_bytes(), snapshot=whole, xs=xs, ys=ys)
            keep(f"loop/{name}", model=path.read_bytes(), snapshot=file, xs=xs, ys=ys, steps=7, at_s=1.7e9)
    for name, spec in FRONT_ENDS.items():
        front = parse(spec)
        keep_front(keep, rng, name, spec, front)
    keep_front(keep, rng, "smooth", "", Smooth(samples=3, size=2))
    keep_front(keep, rng, "majority", "", Majority(last=5, size=3))
    rule = Hysteresis(2, enter=0.6, leave=0.4, enter_after=2, leave_after=3)
    first, xs = rng.random((9, 2)).astype(np.float32), rng.random((40, 2)).astype(np.float32)
    for x in first:
        rule.push(x)
    snapshot = rule.snapshot()
    events = [event for x in xs for event in rule.push(x)]
    keep("rule/hysteresis", snapshot=snapshot, xs=xs, events=[(e.output, e.sample, e.since) for e in events])
    np.savez_compressed(TARGET, **kept)


def keep_front(keep: object, rng: np.random.Generator, name: str, spec: str, front: object) -> None:
    """Store a front end's snapshot and its outputs for the samples after it."""
    front.run(rng.standard_normal((BEFORE, front.input_size)).astype(np.float32))
    xs = rng.standard_normal((AFTER, front.input_size)).astype(np.float32)
    snapshot = front.snapshot()
    keep(f"front/{name}", spec=spec, snapshot=snapshot, xs=xs, ys=front.run(xs))


if __name__ == "__main__":
    main()
