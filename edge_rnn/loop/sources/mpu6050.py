"""IMU MPU-6050 (and 6000, 6500, 9250) on an I²C bus: three accelerations and three angular rates.

Source: InvenSense, MPU-6000 and MPU-6050 Register Map and Descriptions, revision 4.2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from edge_rnn.errors import InputError, UnsupportedError, reason_of
from edge_rnn.loop.scheme import Scheme, Url, flag, whole
from edge_rnn.loop.sources.remedies import device_problem, listed
from edge_rnn.model import Model
from edge_rnn.recordings.elapsed import measured_size
from edge_rnn.spelling import counted

__all__ = ["MPU6050", "Mpu6050"]

_GYRO_CONFIG, _ACCEL_CONFIG, _ACCEL_XOUT_H, _PWR_MGMT_1, _WHO_AM_I = 0x1B, 0x1C, 0x3B, 0x6B, 0x75
_CLOCK_OF_GYRO_X = 0x01
_KNOWN = {0x68: "MPU-6050", 0x70: "MPU-6500", 0x71: "MPU-9250", 0x73: "MPU-9255"}
_FRAME = struct.Struct(">7h")  # three accelerations, temperature, three angular rates
_FULL_SCALE = 32768
_RANGES_G = (2, 4, 8, 16)
_RANGES_DPS = (250, 500, 1000, 2000)
_SAME = 100
"""Identical consecutive frames that count as a fault: the least significant bits of seven channels are noise."""

G_MS2 = 9.80665


class Mpu6050:
    """Source of ``(6,)`` values ax, ay, az, gx, gy, gz, via smbus2 (``pip install 'edge-rnn[i2c]'``).

    The sensor is configured at the first ``read``, and again after each error. A sensor that lost power for a moment
    sleeps and returns zeros; this is detected, as are repeated frames.

    Parameters
    ----------
    bus
        Bus number: 1 for ``/dev/i2c-1``.
    address
        0x68, or 0x69 if pin AD0 is high.
    range_g, range_dps
        Full scale: 2, 4, 8 or 16 g; 250, 500, 1000 or 2000 °/s.
    si
        True for m/s² and rad/s; False for g and °/s.
    open_bus
        Factory of an ``smbus2.SMBus`` or a compatible object; by default that class.

    Attributes
    ----------
    units
        One text per channel.

    Raises
    ------
    InputError
        A range is invalid.
    UnsupportedError
        smbus2 is not installed, or the bus does not exist.
    """

    blocks = False
    live = True

    def __init__(
        self,
        bus: int = 1,
        *,
        address: int = 0x68,
        range_g: int = 2,
        range_dps: int = 250,
        si: bool = False,
        open_bus: Callable[[int], Any] | None = None,
    ) -> None:
        if range_g not in _RANGES_G or range_dps not in _RANGES_DPS:
            raise InputError(
                f"Mpu6050 got range_g={range_g}, range_dps={range_dps}; expected range_g in {_RANGES_G} and "
                f"range_dps in {_RANGES_DPS}."
            )
        if open_bus is None:
            try:
                from smbus2 import SMBus
            except ModuleNotFoundError:
                raise UnsupportedError(
                    "an MPU-6050 needs smbus2, which is not installed; pip install 'edge-rnn[i2c]'."
                ) from None
            open_bus = SMBus
            if not Path(f"/dev/i2c-{bus}").exists():
                raise UnsupportedError(f"there is no /dev/i2c-{bus}; {_absent()}.")
        self._open_bus: Callable[[int], Any] = open_bus
        self._number = bus
        self._address = address
        self._ranges = _RANGES_G.index(range_g) << 3, _RANGES_DPS.index(range_dps) << 3
        acceleration = range_g / _FULL_SCALE * (G_MS2 if si else 1.0)
        rate = range_dps / _FULL_SCALE * (3.141592653589793 / 180 if si else 1.0)
        self._scales = (acceleration,) * 3 + (rate,) * 3
        self.units = ("m/s^2",) * 3 + ("rad/s",) * 3 if si else ("g",) * 3 + ("°/s",) * 3
        self.units_remedy = "mpu6050:BUS?si=0 gives g and °/s" if si else "mpu6050:BUS?si=1 gives m/s^2 and rad/s"
        self._bus: Any = None
        self._last = b""
        self._repeats = 0

    def read(self) -> list[float]:
        """Return the current measurement.

        Raises
        ------
        OSError
            The sensor does not answer, is of another type, sleeps, or repeats itself. The next ``read`` configures it
            again.
        """
        try:
            if self._bus is None:
                self._set_up()
            frame = bytes(self._bus.read_i2c_block_data(self._address, _ACCEL_XOUT_H, _FRAME.size))
            self._check(frame)
        except Exception:
            self.close()
            raise
        ax, ay, az, _, gx, gy, gz = _FRAME.unpack(frame)
        return [raw * scale for raw, scale in zip((ax, ay, az, gx, gy, gz), self._scales, strict=True)]

    def close(self) -> None:
        """Close the bus."""
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.close()

    def _set_up(self) -> None:
        path = f"/dev/i2c-{self._number}"
        try:
            self._bus = self._open_bus(self._number)
        except OSError as error:
            raise OSError(device_problem(error, path, "i2c", _absent())) from None
        try:
            who = self._bus.read_byte_data(self._address, _WHO_AM_I)
        except OSError as error:
            raise OSError(self._unanswered(error, path)) from None
        if who not in _KNOWN:
            known = ", ".join(f"0x{code:02x} {name}" for code, name in _KNOWN.items())
            raise OSError(f"the device at 0x{self._address:02x} has the id 0x{who:02x}, expected one of {known}")
        self._bus.write_byte_data(self._address, _PWR_MGMT_1, _CLOCK_OF_GYRO_X)  # wakes the sensor
        self._bus.write_byte_data(self._address, _ACCEL_CONFIG, self._ranges[0])
        self._bus.write_byte_data(self._address, _GYRO_CONFIG, self._ranges[1])
        self._last, self._repeats = b"", 0

    def _unanswered(self, error: OSError, path: str) -> str:
        """Describe that nothing answers at the address, and what to do."""
        other = 0x68 if self._address == 0x69 else 0x69
        try:
            there = self._bus.read_byte_data(other, _WHO_AM_I) in _KNOWN
        except Exception:
            there = False
        hint = f"one answers at 0x{other:02x}: give that address" if there else "check wiring and power"
        return (
            f"no sensor answers at 0x{self._address:02x} on {path} ({reason_of(error)}); {hint}; "
            f"sudo i2cdetect -y {self._number} lists the devices on the bus"
        )

    def _check(self, frame: bytes) -> None:
        if len(frame) != _FRAME.size:
            raise OSError(f"the sensor answered {counted(len(frame), 'byte')}, expected {_FRAME.size}")
        self._repeats = self._repeats + 1 if frame == self._last else 0
        self._last = frame
        if self._repeats >= _SAME:
            raise OSError(f"the sensor returned {_SAME} identical frames")
        # A sleeping sensor returns zeros; just after waking they are valid.
        if not any(frame) and self._repeats >= 3:
            raise OSError("the sensor returns only zeros; it may have lost power for a moment")


def _absent() -> str:
    """Describe which buses exist, and how to enable one."""
    buses = listed("I²C buses", sorted(str(path) for path in Path("/dev").glob("i2c-*")))
    return (
        f"{buses}. On a Raspberry Pi, sudo raspi-config nonint do_i2c 0 enables bus 1 (dtparam=i2c_arm=on in "
        f"config.txt); elsewhere use sudo modprobe i2c-dev"
    )


def _source(url: Url, model: Model) -> Callable[[], Mpu6050]:
    bus, size = url.place, measured_size(model)
    if size != 6:
        raise InputError(f"{url.text!r} provides 6 values, but the model reads {size}.")
    if bus and not (bus.isascii() and bus.isdecimal() and len(bus) < 10):
        raise InputError(f"{url.text!r} has the bus {bus!r}, expected a bus number: mpu6050:1 for /dev/i2c-1.")
    return partial(Mpu6050, int(bus or "1"), **url.options)


MPU6050 = Scheme(
    name="mpu6050",
    place="BUS",
    help="an IMU on an I²C bus; ?address=0x68&range_g=2&range_dps=250&si=1; needs a rate",
    open=_source,
    options={"address": whole, "range_g": whole, "range_dps": whole, "si": flag},
    kind="device",
    group="i2c",
    packages=("smbus2",),
    install="edge-rnn[i2c]",
    ability="read an I²C sensor",
)
