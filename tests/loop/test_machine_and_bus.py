"""Samples from the kernel's files and from an I²C bus."""

from __future__ import annotations

import errno
import math
import os
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.loop import Timed, sources
from loop_fakes import Kept, loop, stream

# The machine


def test_machine() -> None:
    source = sources.Machine(["cpu", "memory", "swap", "load"], 4)
    assert (source.blocks, source.live) == (False, True)
    first = source.read()
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    cpu, memory, swap, load = source.read()
    assert all(0 <= each <= 100 for each in (*first[:3], cpu, memory, swap))
    assert cpu > 0
    assert memory > 0
    assert load >= 0


def fake_machine(root: Path) -> None:
    (root / "proc").mkdir()
    (root / "proc/stat").write_text("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 1 1 1\n")
    (root / "proc/meminfo").write_text(
        "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
    )
    (root / "proc/loadavg").write_text("2.00 1 1 1/100 5\n")
    for i, temp in enumerate(("41000\n", "52500\n", "")):
        (root / f"sys/class/thermal/thermal_zone{i}").mkdir(parents=True)
        (root / f"sys/class/thermal/thermal_zone{i}/temp").write_text(temp)


def test_machine_says_what_the_kernel_says(tmp_path: Path) -> None:
    fake_machine(tmp_path)
    source = sources.Machine(["cpu", "memory", "temperature", "swap", "load"], 5, tmp_path)
    (tmp_path / "proc/stat").write_text("cpu  150 0 125 725 200 0 0 0 9 9\n")  # 75 of 200 busy
    assert source.read() == [37.5, 75.0, 52.5, 0.0, 2 / (os.cpu_count() or 1)]


def test_machine_that_falls_silent_is_retried(tmp_path: Path) -> None:
    fake_machine(tmp_path)
    source = sources.Machine(["memory"], 1, tmp_path)
    kept, said = Kept(), []
    made = loop(source, kept, 10, report=said.append)

    def on_sleep(seconds: float) -> None:
        steps = len(kept.ys)
        if steps == 3:
            (tmp_path / "proc/meminfo").write_text("\0\xff nonsense")
        if made.counters.source_failures == 0 and made._feed.failures == 3:
            (tmp_path / "proc/meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 250 kB\n")
        if steps == 6:
            made.stop()

    made._clock.on_sleep = on_sleep  # type: ignore[attr-defined]
    counters = made.run()
    assert (counters.steps, counters.source_failures) == (6, 3)
    assert said[0].startswith("the source failed: ")


def test_machine_without_a_thermometer(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="does not report its temperature"):
        sources.Machine(["temperature"], 1, tmp_path)
    with pytest.raises(InputError, match="got the unknown field 'fan', expected any of cpu, memory"):
        sources.Machine(["fan"], 1)
    with pytest.raises(InputError, match=r"got 1 field \(cpu\), but the model reads 2"):
        sources.Machine(["cpu"], 2)


# I²C


class FakeBus:
    """MPU-6050 on a bus, with noise in its last bits, that can be made to misbehave."""

    opened = 0

    def __init__(self, number: int) -> None:
        type(self).opened += 1
        self.registers = {0x75: 0x68, 0x6B: 0x40}
        self.rng = np.random.default_rng(self.opened)
        self.frozen = False
        self.gone = False
        self.short = False
        self.closed = False
        self.last: list[int] = []

    def read_byte_data(self, address: int, register: int) -> int:
        assert address == 0x68
        if self.gone:
            raise OSError(errno.EREMOTEIO, "Remote I/O error")
        return self.registers[register]

    def write_byte_data(self, address: int, register: int, value: int) -> None:
        self.registers[register] = value

    def read_i2c_block_data(self, address: int, register: int, length: int) -> list[int]:
        assert (register, length) == (0x3B, 14)
        if self.gone:
            raise OSError(errno.EREMOTEIO, "Remote I/O error")
        if self.registers[0x6B] & 0x40:
            return [0] * 14
        if not self.frozen:
            values = np.array([16384, -8192, 0, 340, 131, -262, 1]) + self.rng.integers(0, 2, 7)
            self.last = list(struct.pack(">7h", *values.tolist()))
        return self.last[:5] if self.short else self.last

    def close(self) -> None:
        self.closed = True


def test_imu_measures_in_its_units() -> None:
    source = sources.Mpu6050(open_bus=FakeBus)
    for _ in range(50):
        got = np.array(source.read())
        assert np.all(np.abs(got[:3] - [1, -0.5, 0]) <= 2 / 32768)
        assert np.all(np.abs(got[3:] - [1, -2, 0]) <= 3 * 250 / 32768)
    si = sources.Mpu6050(open_bus=FakeBus, range_g=4, range_dps=500, si=True)
    got = np.array(si.read())
    assert got[0] == pytest.approx(2 * 9.80665, rel=1e-4)
    assert got[4] == pytest.approx(math.radians(-4), rel=0.02)
    assert (si._bus.registers[0x1C], si._bus.registers[0x1B]) == (1 << 3, 1 << 3)


@pytest.mark.parametrize("trouble", ["gone", "asleep", "frozen", "short", "stranger"])
def test_imu_that_misbehaves_is_set_up_again(trouble: str) -> None:
    FakeBus.opened = 0
    kept, said = Kept(), []
    source = sources.Mpu6050(open_bus=FakeBus)
    made = loop(source, kept, 100, network=stream(6), report=said.append)
    told = False

    def on_sleep(seconds: float) -> None:
        nonlocal told
        if len(kept.ys) == 10 and not told and source._bus is not None:
            told = True
            if trouble == "asleep":
                source._bus.registers[0x6B] = 0x40
            elif trouble == "stranger":
                source._bus.gone = True
            else:
                setattr(source._bus, trouble, True)
        if len(kept.ys) >= 150:
            made.stop()

    made._clock.on_sleep = on_sleep  # type: ignore[attr-defined]
    counters = made.run()
    assert counters.source_failures == 1
    assert FakeBus.opened == 2
    words = {
        "gone": "Remote I/O error",
        "stranger": "Remote I/O error",
        "asleep": "only zeros",
        "frozen": "100 identical frames",
        "short": "answered 5 bytes",
    }
    assert words[trouble] in said[0]


