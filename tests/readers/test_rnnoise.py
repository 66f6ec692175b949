"""Networks of RNNoise, against the equations of the paper's program, written out with exact functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edge_rnn
from edge_rnn import reference
from edge_rnn.cli import main
from edge_rnn.errors import EdgeRnnError, FileError, InputError, InputTypeError, ModelError
from edge_rnn_export import from_rnnoise

RNG = np.random.default_rng(1961)
FLOAT64 = 1e-13
"""Both computed in float64 from the same whole numbers, over 50 steps."""

FUNCTIONS = (np.tanh, lambda x: 1 / (1 + np.exp(-x)), lambda x: np.maximum(x, 0))
SIZES = {"input_dense": (42, 24, 0), "vad_gru": (24, 24, 2), "noise_gru": (90, 48, 2), "denoise_gru": (114, 96, 2),
         "denoise_output": (96, 22, 1), "vad_output": (24, 1, 1)}  # fmt: skip


def weights() -> dict[str, list[np.ndarray]]:
    found = {}
    for name, (inputs, units, _) in SIZES.items():
        gates = (3,) if "gru" in name else ()
        shapes = [(inputs, *gates, units), *([(units, *gates, units)] if gates else []), (*gates, units)]
        found[name] = [RNG.integers(-40, 41, shape) for shape in shapes]
    return found


WEIGHTS = weights()


def text(**heads: tuple[int, int, int]) -> bytes:
    """File of the network; ``heads`` replace sizes and activations."""
    lines = ["rnnoise-nu model file version 1"]
    for name, head in (SIZES | heads).items():
        lines.append(" ".join(map(str, head)))
        lines += [" ".join(map(str, array.reshape(-1))) for array in WEIGHTS[name]]
    return "\n".join(lines).encode() + b"\n"


def written(folder: Path, data: bytes) -> Path:
    path = folder / "bd.rnnn"
    path.write_bytes(data)
    return path


def expected(xs: np.ndarray) -> dict[str, np.ndarray]:
    states = {name: np.zeros(units) for name, (_, units, _) in SIZES.items() if "gru" in name}

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        matrix, bias = WEIGHTS[name]
        return FUNCTIONS[SIZES[name][2]]((x @ matrix + bias) / 256)

    def gru(name: str, x: np.ndarray) -> np.ndarray:
        matrix, recurrent, bias = WEIGHTS[name]
        h = states[name]
        z, r = (FUNCTIONS[1]((x @ matrix[:, k] + h @ recurrent[:, k] + bias[k]) / 256) for k in (0, 1))
        new = FUNCTIONS[SIZES[name][2]]((x @ matrix[:, 2] + (r * h) @ recurrent[:, 2] + bias[2]) / 256)
        states[name] = z * h + (1 - z) * new
        return states[name]

    outputs: dict[str, list[np.ndarray]] = {"gains": [], "vad": []}
    for x in xs:
        first = dense("input_dense", x)
        voice = gru("vad_gru", first)
        noise = gru("noise_gru", np.concatenate([first, voice, x]))
        outputs["vad"].append(dense("vad_output", voice))
        outputs["gains"].append(dense("denoise_output", gru("denoise_gru", np.concatenate([voice, noise, x]))))
    return {name: np.array(ys) for name, ys in outputs.items()}


@pytest.mark.parametrize("part", ["gains", "vad"])
def test_outputs_follow_the_equations(part: str, tmp_path: Path) -> None:
    model = from_rnnoise(written(tmp_path, text()), part=part)
    xs = RNG.standard_normal((50, 42))
    assert np.abs(reference.run(model, xs)[0] - expected(xs)[part]).max() <= FLOAT64
    assert model.sample_rate_hz == 100


def test_import_knows_the_file_by_its_first_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model"
    path.write_bytes(text())
    words = ["import", str(path), "-o", str(tmp_path / "vad.safetensors")]
    assert main(words) != 0
    assert "has two outputs, state the one to read: part='gains' or 'vad' (--part)" in (
        " ".join(capsys.readouterr().err.split())
    )
    assert main([*words, "--part", "vad"]) == 0
    assert edge_rnn.load(tmp_path / "vad.safetensors").output_size == 1


REFUSED: dict[str, tuple[bytes, type[EdgeRnnError], str]] = {
    "another version": (text().replace(b"version 1", b"version 2"), FileError, "expected 'rnnoise-nu model file v"),
    "cut": (text()[:5000], FileError, "is truncated|is damaged"),
    "more numbers": (text() + b"7\n", FileError, "numbers follow the last layer"),
    "a fraction": (text().replace(b"42 24 0\n", b"42 24 0.5\n"), FileError, "expected whole numbers of 8 bits"),
    "an unknown activation": (text(vad_gru=(24, 24, 3)), FileError, "vad_gru got 24 inputs, 24 units and activation 3"),
    "a size of gigabytes": (text(vad_gru=(999, 999, 0)), FileError, "vad_gru got 999 inputs"),
    "no size": (text(vad_gru=(0, 24, 0)), FileError, "vad_gru got 0 inputs"),
    "a large weight": (text().replace(b"\n42 24 0\n", b"\n42 24 0\n999 ", 1), FileError, "holds the weight 999"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    data, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message) as caught:
        from_rnnoise(written(tmp_path, data), part="vad")
    assert "bd.rnnn" in str(caught.value)


def test_layers_that_do_not_fit_each_other(tmp_path: Path) -> None:
    data = text(vad_output=(7, 1, 1)).rsplit(b"\n", 3)[0] + b"\n" + b"1 " * 8 + b"\n"
    with pytest.raises(ModelError, match=r"'vad_output' reads 24 values, expected 7"):
        from_rnnoise(written(tmp_path, data), part="vad")


def test_arguments_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got part='both'; an RNNoise network has two outputs"):
        from_rnnoise(written(tmp_path, text()), part="both")
    with pytest.raises(InputTypeError, match="got int, expected the path"):
        from_rnnoise(3, part="vad")  # type: ignore[arg-type]
