"""Measure the error of matrix formats on trained networks: those that ship, and others if they are available."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import edge_rnn
from edge_rnn.bench.machine import processor
from edge_rnn.quantization.apply import drift

FORMATS = ("float16", "int8", "w8a8", "int4")
DTLN_NODES = {
    *("lstm_4_X", "lstm_4_y_transposed", "lstm_4/Identity:0", "lstm_5_X", "lstm_5_y_transposed", "lstm_5/Identity:0"),
    *("dense_20", "biased_tensor_name", "activation_2"),
}
SHARED = Path(os.environ.get("EDGE_RNN_SHARED_DATA", "../shared/data")) / "models"


def networks() -> Iterator[tuple[str, edge_rnn.Model, np.ndarray]]:
    """Name, network, and a recording of its input."""
    folder = edge_rnn.data_path("smart_watch")
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
    if (SHARED / "dtln").exists():
        yield "DTLN, first network", *dtln(SHARED / "dtln")
    if (SHARED / "beatnet").exists() and find_spec("torch"):
        yield "BeatNet", *beatnet(SHARED / "beatnet")


def beatnet(folder: Path) -> tuple[edge_rnn.Model, np.ndarray]:
    """Recurrent part of a beat tracker, and the output of the convolution before it for 300 frames."""
    import torch

    from edge_rnn_export import from_torch

    read = torch.load(folder / "model_1_weights.pt", map_location="cpu", weights_only=True)
    weights = {name: value.numpy() for name, value in read.items()}
    with np.load(folder / "frames.npz") as arrays:
        frames = arrays["x"]
    windows = np.lib.stride_tricks.sliding_window_view(frames, 10, axis=1)
    channels = np.maximum(
        np.einsum("tpk,ck->tcp", windows, weights["conv1.weight"][:, 0]), -weights["conv1.bias"][:, None]
    )
    channels = channels + weights["conv1.bias"][:, None]
    pooled = channels[:, :, :262].reshape(len(frames), 2, 131, 2).max(-1).reshape(len(frames), -1)
    xs = pooled @ weights["linear0.weight"].T + weights["linear0.bias"]
    part = {name: value for name, value in weights.items() if name.startswith(("lstm.", "linear."))}
    model = from_torch(part, modules=("lstm", "linear"), activations={"linear": "none"})
    return model, xs.astype(np.float32)


def dtln(folder: Path) -> tuple[edge_rnn.Model, np.ndarray]:
    """Network that separates noise in a spectrum, from a zero state, and the spectra of a recording."""
    import onnx
    import soundfile

    from edge_rnn_export import from_onnx

    proto = onnx.load(folder / "model_1.onnx")
    nodes = [node for node in proto.graph.node if node.op_type == "LSTM" or node.output[0] in DTLN_NODES]
    for node in nodes:
        if node.op_type == "LSTM":
            del node.input[5:]  # states that come from outside
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    for values, kept in ((proto.graph.input, "input_2"), (proto.graph.output, "activation_2")):
        chosen = [value for value in values if value.name == kept]
        del values[:]
        values.extend(chosen)
    audio, _ = soundfile.read(folder / "noisy.wav", dtype="float32")
    blocks = np.lib.stride_tricks.sliding_window_view(np.pad(audio, (384, 0)), 512)[::128]
    return from_onnx(proto.SerializeToString()), np.abs(np.fft.rfft(blocks)).astype(np.float32)


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