def test_another_device_at_its_address() -> None:
    class Other(FakeBus):
        def read_byte_data(self, address: int, register: int) -> int:
            return 0x42

    with pytest.raises(OSError, match="has the id 0x42, expected one of 0x68 MPU-6050"):
        sources.Mpu6050(open_bus=Other).read()
    with pytest.raises(InputError, match="got range_g=3, range_dps=250"):
        sources.Mpu6050(range_g=3)


def test_real_bus_that_is_not_there() -> None:
    needs.package("smbus2")
    with pytest.raises(UnsupportedError, match=r"there is no /dev/i2c-99; I²C buses here: .* raspi-config nonint"):
        sources.Mpu6050(99)


def test_bus_that_may_not_be_opened() -> None:
    def refused(number: int) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    with pytest.raises(OSError, match="/dev/i2c-99: Permission denied; sudo usermod -aG i2c "):
        sources.Mpu6050(99, open_bus=refused).read()


@pytest.mark.parametrize(("there", "hint"), [(True, "one answers at 0x68: give that"), (False, "check wiring")])
def test_sensor_that_is_not_at_its_address(there: bool, hint: str) -> None:
    class Elsewhere(FakeBus):
        def read_byte_data(self, address: int, register: int) -> int:
            if address == 0x69 or not there:
                raise OSError(errno.EREMOTEIO, "Remote I/O error")
            return super().read_byte_data(address, register)

    with pytest.raises(OSError, match=f"no sensor answers at 0x69 on /dev/i2c-1 .*{hint}.*i2cdetect -y 1"):
        sources.Mpu6050(address=0x69, open_bus=Elsewhere).read()


def misbehave(rng: np.random.Generator) -> Any:
    """Simulate something that no driver should do."""
    kind = rng.integers(0, 8)
    if kind == 0:
        raise OSError(errno.EREMOTEIO, "Remote I/O error")
    if kind == 1:
        raise TypeError("'NoneType' object cannot be interpreted as an integer")
    junk: list[Any] = [[], [0] * 14, [256] * 14, "text", rng.integers(0, 256, 13).tolist(), {}]
    return junk[kind - 2]


def test_thousand_times_garbage_from_a_bus() -> None:
    rng, count = np.random.default_rng(11), 0

    class Wild(FakeBus):
        def read_byte_data(self, address: int, register: int) -> Any:
            nonlocal count
            count += 1
            return misbehave(rng) if count < 500 and count % 2 else super().read_byte_data(address, register)

        def read_i2c_block_data(self, address: int, register: int, length: int) -> Any:
            nonlocal count
            count += 1
            return misbehave(rng) if count < 1000 else super().read_i2c_block_data(address, register, length)

    kept, said = Kept(), []
    made = loop(sources.Mpu6050(open_bus=Wild), kept, 100, network=stream(6), report=said.append)
    made._clock.on_sleep = lambda seconds: made.stop() if count > 1040 else None  # type: ignore[attr-defined]
    counters = made.run()
    assert len(kept.ys) > 20
    assert np.isfinite(kept.ys).all()
    assert counters.source_failures > 300
    assert made.status()["messages"]["source"]["count"] == counters.source_failures
    assert len(said) < 1000  # and not in as many messages


@pytest.mark.parametrize("blocks", [False, True])
def test_thousand_times_garbage_from_a_function(blocks: bool) -> None:
    rng, count = np.random.default_rng(12), 0
    junk: list[Any] = [
        "1", b"1", [1, 2], [], {}, object(), lambda: 1, [[1]], np.zeros(0), np.array("x"), 1j, [None], range(3),
        np.zeros((1, 1)), {1}, Timed("x", 1.0), Timed([1.0], "x"), Timed(None, None),  # type: ignore[arg-type]
    ]  # fmt: skip

    def read() -> Any:
        nonlocal count
        count += 1
        if count <= 1000:
            return junk[rng.integers(0, len(junk))]
        return [1.0] if count <= 1005 else None

    kept, said = Kept(), []
    counters = loop(sources.Call(read, blocks=blocks, live=False), kept, report=said.append).run()
    assert (counters.bad, counters.steps, len(kept.ys)) == (1000, 5, 5)
    assert len(said) == 1


def test_thousand_times_garbage_from_the_kernel(tmp_path: Path) -> None:
    fake_machine(tmp_path)
    rng, files = np.random.default_rng(13), ("proc/stat", "proc/meminfo", "proc/loadavg")
    whole = {name: (tmp_path / name).read_bytes() for name in files}
    source = sources.Machine(["cpu", "memory", "load"], 3, tmp_path)
    good = failed = 0
    for i in range(1000):
        name = files[i % 3]
        data = bytearray(whole[name])
        for _ in range(3):
            data[rng.integers(0, len(data))] = rng.integers(0, 256)
        (tmp_path / name).write_bytes(data[: rng.integers(0, len(data))] if i % 2 else data)
        try:
            values = source.read()
        except (OSError, ValueError, LookupError):
            failed += 1
        else:
            good += 1
            assert len(values) == 3
        (tmp_path / name).write_bytes(whole[name])
    assert failed > 100
    assert good > 100
    assert len(source.read()) == 3
