"""Public networks: what is read is right, every file is tried, and the page of the documentation is up to date."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_rnn import GRU, Model, reference
from edge_rnn.errors import UnsupportedError
from tests.scoreboard import known, report
from tests.scoreboard.networks import FURTHER, NETWORKS, Part

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "public_networks.md"
PARTS = [part for network in NETWORKS for part in network.parts]

# Inputs, outputs and descriptions that are with the networks; and two cells that sweep over a picture.
OTHERS = (
    *("attributes.json", "deploy.json", "okay_nabu.json", "vad.json", "frames.npz", "noisy.npz", "words.npz"),
    *("speech.npz", "calibration_samples.npz", "stream.npz", "pluck.npz", "sine.npz", "y.npz", "wrn-gru-mesa.npz"),
    *("tflm_mnist.npz", "tflm_mnist_int8.npz", "g1.npz", "h1.npz", "rnnpool.npz"),
)
SUFFIXES = (".onnx", ".pt", ".pth", ".safetensors", ".tflite", ".h5", ".keras", ".nam", ".json", ".npz")


def test_every_file_is_tried(shared_data: Path) -> None:
    models = shared_data / "models"
    found = {path.relative_to(models).as_posix() for path in models.rglob("*") if path.suffix in SUFFIXES}
    assert found - {part.file for part in PARTS} == {name for name in found if Path(name).name in OTHERS}
    assert {part.file for part in PARTS} <= found


def test_the_page_is_what_the_command_prints_and_nothing_is_wrong(shared_data: Path) -> None:
    text = report.page(shared_data / "models")
    assert "wrong: " not in text
    assert PAGE.read_text(encoding="utf-8") == text, "python -m tests.scoreboard > docs/reference/public_networks.md"


def test_what_is_known_of_each_network_is_complete() -> None:
    for network in NETWORKS:
        assert network.name
        assert network.licence
        assert network.source
        assert network.parts
    for part in PARTS:
        assert (part.allowed > 0) == (part.error is not None or type(part) is not Part), part.file
    assert all(each.licence and each.source.startswith("github.com/") for each in FURTHER)


# The report itself
def model() -> Model:
    rng = np.random.default_rng(1)
    return Model([GRU(*(rng.uniform(-0.5, 0.5, shape).astype(np.float32) for shape in ((12, 3), (12, 4))))])


class Made(Part):
    def read(self, models: Path) -> Model:
        return model()


@pytest.mark.parametrize(
    ("difference", "what", "detail"),
    [(0.0, "read", "error below 1e-9"), (3e-8, "read", "error 3e-8"), (1e-5, "wrong", "at most 1e-06 is right")],
)
def test_outcomes(tmp_path: Path, difference: float, what: str, detail: str) -> None:
    xs = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    np.savez(tmp_path / "known.npz", x=xs, y=reference.run(model(), xs)[0] + difference, start=5)
    for start in (0, "start"):
        found = report.result(Made("net.onnx", known.series("known.npz", "x", "y", start), 1e-6), tmp_path)
        assert found.what == what
        assert detail in found.detail
    assert report.result(Made("net.onnx"), tmp_path).what == "unchecked"


def test_refusals_are_first_sentences_without_folders(tmp_path: Path) -> None:
    class Refused(Part):
        def read(self, models: Path) -> Model:
            raise UnsupportedError(f"{models}/some/net.keras: Conv1D 'c' is not read. Build it by hand. More.")

    assert report.result(Refused("net.keras"), tmp_path) == ("refused", "net.keras: Conv1D 'c' is not read")


def test_outputs_of_channels_begin_with_the_first_full_window(tmp_path: Path) -> None:
    """Of 10 steps, a window of 3 without padding has outputs at steps 2 to 9, or at every second of these."""
    xs = np.random.default_rng(0).standard_normal((10, 3)).astype(np.float32)
    ys = reference.run(model(), xs)[0]
    np.savetxt(tmp_path / "x.csv", xs, delimiter=",", fmt="%.9g")
    for every, rows in ((1, slice(2, None)), (2, slice(2, None, 2))):
        np.savetxt(tmp_path / "y.csv", ys[rows].T, delimiter=",", fmt="%.17g")
        error = known.channels("x.csv", "y.csv", 3, every)(tmp_path, model())
        assert error < 1e-6


def test_frames_overlap_and_begin_with_zeros() -> None:
    found = known.frames(np.arange(1.0, 11.0), 6, 4)
    np.testing.assert_array_equal(found, [[0, 0, 1, 2, 3, 4], [3, 4, 5, 6, 7, 8]])
