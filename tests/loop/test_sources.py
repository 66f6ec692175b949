"""Sources and sinks with the real thing where a machine can have it: files, pipes, a pty, /proc, WAV, a fake bus."""

from __future__ import annotations

import errno
import fcntl
import math
import os
import re
import resource
import socket
import struct
import sys
import termios
import threading
import time
import types
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needs
from edge_rnn.errors import EdgeRnnError, FileError, InputError, UnsupportedError
from edge_rnn.layers import Elman
from edge_rnn.loop import SampleError, SinkClosed, Timed, open_sink, open_source, sinks, sources
from edge_rnn.loop.mqtt_client import Address, connection_problem
from edge_rnn.loop.sources.remedies import device_problem, listed
from edge_rnn.model import Model
from loop_fakes import Kept, loop, stream

XS = np.random.default_rng(5).standard_normal((20, 3)).astype(np.float32)
CSV = "".join(",".join(map(str, x)) + "\n" for x in XS)


def model(width: int = 3, **options: Any) -> Model:
    return Model([Elman(np.full((2, width), 0.1, np.float32), np.eye(2, dtype=np.float32))], **options)


def all_of(source: Any) -> list[Any]:
    """Everything until the end, problems as texts."""
    found: list[Any] = []
    while True:
        try:
            value = source.read()
        except SampleError as problem:
            found.append(str(problem))
            continue
        if value is None:
            return found
        found.append(value)


def numbers(found: list[Any]) -> np.ndarray:
    return np.array([each for each in found if not isinstance(each, str)], np.float32)


