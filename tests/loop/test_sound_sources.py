"""Samples from WAV files and microphones."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn.errors import FileError, UnsupportedError
from edge_rnn.loop import open_source, sources
from source_helpers import all_of, model, write_wav


@pytest.mark.needs("soundfile")
@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wav(tmp_path: Path, width: int) -> None:
    values = np.random.default_rng(7).uniform(-0.99, 0.99, 10_000)
    write_wav(tmp_path / "a.wav", values, width)
    source = sources.Wav(tmp_path / "a.wav", 1)
    found = all_of(source)
    got = np.array([each.x for each in found])[:, 0]
    assert np.all(np.abs(got - values) <= 0.5 / (1 << (8 * width - 1)) + 2**-24)
    assert [each.t_s for each in found[:3]] == [0, 1 / 8000, 2 / 8000]
    assert source.sample_rate_hz == 8000


@pytest.mark.needs("soundfile")
def test_wav_in_blocks_and_channels(tmp_path: Path) -> None:
    values = np.arange(-1000, 1000) / 32768
    write_wav(tmp_path / "a.wav", values, 2)
    source = sources.Wav(tmp_path / "a.wav", 160)
    got = np.array([each.x for each in all_of(source)])
    assert np.array_equal(got, values[:1920].reshape(-1, 160).astype(np.float32))
    assert source.sample_rate_hz == 50
    write_wav(tmp_path / "b.wav", values, 2, channels=2)
    got = np.array([each.x for each in all_of(sources.Wav(tmp_path / "b.wav", 2))])
    assert np.array_equal(got, values.reshape(-1, 2).astype(np.float32))
    with pytest.raises(FileError, match="got 2 channels of 2, but the model reads 3 values"):
        sources.Wav(tmp_path / "b.wav", 3)


@pytest.mark.needs("soundfile")
def test_wav_that_lies_about_its_length(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(1000), 2)
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[: 44 + 501])
    found = all_of(sources.Wav(tmp_path / "a.wav", 1))
    assert len(found) == 251
    assert "ends after 250 of the 1000 samples" in found[-1]


@pytest.mark.parametrize(
    ("name", "options", "step"),
    [
        ("a.wav", {"format": "WAV", "subtype": "PCM_24"}, 2**-23),
        ("a.wav", {"format": "WAV", "subtype": "FLOAT"}, 2**-24),
        ("a.wav", {"format": "WAV", "subtype": "DOUBLE"}, 2**-24),
        ("a.wav", {"format": "WAVEX", "subtype": "PCM_16"}, 2**-15),
        ("a.rf64", {"format": "RF64", "subtype": "PCM_16"}, 2**-15),
        ("a.flac", {"format": "FLAC", "subtype": "PCM_24"}, 2**-23),
    ],
)
def test_sound_of_other_kinds_and_chosen_channels(tmp_path: Path, name: str, options: dict, step: float) -> None:
    soundfile = needs.package("soundfile")
    values = np.random.default_rng(9).uniform(-0.9, 0.9, (500, 3))
    soundfile.write(tmp_path / name, values, 22050, **options)
    source = open_source(f"wav:{tmp_path / name}?channel=3", model(1))
    assert source.sample_rate_hz == 22050
    got = np.array([each.x for each in all_of(source)])
    np.testing.assert_allclose(got, values[:, 2:], rtol=0, atol=step + 2**-24)
    got = np.array([each.x for each in all_of(sources.Wav(tmp_path / name, 2, channel=(3, 1)))])
    np.testing.assert_allclose(got, values[:, [2, 0]], rtol=0, atol=step + 2**-24)
    for size, words in ((1, r"with wav:FILE\?channel=1\."), (2, r"with wav:FILE\?channel=1,2\.")):
        with pytest.raises(FileError, match=words):
            sources.Wav(tmp_path / name, size)
    with pytest.raises(FileError, match="channel"):
        sources.Wav(tmp_path / name, 1, channel=(4,))


@pytest.mark.needs("soundfile")
def test_damaged_wav_is_a_file_error_or_sound(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.linspace(-0.5, 0.5, 200), 2)
    whole = bytearray((tmp_path / "a.wav").read_bytes())
    rng = np.random.default_rng(8)
    refused = 0
    for i in range(1000):
        data = bytearray(whole)
        for _ in range(3):
            data[rng.integers(0, 44)] = rng.integers(0, 256)
        (tmp_path / "b.wav").write_bytes(data[: rng.integers(0, len(data) + 1)] if i % 4 == 0 else data)
        try:
            source = sources.Wav(tmp_path / "b.wav", 1)
        except FileError:
            refused += 1
            continue
        assert len(all_of(source)) <= 2 * len(whole)
        source.close()
    assert 100 < refused < 1000


class FakeSound(types.ModuleType):
    """sounddevice with a device that counts, overflows, and is pulled out."""

    def __init__(self) -> None:
        super().__init__("sounddevice")
        self.opened: list[dict[str, Any]] = []
        module = self

        class InputStream:
            def __init__(self, **options: Any) -> None:
                module.opened.append(options)
                self.reads = 0

            def start(self) -> None:
                pass

            def read(self, frames: int) -> tuple[np.ndarray, bool]:
                self.reads += 1
                if self.reads == 4:
                    raise RuntimeError("Device unavailable [PaErrorCode -9985]")
                data = np.arange(frames, dtype=np.float32)[:, None] / 1000
                return data, self.reads == 2

            def close(self) -> None:
                pass

        self.InputStream = InputStream


def test_microphone_that_is_pulled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSound()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    source = sources.Microphone(4, rate_hz=8000, device="USB", block_s=0.004)
    got = np.array([source.read() for _ in range(24)])
    assert np.array_equal(got, np.tile(np.arange(32, dtype=np.float32) / 1000, 3).reshape(-1, 4))
    assert source.overflows == 1
    with pytest.raises(OSError, match="Device unavailable"):
        source.read()
    assert source.read().tolist() == got[0].tolist()
    assert len(fake.opened) == 2
    assert fake.opened[0]["samplerate"] == 8000
    assert fake.opened[0]["device"] == "USB"


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ([("HDMI", 0), ("USB Audio: (hw:1,0)", 1)], "microphones here: 1: USB Audio: (hw:1,0)"),
        ([("HDMI", 0)], "microphones here: none; plug one in, and check arecord -l and the group audio"),
    ],
)
def test_microphone_that_is_not_there_is_answered_with_those_that_are(
    devices: list[tuple[str, int]], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeSound()

    def refuse(**options: Any) -> Any:
        raise ValueError("No input device matching 'Rode'")

    fake.InputStream = refuse  # type: ignore[assignment, misc]
    fake.query_devices = lambda: [{"name": name, "max_input_channels": count} for name, count in devices]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    with pytest.raises(OSError, match="the microphone 'Rode' cannot be opened: No input device") as caught:
        sources.Microphone(1, device="Rode").read()
    assert words in str(caught.value)


def test_sound_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(UnsupportedError, match="sudo apt install libportaudio2"):
        sources.Microphone(1)


def test_microphone_that_is_closed_while_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSound()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    source, given_back = sources.Microphone(4), []
    real = source._open

    def slow() -> Any:
        opened = real()
        opened.close = lambda: given_back.append(opened)
        source.close()  # as another thread does, whose patience is over
        return opened

    source._open = slow
    with pytest.raises(OSError, match="was closed"):
        source.read()
    assert len(given_back) == 1
