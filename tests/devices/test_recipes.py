"""``sensor_loop.py`` of the boards, run as by a user: on recordings, and on this machine's sensors."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rnn
import needs
from edge_rnn import Model, Stream
from edge_rnn.cli import main
from edge_rnn.loop import sources
from edge_rnn.loop.sources import machine

ROOT = Path(__file__).parents[2]
DEVICES = ROOT / "devices"
RECIPES = sorted(path.parent.name for path in DEVICES.glob("*/sensor_loop.py"))


def start(board: str, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(DEVICES / board / "sensor_loop.py"), *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(board: str, *options: str) -> str:
    """Output of the script, after it has ended by itself."""
    out, err = start(board, *options).communicate(timeout=300)
    assert err == ""
    return out


def recipe(board: str) -> dict[str, Any]:
    return runpy.run_path(str(DEVICES / board / "sensor_loop.py"))


def write_wav(path: Path, rate_hz: int, seconds: float, sounds: list[tuple[float, float]]) -> None:
    """Faint noise, and a tone of 800 Hz from second to second."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    x = 0.001 * np.random.default_rng(0).standard_normal(len(t))
    for begin, end in sounds:
        x += np.where((t >= begin) & (t < end), 0.3 * np.sin(2 * np.pi * 800 * t), 0)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((32767 * x).astype("<i2").tobytes())


@pytest.mark.parametrize("board", RECIPES)
@pytest.mark.sampled(1)
def test_recipe_is_on_its_page_and_has_help(board: str) -> None:
    page = (DEVICES / board / "README.md").read_text(encoding="utf-8")
    assert "`sensor_loop.py`" in page
    done = start(board, "--help")
    out, err = done.communicate(timeout=300)
    assert (done.returncode, err) == (0, "")
    assert "--recording" in out


def test_there_is_a_recipe_for_each_kind_of_sensor() -> None:
    assert RECIPES == ["generic_x86_64", "raspberry_pi_4", "raspberry_pi_5", "raspberry_pi_zero_2w"]


# What the wearer does


def test_activity_on_the_recording() -> None:
    with np.load(DEVICES / "smart_watch" / "recording.npz") as stored:
        truth = stored["y"]
    labels = edge_rnn.load(DEVICES / "smart_watch" / "gru.safetensors").labels
    process = start("raspberry_pi_zero_2w", "--recording", "--rate", "5000")
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "4000 steps\n")
    told = [re.fullmatch(r"([\d.]+) s  (\w+)", line) for line in out.splitlines()]
    assert all(told)
    seconds = np.array([float(each[1]) for each in told if each])
    places = np.array([labels.index(each[2]) for each in told if each])
    assert (np.diff(seconds) >= 0).all()
    # Most of what it tells is so a second later, and it tells of most of the 30 activities one after another.
    later = np.minimum(np.rint(10 * seconds).astype(int) + 10, len(truth) - 1)
    assert (truth[later] == places).mean() > 0.7
    assert len(told) >= 30


@pytest.mark.usefixtures("default_signals")
def test_activity_ends_by_ctrl_c_and_keeps_its_state(tmp_path: Path) -> None:
    process = start("raspberry_pi_zero_2w", "--recording", "--rate", "100", "--snapshot", str(tmp_path / "state"))
    assert process.stdout is not None
    assert process.stdout.readline().endswith(" s  Running\n")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0
    assert err.endswith(" steps\n")
    assert "Traceback" not in err
    assert (tmp_path / "state").exists()


@pytest.mark.skipif(Path("/dev/i2c-1").exists(), reason="needs a machine without /dev/i2c-1")
@pytest.mark.slow
def test_activity_without_a_bus_is_the_recording() -> None:
    process = start("raspberry_pi_zero_2w", "--rate", "5000")
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "there is no /dev/i2c-1; using the recording.\n4000 steps\n")