def within(seconds: float, condition: Callable[[], bool]) -> None:
    """Wait for something that another thread does; much longer than it takes."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def garbage() -> list[bytes]:
    """A thousand lines that are no samples."""
    rng = np.random.default_rng(6)
    kinds: list[Callable[[int], bytes]] = [
        lambda i: rng.bytes(20).replace(b"\n", b"").replace(b"\r", b"") + b"\xff",
        lambda i: b"1,2",
        lambda i: b"1,2,3,4",
        lambda i: b"1,two,3",
        lambda i: b"{" * i,
        lambda i: b'{"x": [1, 2]}',
        lambda i: b"?",
        lambda i: b"\0" * 9,
        lambda i: b"9" * 5000 + b"x,1,2",
        lambda i: "½,¾,∞".encode(),
    ]
    return [kinds[i % len(kinds)](i) for i in range(1000)]


# Lines from a file, a pipe, a file that grows


def test_lines_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "xs.csv"
    path.write_text(CSV)
    source = sources.Lines(path, 3)
    assert (source.blocks, source.live) == (False, False)
    assert np.array_equal(numbers(all_of(source)), XS)
    path.write_text("t,z,y,x\n" + "".join(f"{i / 10},{x[2]},{x[1]},{x[0]}\n" for i, x in enumerate(XS)))
    found = all_of(sources.Lines(path, 3, ("x", "y", "z"), time="t"))
    assert np.array_equal(np.array([each.x for each in found], np.float32), XS)
    assert [each.t_s for each in found] == [i / 10 for i in range(20)]


def test_file_full_of_garbage_is_gone_through(tmp_path: Path) -> None:
    path = tmp_path / "xs.csv"
    path.write_bytes(b"1,2,3\n" + b"\n".join(garbage()) + b"\n4,5,6\n")
    kept, said = Kept(), []
    counters = loop(sources.Lines(path, 3), kept, network=stream(3), report=said.append).run()
    assert len(kept.ys) == counters.steps == 2
    assert counters.bad == counters.samples - 2 == 1000
    assert "line 2: " in said[0]


def test_pipe_loses_nothing_and_its_silence_is_noticed() -> None:
    read_end, write_end = os.pipe()
    stdin = os.dup(0)
    os.dup2(read_end, 0)
    try:
        source = sources.Lines("-", 3)
    finally:
        os.dup2(stdin, 0)
        os.close(stdin)
        os.close(read_end)
    assert source.blocks
    kept, said = Kept(), []
    made = loop(source, kept, network=stream(3), backlog=2, report=said.append, stall_after_s=0.05, clock=None)
    many = CSV.encode() * 500

    def feed() -> None:
        within(60, lambda: made._feed.stalls > 0)
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(many)

    thread = threading.Thread(target=feed)
    thread.start()
    counters = made.run()
    thread.join()
    assert counters.steps == 10_000
    assert counters.dropped == 0
    assert "the source has been silent" in said[0]


def test_pipe_of_a_process_with_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("needs a limit of 2000 open files or more")
    reading, writing = os.pipe()
    resource.setrlimit(resource.RLIMIT_NOFILE, (2000, hard))
    try:
        source = sources.Lines("-", 1)
        os.close(source._descriptor)
        source._descriptor = fcntl.fcntl(reading, fcntl.F_DUPFD_CLOEXEC, 1500)
        source.blocks = True
        os.write(writing, b"1\n2")
        os.close(writing)
        assert all_of(source) == [[1.0], [2.0]]
    finally:
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_named_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text(CSV))
    writer.start()
    source = sources.Lines(tmp_path / "pipe", 3)
    assert source.blocks
    assert np.array_equal(numbers(all_of(source)), XS)
    writer.join(60)


def followed(path: Path, **options: Any) -> tuple[list[list[float]], sources.Lines, threading.Thread]:
    """What a thread has read from a file that is followed, so far."""
    source = sources.Lines(path, 1, follow=True, **options)
    found: list[list[float]] = []

    def read() -> None:
        while (value := source.read()) is not None:
            found.append(value)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return found, source, thread


def test_file_that_is_followed_through_rotation(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("0\n1\n")
    found, source, thread = followed(path, from_start=True)
    within(60, lambda: len(found) == 2)
    with path.open("a") as log:
        log.write("2\n3")
        log.flush()
        within(60, lambda: len(found) == 3)  # a line that is not finished is not taken
        log.write("1\n4\n")
    within(60, lambda: len(found) == 5)
    old = path.open("a")
    path.rename(tmp_path / "log.1")
    old.write("5\n")  # who writes has not noticed yet
    old.flush()
    within(60, lambda: len(found) == 6)
    old.write("6\n")
    old.close()
    path.write_text("7\n")
    within(60, lambda: len(found) == 8)
    path.unlink()
    time.sleep(0.15)
    path.write_text("8\n9\n")
    within(60, lambda: len(found) == 10)
    os.truncate(path, 0)
    time.sleep(0.3)
    with path.open("a") as log:
        log.write("10\n")
    within(60, lambda: len(found) == 11)
    source.close()
    thread.join(60)
    assert not thread.is_alive()
    assert [value for (value,) in found] == [0, 1, 2, 31, 4, 5, 6, 7, 8, 9, 10]


def test_file_that_is_followed_begins_at_its_end_and_may_come_later(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("0\n1\n")
    found, source, _ = followed(path)
    other, late, _ = followed(tmp_path / "later")
    within(60, lambda: source._descriptor is not None and os.lseek(source._descriptor, 0, os.SEEK_CUR) == 4)
    within(60, lambda: not late._at_end)  # it has looked
    with path.open("a") as log:
        log.write("2\n")
    within(60, lambda: found == [[2]])
    (tmp_path / "later").write_text("5\n")
    within(60, lambda: other == [[5]])
    source.close()
    late.close()


def test_only_a_file_is_followed(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/null")):
        with pytest.raises(InputError, match=f"Lines got {path} to follow, expected a file that grows"):
            sources.Lines(path, 1, follow=True)
    source = sources.Lines(tmp_path / "later", 1, follow=True)
    pipe.rename(tmp_path / "later")
    for _ in range(2):
        with pytest.raises(InputError, match="later to follow"):
            source.read()
    (tmp_path / "later").unlink()
    (tmp_path / "later").write_text("5\n")
    assert source.read() == [5]


@pytest.mark.parametrize(("name", "words"), [("none", "No such file"), (".", "is a folder"), ("a\0b", "null")])
def test_file_that_cannot_be_read(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(FileError, match=words):
        sources.Lines(f"{tmp_path}/{name}", 3)


# Serial line


@pytest.fixture
def port() -> Iterator[tuple[int, str]]:
    """Our end of a serial line, and the name of the other one."""
    needs.package("pyserial")
    import tty

    ours, theirs = os.openpty()
    tty.setraw(theirs)
    yield ours, os.ttyname(theirs)
    for each in (ours, theirs):
        with_close(each)


def with_close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        return


def test_serial_line(port: tuple[int, str]) -> None:
    ours, name = port
    kept, said = Kept(), []

    def make() -> sources.SerialLine:
        source = sources.SerialLine(name, 3)
        source._enough_quiet_s = math.inf  # however long this thread takes to send the first line
        return source

    made = loop(make, kept, network=stream(3), report=said.append, clock=None, backlog=2000)

    def send() -> None:
        within(60, lambda: made._feed._source is not None and made._feed._source._port is not None)
        os.write(ours, b"7,1.5\n" + CSV.encode())  # the end of a line that began before we listened
        within(60, lambda: len(kept.ys) == 20)
        for line in garbage():
            os.write(ours, line + b"\n")
        os.write(ours, b"1,2,3\n")
        within(60, lambda: len(kept.ys) == 21)
        made.stop()

    thread = threading.Thread(target=send)
    thread.start()
    counters = made.run()
    thread.join()
    expected = stream(3).run(np.vstack([XS, [[1, 2, 3]]]).astype(np.float32))
    assert np.array_equal(np.array(kept.ys), expected)
    assert counters.bad == 1000
    assert "a line from the port" in said[0]


def test_serial_line_that_is_unplugged_and_comes_back(tmp_path: Path) -> None:
    needs.package("pyserial")
    import tty

    name = tmp_path / "tty"
    kept, said = Kept(), []
    made = loop(lambda: sources.SerialLine(str(name), 1), kept, report=said.append, clock=None)
    ends = []

    def plug() -> int:
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        name.unlink(missing_ok=True)
        name.symlink_to(os.ttyname(theirs))
        ends.extend([theirs])
        return ours

    def send(ours: int, count: int) -> None:
        end = time.monotonic() + 60
        while len(kept.ys) < count and time.monotonic() < end:
            os.write(ours, b"1\n")
            time.sleep(0.01)

    def play() -> None:
        within(60, lambda: made._feed.failures > 1)  # it is not there yet
        first = plug()
        send(first, 5)
        name.unlink()
        os.close(first)
        os.close(ends.pop())
        failures = made._feed.failures
        within(60, lambda: made._feed.failures > failures)
        second = plug()
        send(second, len(kept.ys) + 5)
        made.stop()
        os.close(second)

    thread = threading.Thread(target=play)
    thread.start()
    made.run()
    thread.join()
    assert len(kept.ys) >= 10
    assert said[0].startswith("the source failed: ")
    assert said[1] == "the source is back."
    with_close(ends[0])


def test_serial_line_that_floods_without_an_end() -> None:
    class Noise:
        in_waiting = 4096
        reads = 0

        def read(self, size: int) -> bytes:
            self.reads += 1
            return b"\xaa" * size if self.reads < 50 else b"\n1,2,3\n4,5,6\n"

        def close(self) -> None:
            pass

    needs.package("pyserial")
    source = sources.SerialLine("/dev/nowhere", 3)
    source._open = Noise
    assert source.read() == [1, 2, 3]  # the flood came before the first whole line
    source._whole = True
    source._buffer.clear()
    source._port.reads = 0
    with pytest.raises(SampleError, match="longer than 4096 bytes"):
        source.read()


@pytest.mark.parametrize(
    ("pieces", "taken"),
    [
        ([b"", b"1,2", b",3\n"], [1, 2, 3]),  # it began after we came: silence was before it
        ([b"1,2", b"", b",3\n4,5,6\n"], [4, 5, 6]),  # silence within it says nothing
        ([b"1,2,3\n4,5,6\n"], [4, 5, 6]),  # it may have begun as 21,2,3
        ([b'{"x": [1, 2, 3]}\n'], [1, 2, 3]),  # without its beginning it would be no JSON
        ([b'{"x": [1, 2, 3]\n', b'{"x": [7, 8, 9]}\n'], [7, 8, 9]),
        ([b"2, 3]\n[4, 5, 6]\n"], [4, 5, 6]),
    ],
)
def test_first_line_from_a_port_is_taken_where_it_is_whole(pieces: list[bytes], taken: list[float]) -> None:
    class Pieces:
        in_waiting = 100

        def read(self, size: int) -> bytes:
            return pieces.pop(0)

    needs.package("pyserial")
    source = sources.SerialLine("/dev/nowhere", 3)
    source._open = Pieces
    assert source.read() == taken


def test_silence_before_a_line_is_longer_at_a_slow_rate() -> None:
    class Slow:
        in_waiting = 0
        reads = 0

        def read(self, size: int) -> bytes:
            self.reads += 1
            return b"" if self.reads < 3 else b"1\n2\n"

    needs.package("pyserial")
    source = sources.SerialLine("/dev/nowhere", 1, baud=300)  # 0.4 s are 12 bytes there
    source._open = Slow
    assert source.read() == [2]


class FakePort:
    """A serial port as pyserial makes it, unopened."""

    def __init__(self, error: OSError | None = None) -> None:
        self.error = error
        self.done: list[str] = []

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name in ("dtr", "rts"):
            self.done.append(f"{name}={value}")

    def open(self) -> None:
        if self.error is not None:
            raise self.error
        self.done.append("open")


@pytest.mark.parametrize(("query", "lines"), [("", True), ("?dtr=0&rts=0", False)])
def test_control_lines_are_settled_before_a_port_is_opened(
    query: str, lines: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    serial = needs.package("pyserial")
    asked: dict[str, Any] = {}
    port = FakePort()
    monkeypatch.setattr(serial, "serial_for_url", lambda url, **options: asked.update(options) or port)
    maker = open_source(f"serial:/dev/ttyUSB7{query}", model())
    assert callable(maker)
    assert maker()._open() is port
    assert asked["do_not_open"] is True
    assert port.done == [f"dtr={lines}", f"rts={lines}", "open"]


def test_control_lines_stay_when_a_port_is_closed(port: tuple[int, str]) -> None:
    _, name = port
    descriptor = os.open(name, os.O_RDWR | os.O_NOCTTY)
    try:
        settings = termios.tcgetattr(descriptor)
        settings[2] |= termios.HUPCL
        termios.tcsetattr(descriptor, termios.TCSANOW, settings)
        sources.SerialLine(name, 1)._open()
        assert not termios.tcgetattr(descriptor)[2] & termios.HUPCL
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "Permission denied; sudo usermod -aG dialout"),
        (errno.ENOENT, "there is no /dev/ttyUSB7; serial ports here: "),
        (errno.EBUSY, "in use by another program; sudo fuser -v /dev/ttyUSB7"),
        (errno.EAGAIN, "in use by another program"),
        (errno.EIO, "cannot be opened: Input/output error"),
    ],
)
def test_port_that_cannot_be_opened_says_what_to_do(
    number: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    serial = needs.package("pyserial")
    failing = FakePort(serial.SerialException(number, f"could not open port: {os.strerror(number)}"))
    monkeypatch.setattr(serial, "serial_for_url", lambda url, **options: failing)
    with pytest.raises(OSError, match=words):
        sources.SerialLine("/dev/ttyUSB7", 1).read()


def test_file_that_is_no_port(tmp_path: Path) -> None:
    needs.package("pyserial")
    (tmp_path / "recording.csv").write_text("1\n")
    with pytest.raises(OSError, match=r"recording.csv is no serial port .*; serial ports here: "):
        sources.SerialLine(str(tmp_path / "recording.csv"), 1).read()
    with pytest.raises(InputError, match="protocol 'usb' not known; expected such as /dev/ttyUSB0"):
        sources.SerialLine("usb://0", 1)


def test_port_in_use_is_told(port: tuple[int, str]) -> None:
    _, name = port
    first = sources.SerialLine(name, 1)
    first._port = first._open()
    with pytest.raises(OSError, match="in use by another program"):
        sources.SerialLine(name, 1).read()
    first.close()


def test_rights_name_the_group_that_the_device_belongs_to(tmp_path: Path) -> None:
    import grp

    owner = grp.getgrgid(tmp_path.stat().st_gid).gr_name
    error = OSError(errno.EACCES, "Permission denied")
    text = device_problem(error, str(tmp_path), "i2c", "")
    assert f"sudo usermod -aG {'i2c' if owner == 'root' else owner} " in text
    assert "log in again" in text


def test_names_that_there_are_are_listed_but_not_all() -> None:
    assert listed("ports", []) == "ports here: none"
    assert listed("ports", ["a", "b"]) == "ports here: a, b"
    assert listed("ports", map(str, range(11))) == "ports here: 0, 1, 2, 3, 4, 5, 6, 7 and 3 more"


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


def test_machine_that_falls_silent_is_tried_again(tmp_path: Path) -> None:
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
    with pytest.raises(UnsupportedError, match="does not tell its temperature"):
        sources.Machine(["temperature"], 1, tmp_path)
    with pytest.raises(InputError, match="got 'fan', expected of cpu, memory"):
        sources.Machine(["fan"], 1)
    with pytest.raises(InputError, match=r"got 1 field \(cpu\), but the model reads 2"):
        sources.Machine(["cpu"], 2)


# I²C


class FakeBus:
    """An MPU-6050 on a bus, with noise in its last bits, that can be told to misbehave."""

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
def test_imu_that_misbehaves_is_set_up_anew(trouble: str) -> None:
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
        "asleep": "nothing but zeros",
        "frozen": "the same 100 times",
        "short": "answered 5 bytes",
    }
    assert words[trouble] in said[0]


def test_another_device_at_its_address() -> None:
    class Other(FakeBus):
        def read_byte_data(self, address: int, register: int) -> int:
            return 0x42

    with pytest.raises(OSError, match="calls itself 0x42, expected one of 0x68 MPU-6050"):
        sources.Mpu6050(open_bus=Other).read()
    with pytest.raises(InputError, match="got the ranges 3 g and 250"):
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


@pytest.mark.parametrize(("there", "hint"), [(True, "one answers at 0x68: give that"), (False, "look at wires")])
def test_sensor_that_is_not_at_its_address(there: bool, hint: str) -> None:
    class Elsewhere(FakeBus):
        def read_byte_data(self, address: int, register: int) -> int:
            if address == 0x69 or not there:
                raise OSError(errno.EREMOTEIO, "Remote I/O error")
            return super().read_byte_data(address, register)

    with pytest.raises(OSError, match=f"no sensor answers at 0x69 on /dev/i2c-1 .*{hint}.*i2cdetect -y 1"):
        sources.Mpu6050(address=0x69, open_bus=Elsewhere).read()


def misbehave(rng: np.random.Generator) -> Any:
    """Something that no driver should do."""
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


# Sound


def write_wav(path: Path, values: np.ndarray, width: int, channels: int = 1, rate: int = 8000) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        scaled = np.round(values * (1 << (8 * width - 1))).astype(np.int64) + (128 if width == 1 else 0)
        file.writeframes(b"".join(int(v).to_bytes(width, "little", signed=width > 1) for v in scaled))


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
    with pytest.raises(FileError, match="has 2 channels, 2 asked for, but the model reads 3 numbers"):
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
    for size, words in ((1, r"\?channel=1 of wav:FILE says"), (2, r"\?channel=1,2 of wav:FILE says")):
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
        ([("HDMI", 0)], "microphones here: none; plug one in, and look at arecord -l and at the group audio"),
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


def test_broker_that_answers_after_the_source_was_closed_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    client = needs.package("paho-mqtt")
    real = client.Client.connect
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = sources.Mqtt(Address("127.0.0.1", server.getsockname()[1], "t"), 1)

        def slow(self: Any, *arguments: Any) -> Any:
            source.close()  # as another thread does, whose patience is over
            return real(self, *arguments)

        before = threading.active_count()
        monkeypatch.setattr(client.Client, "connect", slow)
        assert source.read() is None
        assert threading.active_count() == before


# What is not installed


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("serial:/dev/ttyUSB0", "serial", "serial"),
        ("mpu6050:1", "smbus2", "i2c"),
        ("mic:", "sounddevice", "audio"),
        ("mqtt://here/topic", "paho.mqtt.client", "mqtt"),
    ],
)
def test_package_that_is_missing_is_named(
    url: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, module, None)
    maker = open_source(url, model(6))
    with pytest.raises(UnsupportedError, match=rf"edge-rnn\[{extra}\]"):
        loop(maker, network=stream(6), rate_hz=10)


def test_sound_without_soundfile_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    write_wav(tmp_path / "a.wav", np.zeros(3), 2)
    with pytest.raises(UnsupportedError, match=r"edge-rnn\[audio\]"):
        open_source(f"wav:{tmp_path}/a.wav", model(1))


# Texts for the command line


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("recording.csv", "is none of csv:FILE"),
        ("ftp:x", "is none of csv:FILE"),
        ("csv:none.csv", "none.csv: cannot be read"),
        ("csv:-?pace=5", "has the option 'pace', expected follow, start, live, time, columns, rate"),
        ("csv:-?rate=0", "has rate '0', expected a number"),
        ("csv:-?columns=a,b", "columns=a,b are 2, but the model reads 3"),
        ("csv:-?time=t,minutes", "has the unit 'minutes', expected one of s, ms, us, ns, iso"),
        ("csv:-?follow=", "has follow '', expected a number"),
        ("csv:-?follow", "expected NAME=VALUE"),
        ("csv:-?follow=1", "stdin to follow"),
        ("csv:x?=1", "has the option ''"),
        ("proc:cpu", "got 1 field"),
        ("mpu6050:1", "gives 6 numbers, but the model reads 3"),
        ("mpu6050:i2c", "has the bus 'i2c', expected its number"),
        ("mqtt:/topic", "has no host"),
        ("mqtt://host", "has no topic"),
        ("mqtt://host:port/topic", "is no address of a broker"),
        ("wav:none.wav", "none.wav: cannot be read as sound: No such file"),
    ],
)
def test_source_that_is_misspelled(url: str, words: str) -> None:
    with pytest.raises(EdgeRnnError) as caught:
        open_source(url, model(6) if "i2c" in url else model())
    assert words in str(caught.value)


@pytest.mark.parametrize("opened", [open_source, open_sink])
@pytest.mark.parametrize("topic", ["a/+/b", "#", "a/#", "a%23", "sensors/+?qos=1"])
def test_topic_that_stands_for_many_is_refused(opened: Any, topic: str) -> None:
    with pytest.raises(InputError, match=r"stands for many topics, .* one process for each, or step an edge_rnn"):
        opened(f"mqtt://broker/{topic}", model())


@pytest.mark.parametrize("opened", [open_source, open_sink])
@pytest.mark.parametrize(
    "url",
    [
        "mqtt://pi:hunter2@broker/a",
        "mqtts://pi:hunter2@broker:8883/a?qos=1",
        "mqtt://:hunter2@broker/a",
        "mqtt://pi:hunt/er2@broker/a",
        "mqtt://pi:hunt?er2@broker/a",
        "mqtt://pi:hunt#er2@broker/a",
        "mqtt://pi:hu@nter2@broker/a",
        "mqtt://broker/a?password=hunter2",
        "mqtt://broker/a?qos=1&passwd=hunter2",
        "mqqt://pi:hunter2@broker/a",
    ],
)
def test_password_in_an_address_is_refused_and_not_shown(opened: Any, url: str) -> None:
    with pytest.raises(InputError) as caught:
        opened(url, model())
    for part in ("hunt", "er2", "nter2"):
        assert part not in str(caught.value)
    assert "***" in str(caught.value)


def test_address_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(Address("broker", 1883, "a", "pi", "hunter2"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mqtt://broker/a?ca=x.pem", "for a connection with TLS; expected mqtts://"),
        ("mqtts://broker/a?key=x.pem", "key got a file without cert"),
        ("mqtt://broker/a?qos=3", "qos got 3, expected one of 0, 1, 2"),
        ("mqtt://bro..ker/a", "is no address of a broker"),
        ("mqtt://broker/a%00b", "is no topic"),
        ("mqtt://broker/a%0Ab", "is no topic"),
        ("mqtt://broker/" + "a" * 70000, "is no topic"),
    ],
)
@pytest.mark.parametrize("opened", [open_source, open_sink])
def test_broker_that_is_misspelled(opened: Any, url: str, words: str) -> None:
    with pytest.raises(EdgeRnnError, match=words):
        opened(url, model())


@pytest.mark.parametrize(("will", "words"), [("a", "the topic of the results"), ("b/%2B", "stands for many")])
def test_will_that_makes_no_sense(will: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_sink(f"mqtt://broker/a?will={will}", model())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "the broker's name 'house' is not known here .*; check it"),
        (
            ConnectionRefusedError(111, "Connection refused"),
            "was refused: nothing listens there; .* listener 1883",
        ),
        (TimeoutError("timed out"), "does not answer: timed out; look at the name, the network and firewalls"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "does not answer: No route to host"),
        (None, "hung up before it answered; mqtts:// is for TLS"),
    ],
)
def test_broker_that_cannot_be_reached_is_told_with_what_to_do(error: OSError | None, words: str) -> None:
    assert re.search(words, connection_problem(error, Address("house", 1883, "a")))


def test_password_needs_a_name_and_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs.package("paho-mqtt")
    secret = tmp_path / "secret"
    secret.write_bytes(b"hunter2\r\n")
    monkeypatch.delenv("EDGE_RNN_MQTT_USERNAME", raising=False)
    with pytest.raises(InputError, match="without a user name; set EDGE_RNN_MQTT_USERNAME") as caught:
        open_source(f"mqtt://broker/a?password_file={secret}", model())()  # type: ignore[operator]
    assert "hunter2" not in str(caught.value)
    for content, words in {
        b"": "expected a password",
        b"\xff\xfe": "expected a password",
        None: "cannot be read",
    }.items():
        secret.unlink(missing_ok=True)
        if content is not None:
            secret.write_bytes(content)
        with pytest.raises(FileError, match=words):
            open_source(f"mqtt://pi@broker/a?password_file={secret}", model())()  # type: ignore[operator]


def test_sources_by_their_texts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    source = open_source(f"csv:{tmp_path}/a.csv?live=1", model())
    assert isinstance(source, sources.Lines)
    assert source.live
    (tmp_path / "a.jsonl").write_text("[1, 2, 3]\n")
    assert all_of(open_source(f"jsonl:{tmp_path}/a.jsonl", model())) == [[1, 2, 3]]
    assert isinstance(open_source("proc:cpu,memory,load", model()), sources.Machine)


# Sinks


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_lines_are_appended_and_survive_rotation(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    names = model(labels=("rest", "walk"))
    y = np.array([0.25, 0.75], np.float32)
    header = "t_s,label,rest,walk\n" if kind == "csv" else ""
    line = "1.500000,walk,0.25,0.75\n" if kind == "csv" else '{"t_s": 1.500000, "label": "walk", "y": [0.25, 0.75]}\n'
    sink = open_sink(f"{kind}:{path}", names)
    sink.write(y, 1.5)
    assert path.read_text() == header + line
    path.rename(tmp_path / "out.1")
    sink.write(y, 1.5)
    sink.write(y, 1.5)
    assert path.read_text() == header + 2 * line
    path.unlink()
    sink.write(y, 1.5)
    assert path.read_text() == header + line
    sink.close()  # type: ignore[attr-defined]
    open_sink(f"{kind}:{path}", names).write(y, 1.5)
    assert path.read_text() == header + 2 * line


def test_line_that_was_torn_stands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = sinks.Lines(tmp_path / "out", model(), kind="csv", header=False)
    y = np.zeros(2, np.float32)
    real, calls = os.write, []

    def full(descriptor: int, data: Any) -> int:
        calls.append(1)
        if len(calls) == 1:
            return real(descriptor, bytes(data)[:4])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        sink.write(y, 1.0)
    with pytest.raises(OSError, match="No space left"):
        sink.write(y, 2.0)
    monkeypatch.undo()
    sink.write(y, 3.0)
    assert (tmp_path / "out").read_text() == "1.00\n3.000000,0.0,0.0\n"


def test_full_disk_and_sinks_that_are_misspelled() -> None:
    sink = sinks.Lines("/dev/full", model(), header=False)
    with pytest.raises(OSError, match="No space left"):
        sink.write(np.zeros(2, np.float32), 1.0)
    open_sink("null:", model()).write(np.zeros(2, np.float32), 1.0)
    for url, words in {
        "proc:": "is none of",
        "csv:/no/such/folder/x": "cannot be written",
        "mqtt://host/a/+": "stands for many topics",
        "null": "is none of",
    }.items():
        with pytest.raises(EdgeRnnError, match=words):
            open_sink(url, model())


def test_header_that_could_not_be_written_comes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    y, real = np.zeros(2, np.float32), os.write

    def full(descriptor: int, data: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    sink = sinks.Lines(tmp_path / "out", model())
    with pytest.raises(OSError, match="No space left"):
        sink.write(y, 1.0)
    monkeypatch.setattr(os, "write", real)
    sink.write(y, 2.0)
    sink.write(y, 3.0)
    assert (tmp_path / "out").read_text() == "t_s,y0,y1\n2.000000,0.0,0.0\n3.000000,0.0,0.0\n"


def test_stdout_that_nobody_reads_ends_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    sink = sinks.Lines("/dev/null", model(), header=False)
    sink._path = None
    os.close(sink._descriptor)
    sink._descriptor = write_end
    os.close(read_end)
    with pytest.raises(SinkClosed):
        sink.write(np.zeros(2, np.float32), 1.0)
    sink.close()


def test_timed_is_a_sample_with_its_time() -> None:
    assert Timed([1.0], 2.0).t_s == 2.0
