"""Measure what formats of matrices do to trained networks: those that are shipped, and others where they are there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import edge_rnn
from edge_rnn.cli.machine import processor
from edge_rnn.quantization import drift

FORMATS = ("float16", "int8", "w8a8", "int4")
SHARED = Path(os.environ.get("EDGE_RNN_SHARED_DATA", "../shared/data")) / "models"


def networks() -> Iterator[tuple[str, edge_rnn.Model, np.ndarray]]:
    """Name, network, and a recording that it is for."""
    folder = edge_rnn.device.files() / "smart_watch"
    with np.load(folder / "recording.npz") as arrays:
        xs = arrays["x"]
    for cell in ("elman", "gru", "lstm"):
        yield f"smart_watch {cell}", edge_rnn.load(folder / f"{cell}.safetensors"), xs
    from edge_rnn_export import from_json

    for kind in ("gru_torch", "lstm_torch", "gru", "lstm"):
        path = SHARED / "rtneural" / f"{kind}.json"
        if path.exists():
            signal = np.loadtxt(path.with_name(f"{kind}_x_python.csv"), delimiter=",", dtype=np.float32, ndmin=1)
            yield f"RTNeural {kind}", from_json(path), signal.reshape(-1, 1)
    if (SHARED / "nam" / "lstm.nam").exists():
        signal = (np.sin(np.arange(48_000) / 30) * np.linspace(0, 1, 48_000)).astype(np.float32)
        yield "NAM lstm", from_json(SHARED / "nam" / "lstm.nam"), signal[:, None]


def main() -> int:
    print(
        "Relative root mean square of outputs and end states, state carried, rounded by the first half of a recording"
    )
    print("and measured on the second, which is repeated to 10,000 steps at least:\n")
    print("| | largest state | " + " | ".join(FORMATS) + " |")
    print("| --- | ---: |" + " ---: |" * len(FORMATS))
    for name, model, xs in networks():
        half = len(xs) // 2
        stream = edge_rnn.Stream(model)
        largest = 0.0
        for x in xs[:2000]:
            stream.step(x)
            largest = max(largest, *(float(np.abs(state).max()) for state in stream.state.values()))
        found = []
        for format_ in FORMATS:
            small = edge_rnn.quantize(model, format_, calibration=xs[:half])
            found.append(f"{drift(model, small, xs[half:]):.1e}")
        print(f"| {name} | {largest:.3g} | " + " | ".join(found) + " |")
    print(
        f"\nMeasured {datetime.now(UTC):%Y-%m-%d} with edge_rnn {edge_rnn.__version__} on {processor()}, numpy ", end=""
    )
    print(np.__version__)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
