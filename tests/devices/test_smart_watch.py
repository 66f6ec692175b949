"""Recording from a smart watch and its networks: the figures of their page, by the float64 reference."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edge_rnn import data_path, reference, shipped
from edge_rnn.errors import FileError, InputError
from edge_rnn.storage.model_file import load

NETWORKS = {"gru": "GRU", "lstm": "LSTM", "elman": "Elman"}
FOLDER = Path(__file__).parents[2] / "devices" / "smart_watch"


@pytest.fixture(scope="module")
def recording() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "recording.npz", allow_pickle=False) as stored:
        return dict(stored)


def _promised(network: str) -> tuple[int, ...]:
    """Row of the page's table: right samples, samples, right recordings, recordings, parameters, multiply-adds."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    row = re.search(
        rf"^\| `{network}` \| (\d+) of (\d+) \| ([\d.]+) % \| (\d+) of (\d+) \| (\d+) \| (\d+) \|$", page, re.M
    )
    assert row is not None
    right, of, percent, *others = row.groups()
    assert abs(100 * int(right) / int(of) - float(percent)) < 0.0051  # two decimals
    return int(right), int(of), *map(int, others)


def test_device_files_of_a_checkout() -> None:
    assert data_path("smart_watch") == FOLDER


def test_device_files_of_a_wheel_and_of_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "edge_rnn"
    monkeypatch.setattr(shipped, "__file__", str(package / "shipped.py"))
    (tmp_path / "devices").mkdir()  # an unrelated folder: there is no checkout around it
    with pytest.raises(FileError, match=r"device files of edge_rnn are missing.*_devices.*reinstall edge-rnn"):
        data_path("smart_watch")
    (package / "_devices" / "smart_watch").mkdir(parents=True)
    assert data_path("smart_watch") == package / "_devices" / "smart_watch"


def test_unknown_name_is_answered_with_the_known_ones() -> None:
    there = ", ".join(sorted(f"smart_watch/{path.name}" for path in FOLDER.iterdir()))
    with pytest.raises(FileError) as nearly:
        data_path("smart_watch/grru.safetensors")
    assert str(nearly.value) == (
        "edge_rnn ships no 'smart_watch/grru.safetensors'; did you mean 'smart_watch/gru.safetensors'? "
        f"There are {there}."
    )
    with pytest.raises(FileError, match=r"expected one of beaglebone_black, .*, reber, smart_watch, visionfive_2, "):
        data_path("zzzzz/gru.safetensors")
    with pytest.raises(FileError, match=r"'smart_watch/gru.safetensors' is a file\."):
        data_path("smart_watch/gru.safetensors/x")


@pytest.mark.parametrize("name", ["", ".", "/etc/passwd", "../pyproject.toml", "reber/../../x", "a\0b", 3, None])
def test_invalid_names_of_shipped_files_are_refused(name: object) -> None:
    with pytest.raises(InputError, match=r"data_path got .*, expected a .*'smart_watch/gru\.safetensors'"):
        data_path(name)  # type: ignore[arg-type]


def test_recording_is_small_and_has_the_promised_arrays(recording: dict[str, np.ndarray]) -> None:
    assert (FOLDER / "recording.npz").stat().st_size < 200_000
    assert {name: (array.dtype.name, array.shape) for name, array in recording.items()} == {
        "x": ("float32", (4000, 6)),
        "y": ("uint8", (4000,)),
        "recording": ("uint16", (4000,)),
    }
    assert np.isfinite(recording["x"]).all()


def test_recording_is_40_of_100_samples_each_with_one_label_in_mixed_order(recording: dict[str, np.ndarray]) -> None:
    places = recording["recording"].reshape(40, 100)
    assert (places == places[:, :1]).all()
    order = places[:, 0]
    assert sorted(order) == list(range(40))
    labels = recording["y"].reshape(40, 100)
    assert (labels == labels[:, :1]).all()
    # In the archive's file the activities stand one after another, ten recordings of each.
    np.testing.assert_array_equal(labels[:, 0], order // 10)
    assert np.count_nonzero(np.diff(labels[:, 0].astype(int))) == 29


def test_gyroscope_steps_are_those_of_a_sensor_in_radians_a_second(recording: dict[str, np.ndarray]) -> None:
    step = np.radians(0.1526)
    gyroscope = recording["x"][:, 3:].astype(np.float64)
    # The archive rounds to six decimals; float32 adds up to half its spacing at 32, 2^-19.
    assert np.abs(gyroscope - step * np.rint(gyroscope / step)).max() < 0.5e-6 + 2**-19 + 1e-8 * 9000
    assert np.abs(gyroscope).max() < np.radians(2000)


def test_licence_of_the_recording_lies_beside_it() -> None:
    text = (FOLDER / "LICENSE-aeon").read_text(encoding="utf-8")
    assert text.startswith("BSD 3-Clause License")
    assert "aeon developers" in text


@pytest.mark.parametrize("network", NETWORKS)
def test_network_has_the_metadata_for_deployment(network: str) -> None:
    model = load(FOLDER / f"{network}.safetensors")
    assert [layer.kind for layer in model.layers] == ["Standardize", NETWORKS[network], "Dense"]
    assert model.layers[-1].options == {"activation": "softmax"}
    assert next(iter(model.initial_state.values())).shape == (16,)
    assert model.labels == ("Standing", "Running", "Walking", "Badminton")
    assert model.sample_rate_hz == 10
    assert model.input_names == ("accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z")
    assert model.input_units == ("m/s^2",) * 3 + ("rad/s",) * 3
    assert (model.num_parameters, model.multiply_adds) == _promised(network)[4:]


@pytest.mark.parametrize("network", NETWORKS)
def test_network_follows_the_recording_as_its_page_says(network: str, recording: dict[str, np.ndarray]) -> None:
    model = load(FOLDER / f"{network}.safetensors")
    y, _ = reference.run(model, recording["x"])
    highest = np.sort(y, axis=1)[:, -2:]
    assert np.diff(highest).min() > 6e-4  # far above rounding: the counts below are exact everywhere
    answers, truth = y.argmax(axis=1), recording["y"]
    majority = [np.bincount(part).argmax() for part in answers.reshape(40, 100)]
    right = int(np.count_nonzero(answers == truth))
    recordings_right = int(np.count_nonzero(majority == truth[::100]))
    assert (right, truth.size, recordings_right, 40) == _promised(network)[:4]
    assert right / truth.size >= 0.91