def test_gravity_is_removed_from_the_acceleration(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sensor:
        count = 0

        def __init__(self, bus: int, **options: Any) -> None:
            assert (bus, options) == (1, {"range_g": 8, "range_dps": 2000, "si": True})

        def read(self) -> list[float]:
            self.count += 1
            push = 5.0 if self.count == 200 else 0.0
            return [0.0, 9.81 + push, 1.0, 0.1, 0.2, 0.3]

    monkeypatch.setattr(sources, "Mpu6050", Sensor)
    source = recipe("raspberry_pi_zero_2w")["WithoutGravity"]()
    xs = np.array([source.read() for _ in range(200)])
    np.testing.assert_allclose(xs[:199, :3], 0, atol=1e-12)
    np.testing.assert_allclose(xs[199, :3], [0, 5 * 0.97, 0], atol=1e-12)
    np.testing.assert_allclose(xs[:, 3:], [[0.1, 0.2, 0.3]] * 200)


# Sound


@pytest.mark.needs("soundfile")
@pytest.mark.parametrize("rate_hz", [22050, 16000])
@pytest.mark.slow
def test_sound_in_a_wav_file(tmp_path: Path, rate_hz: int) -> None:
    write_wav(tmp_path / "a.wav", rate_hz, 2.5, [(1.5, 1.9)])
    lines = run("raspberry_pi_5", "--recording", str(tmp_path / "a.wav")).splitlines()
    told = [re.fullmatch(r"([\d.]+) s  (sound|sound is over)", line) for line in lines]
    assert [each[2] for each in told if each] == ["sound", "sound is over"]
    begin, end = (float(each[1]) for each in told if each)
    assert 1.5 <= begin <= 1.5 + 0.05  # a frame of 25 ms, a hop, and the resampler's delay
    assert 1.9 <= end <= 1.9 + 0.3  # the quick mean comes down, and ten frames in a row are quiet
    write_wav(tmp_path / "b.wav", rate_hz, 2.5, [])
    assert run("raspberry_pi_5", "--recording", str(tmp_path / "b.wav")) == ""


@pytest.mark.needs("soundfile")
@pytest.mark.slow
def test_sound_through_a_custom_model(tmp_path: Path) -> None:
    """The model gets as many bands as it has inputs, and its own labels."""
    loud = edge_rnn.Model(
        [edge_rnn.Dense([[0.0] * 13, [1 / 13] * 13], [0, 45], activation="softmax")], labels=("no", "yes")
    )  # from a mean of -45 dB on
    edge_rnn.save(loud, tmp_path / "m.safetensors")
    write_wav(tmp_path / "a.wav", 16000, 1.5, [(0.5, 1.0)])
    with wave.open(str(tmp_path / "a.wav")) as file:
        samples = np.frombuffer(file.readframes(1 << 20), "<i2") / 32768
    bands = recipe("raspberry_pi_5")["LogMel"](16000, frame=400, hop=160, bands=13).run(samples.astype(np.float32))
    mean = bands.mean(1)
    out = run("raspberry_pi_5", "--recording", str(tmp_path / "a.wav"), "--model", str(tmp_path / "m.safetensors"))
    crossed = int(np.argmax(mean + 45 > np.log(0.7 / 0.3)))  # softmax reaches 0.7
    assert crossed > 0
    begin = (400 + 160 * crossed - 1 - 200) / 16000  # librosa's frames are centred: half of one is ahead of the start
    assert re.match(r"([\d.]+) s  yes\n", out)
    assert abs(float(out.split()[0]) - begin) <= 0.02


@pytest.mark.may_use("cc")  # ctypes looks for libraries with it
def test_sound_without_a_microphone_says_what_is_missing() -> None:
    try:
        import sounddevice  # noqa: F401
    except (ModuleNotFoundError, OSError):
        process = start("raspberry_pi_5")
        out, err = process.communicate(timeout=300)
        assert (process.returncode, out) == (1, "")
        assert "pip install 'edge-rnn[audio]'" in err or "apt install libportaudio2" in err
        assert "Traceback" not in err
    else:
        pytest.skip("needs a machine without PortAudio")


# The machine


def test_machine_on_a_recording(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    calm = np.array([5, 30, 0.1]) + rng.uniform(-1, 1, (300, 3)) * [4, 0.2, 0.05]
    busy = np.array([[95, 31, 1.2]] * 60)
    np.savetxt(tmp_path / "m.csv", np.vstack([calm, busy, calm]), delimiter=",")
    lines = run("generic_x86_64", "--recording", str(tmp_path / "m.csv")).splitlines()
    assert lines[-1] == "659 steps"  # the first sample is what the means begin with
    told = [re.fullmatch(r"sample (\d+): (unusual|as usual)", line) for line in lines[:-1]]
    assert [each[2] for each in told if each] == ["unusual", "as usual"]
    begin, end = (int(each[1]) for each in told if each)
    assert 299 <= begin < 310
    assert 359 <= end < 380


@pytest.mark.usefixtures("default_signals")
def test_machine_itself_for_a_few_samples(tmp_path: Path) -> None:
    process = start("generic_x86_64", "--rate", "1", "--snapshot", str(tmp_path / "state"))
    end = time.monotonic() + 120
    while not (tmp_path / "state.lock").exists() and time.monotonic() < end:  # from then on it minds signals
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    found = re.fullmatch(r"(\d+) steps", out.splitlines()[-1])
    assert found is not None
    assert int(found[1]) >= 1
    assert (tmp_path / "state").exists()


def test_means_of_the_machine_are_leaky_means() -> None:
    parts = recipe("generic_x86_64")
    model: Model = parts["unlike_before"]()
    xs = np.random.default_rng(2).uniform(0, 100, (50, 3))
    stream = Stream(model)
    quick = slow = np.zeros(3)
    for x in xs:
        quick, slow = quick + 0.2 * (x - quick), slow + 0.003 * (x - slow)
        excess = np.abs((quick - slow) / [40, 10, 1]).sum()
        unusual = 1 / (1 + np.exp(8 - 8 * excess))
        # The excess is up to 100 in float32, times 8; a softmax moves by a quarter of that at most.
        assert abs(stream.step(x.astype(np.float32))[1] - unusual) < 8 * 100 * 2**-22


# The temperature


def test_high_temperature_is_reported_in_advance(tmp_path: Path) -> None:
    celsius = [55.0] * 300 + [55 + 0.1 * i for i in range(1, 301)] + [50.0] * 200  # 85 °C at the end of the rise
    (tmp_path / "t.csv").write_text("".join(f"{each:.1f}\n" for each in celsius))
    lines = run("raspberry_pi_4", "--recording", str(tmp_path / "t.csv")).splitlines()
    assert lines[-1] == "799 steps"
    told = re.fullmatch(r"sample (\d+): (\d+) °C in a minute", lines[0])
    assert told is not None
    assert 450 < int(told[1]) < 549  # 80 °C are reached at 550, by the first sample that was taken beforehand 549
    assert lines[1].endswith("cool enough")
    assert len(lines) == 3


def test_temperature_is_forecast_by_holts_method() -> None:
    model: Model = recipe("raspberry_pi_4")["trend"]()
    stream = Stream(model)
    stream.set_state({"elman1.h": [50.0, 0.0]})
    level, trend = 50.0, 0.0
    for x in 50 + np.cumsum(np.random.default_rng(3).normal(0, 0.3, 200)):
        before = level
        level = 0.2 * x + 0.8 * (level + trend)
        trend = 0.05 * (level - before) + 0.95 * trend
        # Levels of up to 100 °C round by 2^-18 a step at most; a level's error is forgotten within 1 / 0.2 steps, a
        # trend's within 1 / 0.05 of them, and counts 60 times.
        assert abs(stream.step(float(x)) - (level + 60 * trend)) < 2**-18 * (5 + 60 * 20 * 0.05)


def test_missing_temperature_is_reported() -> None:
    try:
        sources.Machine(["temperature"], 1)
    except edge_rnn.errors.UnsupportedError:
        process = start("raspberry_pi_4")
        out, err = process.communicate(timeout=300)
        assert (process.returncode, out) == (1, "")
        assert err.startswith("this machine does not report its temperature")
    else:
        pytest.skip("needs a machine that does not report its temperature")


# Services


@pytest.mark.may_use("systemd-analyze")
@pytest.mark.parametrize("board", RECIPES)
def test_service_is_there_or_written_by_setup(board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unit file, or the output of the page's command with a suitable model, is a valid systemd service."""
    page = (DEVICES / board / "README.md").read_text(encoding="utf-8")
    unit = tmp_path / f"edge-rnn-{board}.service".replace("_", "-")
    there = DEVICES / board / "edge-rnn.service"
    if there.exists():
        assert "`edge-rnn.service`" in page
        text = there.read_text()
        for line in ("Type=notify", "WatchdogSec=30", "Restart=on-failure", "ProtectSystem=strict"):
            assert line in text
        command = re.search(r"^ExecStart=\S+ /opt/edge-rnn/sensor_loop.py (.*)$", text, re.M)
        assert command is not None
        assert command[1].split()[0] in start(board, "--help").communicate(timeout=300)[0]
        text = text.replace("/opt/edge-rnn/bin/python", sys.executable)
        unit.write_text(text.replace("/opt/edge-rnn", str(DEVICES / board)))
    else:
        found = re.search(r"`(edge-rnn setup [^`]*)`", page)
        assert found is not None
        source = found[1].split()[found[1].split().index("--source") + 1]
        size = source.count(",") + 1
        path = tmp_path / "m.safetensors"
        edge_rnn.save(Model([edge_rnn.Elman(np.ones((2, size), np.float32), np.eye(2))]), path)
        words = shlex.split(found[1].replace("MODEL.safetensors", str(path)).replace("csv:FILE", f"csv:{tmp_path}/x"))
        monkeypatch.setitem(machine.FIELDS, "temperature", lambda source: 50.0)  # not every machine tells it
        assert main([*words[1:], "-o", str(unit)]) == 0
    if needs.program("systemd-analyze"):
        done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
        assert unit.name not in done.stderr, done.stderr
