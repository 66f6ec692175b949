"""``run --watch`` in a terminal, and services that ``setup`` writes."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import io
import math
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from rich.console import Console

import loop_fakes as fakes
import needs
from edge_rnn import Model
from edge_rnn.cli import main
from edge_rnn.cli.run.options import add_loop_options
from edge_rnn.cli.run.unit_file import Service, unit_text
from edge_rnn.cli.run.watch import Seen, picture
from run_loops import ROOT

pytestmark = pytest.mark.may_use("systemd-analyze")


# watch


@pytest.mark.usefixtures("default_signals")
def test_picture_of_a_loop_in_a_terminal(model: Model, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_rnn", "run", "m.safetensors", "--source", "proc:cpu,memory,load", "--watch"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    end = time.monotonic() + 60
    while shown.count(b"output") < 3 and time.monotonic() < end:
        shown += os.read(ours, 65536)
    process.terminate()
    with contextlib.suppress(OSError):  # how a terminal ends whose other side is closed
        while data := os.read(ours, 65536):
            shown += data
    assert process.wait(60) == 0
    assert process.stdout is not None
    assert process.stdout.read() == b""
    process.stdout.close()
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    last = text[text.rindex("stopped, source") :]
    for words in ("running, source running, 200 Hz, catch_up", "input", "x2"):
        assert words in text
    for words in ("late", "work", "p99.9", "steps"):
        assert words in last


def test_picture_says_what_is_wrong() -> None:
    loop = fakes.loop(fakes.Script([[1.0], "x", OSError("unplugged"), [2.0]], live=True), None, 10)
    console = Console(file=io.StringIO(), width=100)
    console.print(picture(loop.status(), Seen(), 100))  # before the first sample
    loop.run()
    console.print(picture(loop.status(), Seen(), 100))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "1 sample bad, 1 failure of the source" in text
    assert "the source failed: unplugged" in text
    assert "no troubles" in text


@pytest.mark.parametrize("width", [30, 49, 50, 60, 80, 100, 200])
@pytest.mark.parametrize("labels", [("a", "b"), ("Badminton", "Table tennis on a rainy afternoon")])
def test_picture_fits_its_width(width: int, labels: tuple[str, ...]) -> None:
    """The largest value has the longest bar, and only a long name is cut off."""
    status = fakes.loop(fakes.Script([])).status()
    status |= {"x": [-2.0], "y": [1e-9, 0.25], "labels": labels, "messages": {}}
    console = Console(file=io.StringIO(), width=width)
    console.print(picture(status, Seen(), width))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    bars = [run for line in lines for run in re.findall("(?<=  )█+|(?<=0.25 )█+|(?<=-2 )█+", line)]
    assert len(bars) == 2  # of the one input, to the left of the middle, and of the larger output
    assert all(3 <= len(bar) <= 30 for bar in bars)


def shown(frames: list[dict[str, list[float]]], width: int) -> list[str]:
    """Lines of the last of several frames."""
    seen, text = Seen(), ""
    for frame in frames:
        status = fakes.loop(fakes.Script([])).status() | {"labels": ("a", "b"), "messages": {}, **frame}
        console = Console(file=io.StringIO(), width=width)
        console.print(picture(status, seen, width))
        text = console.file.getvalue()  # type: ignore[attr-defined]
    return text.splitlines()


def test_bars_go_to_both_sides_of_zero() -> None:
    (line,) = (line for line in shown([{"x": [-4.0], "y": [0.0, 1.0]}], 80) if "-4" in line)
    (back,) = (line for line in shown([{"x": [-4.0]}, {"x": [2.0], "y": [0.0, 1.0]}], 80) if line.startswith("x0"))
    bar, other = (re.search("█+", each) for each in (line, back))
    assert bar is not None
    assert other is not None
    assert other.start() == bar.end()  # zero
    assert len(other[0]) == -(-len(bar[0]) // 2) or len(other[0]) == len(bar[0]) // 2


def test_sparklines_have_the_past() -> None:
    frames = [{"x": [value], "y": [value / 7, 1 - value / 7]} for value in map(float, range(8))]
    lines = shown(frames, 80)
    (x,) = (line for line in lines if line.startswith("x0"))
    (a,) = (line for line in lines if line.startswith("a "))
    (b,) = (line for line in lines if line.startswith("b "))
    assert x.rstrip().endswith("▁▂▃▄▅▆▇█")
    assert a.rstrip().endswith("▁▂▃▄▅▆▇█")
    assert b.rstrip().endswith("█▇▆▅▄▃▂▁")
    assert len(x.rstrip()) <= 80


def test_values_that_are_not_finite_leave_gaps() -> None:
    frames = [{"x": [value], "y": [0.5, 0.5]} for value in (0.0, math.nan, 1.0, math.inf)]
    (x,) = (line for line in shown(frames, 80) if line.startswith("x0"))
    assert "▁ █" in x


def test_frames_keep_what_is_drawn_of_many_values() -> None:
    seen = Seen()
    seen.add("output", [0.25] * 5000)
    seen.add("output", [0.5] * 4999 + [1.5])
    assert [len(frame.values) for frame in seen.frames["output"]] == [16, 16]
    assert [frame.are_shares for frame in seen.frames["output"]] == [True, False]
    assert seen.largest["output"] == 1.5


# setup


@pytest.mark.usefixtures("default_signals")
def test_service_for_this_machine(model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, unit = tmp_path / "m.safetensors", tmp_path / "edge-rnn-m.service"
    options = [
        "--source",
        "proc:cpu,memory,load",
        "--rate",
        "10",
        "--any-rate",
        "--sink",
        f"csv:{tmp_path}/out 100%.csv",
    ]
    assert main(["setup", str(path), *options, "--user", "root", "-o", str(unit)]) == 0
    assert "sudo systemctl enable --now edge-rnn-m" in capsys.readouterr().err
    text = unit.read_text()
    assert f"-m edge_rnn run {path} --source proc:cpu,memory,load" in text
    assert "out 100%%.csv" in text
    assert "--snapshot /var/lib/edge-rnn-m/state --status /run/edge-rnn-m/status.json" in text
    for line in ("Type=notify", "WatchdogSec=30", "Restart=on-failure", "ProtectSystem=strict", "MemoryMax="):
        assert line in text
    assert f"ReadWritePaths={tmp_path}" in text
    assert complaints(unit) == ""
    # What the service would run runs, but for the folders that systemd makes.
    command = next(line for line in text.splitlines() if line.startswith("ExecStart=")).removeprefix("ExecStart=")
    words = command.replace("/var/lib/edge-rnn-m", str(tmp_path)).replace("/run/edge-rnn-m", str(tmp_path))
    process = subprocess.Popen(
        shlex.split(words.replace("%%", "%")), env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE
    )
    end = time.monotonic() + 60
    results_csv = tmp_path / "out 100%.csv"
    while not (results_csv.exists() and results_csv.stat().st_size) and time.monotonic() < end:
        time.sleep(0.05)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert (tmp_path / "out 100%.csv").read_text().startswith("t_s,label,a,b,c,d\n")


def lines_of(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def complaints(unit: Path) -> str:
    """Complaints of systemd about a unit; empty without systemd."""
    if not needs.program("systemd-analyze"):
        return ""
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    return "".join(line for line in done.stderr.splitlines() if unit.name in line)


@pytest.mark.parametrize("name", ["a$b", "${HOME}", "a%b", "%h", "a b", 'a"b', "a'b", "a\\b", "a;b", "größe"])
def test_names_of_files_come_through_a_service_as_they_are(
    name: str, model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.safetensors").rename(tmp_path / name / "m.safetensors")
    options = ["--source", "proc:cpu,memory,load", "--sink", f"csv:{name}/out.csv", "--snapshot", f"{name}/s.state"]
    options += ["--status", "status.json", "--name", "x", "--user", "root", "-o", "edge-rnn-x.service"]
    assert main(["setup", f"{name}/m.safetensors", *options]) == 0
    assert complaints(tmp_path / "edge-rnn-x.service") == ""
    found = lines_of((tmp_path / "edge-rnn-x.service").read_text())
    # systemd's rules: %% is %, in arguments $$ is $, quotes and backslashes as a shell has them in double quotes
    words = shlex.split(found["ExecStart"].replace("$$", "$").replace("%%", "%"))
    assert words[:5] == [sys.executable, "-m", "edge_rnn", "run", f"{tmp_path}/{name}/m.safetensors"]
    given = dict(zip(words[5::2], words[6::2], strict=True))
    assert given["--sink"] == f"csv:{tmp_path}/{name}/out.csv"
    assert given["--snapshot"] == f"{tmp_path}/{name}/s.state"
    assert given["--status"] == f"{tmp_path}/status.json"
    folders = shlex.split(found["ReadWritePaths"].replace("%%", "%"))
    assert folders == [f"{tmp_path}/{name}", str(tmp_path)]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--user", "root\nExecStartPre=/bin/true"),
        ("--user", "a b"),
        ("--user", "%u"),
        ("--user", "$USER"),
        ("--user", "-x"),
        ("--name", "a\nb"),
        ("--name", "a/b"),
        ("--name", "a" * 300),
        ("--snapshot", "a\nExecStartPre=/bin/true"),
        ("--status", "a\rb"),
        ("--sink", "csv:/srv/a\x1b[2Jb"),
        ("--sink", "csv:/srv/a\u2028b"),
        ("--sink", "mqtt://pi:hunter2@broker/a"),
        ("--sink", "mqtt://broker/a/+"),
        ("--sink", "mqtt://broker/a?qos=7"),
        ("--source", "mqtt://pi:hunter2@broker/a"),
        ("--source", "mqtt://broker/#"),
        ("--source", "csv:-"),
    ],
)
def test_text_that_no_unit_can_hold_is_refused(
    option: str, value: str, model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    given = {"--source": "proc:cpu,memory,load", "--sink": "null:"} | {option: value}
    words = [f"{name}={text}" for name, text in given.items()]
    assert main(["setup", str(tmp_path / "m.safetensors"), *words]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("edge-rnn: ")
    assert len(err.splitlines()) == 1
    assert "hunter2" not in err


def test_secrets_stay_out_of_a_service(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs.package("paho-mqtt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGE_RNN_MQTT_PASSWORD", "hunter2")
    (tmp_path / "se cret").write_text("hunter2\n")
    unit = tmp_path / "edge-rnn-x.service"
    common = ["setup", "m.safetensors", "--name", "x", "--user", "root", "-o", str(unit), "--source"]
    tls = "mqtts://pi@broker/a?qos=1&password_file=se+cret&ca=ca.pem"
    assert main([*common, tls, "--sink", "mqtts://broker/b?password_file=se%20cret"]) == 0
    assert "edge-rnn-x.env" not in capsys.readouterr().err
    found = lines_of(unit.read_text())
    assert found["LoadCredential"] == f"edge-rnn-mqtt-password:{tmp_path}/se cret"
    words = shlex.split(found["ExecStart"].replace("$$", "$").replace("%%", "%"))
    assert words[words.index("--source") + 1] == f"mqtts://pi@broker/a?qos=1&ca={tmp_path}/ca.pem"
    assert words[words.index("--sink") + 1] == "mqtts://broker/b"
    assert "hunter2" not in unit.read_text()
    assert complaints(unit) == ""
    assert main([*common, "proc:cpu,memory,load", "--sink", "mqtt://pi@broker/b"]) == 0
    assert "into /etc/edge-rnn/edge-rnn-x.env (sudo chmod 600)" in capsys.readouterr().err
    assert "EnvironmentFile=-/etc/edge-rnn/edge-rnn-x.env" in unit.read_text()
    assert "hunter2" not in unit.read_text()
    assert complaints(unit) == ""


def test_password_that_systemd_hands_over_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs.package("paho-mqtt")
    from edge_rnn.loop.mqtt_client import Address, make_client

    monkeypatch.delenv("EDGE_RNN_MQTT_PASSWORD", raising=False)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert make_client(Address("b", 1, "t", "pi"), reconnects=False)._password is None
    (tmp_path / "edge-rnn-mqtt-password").write_text("hunter2\n")
    assert make_client(Address("b", 1, "t", "pi"), reconnects=False)._password == b"hunter2"


def test_every_option_of_a_loop_reaches_the_service(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    """Options come from the parser itself, so that new ones are covered; numbers keep their digits."""
    parser = argparse.ArgumentParser()
    add_loop_options(parser)
    special = {"source": "proc:cpu,memory,load", "sink": "null:", "snapshot": "/a/s", "status": "/b/t", "cpus": "0"}
    special |= {"rate": "689.0625", "stall_after": "1234567.5", "every": "0.1", "reset_after": "86400", "priority": "7"}
    words = []
    for action in parser._actions:
        if action.dest in ("help", "sources", "any_rate"):  # the last goes without --resample
            continue
        value = special.get(action.dest) or (action.choices or ("3",))[-1]
        words += [action.option_strings[-1], *([] if action.nargs == 0 else [value])]
    assert main(["setup", str(tmp_path / "m.safetensors"), "--user", "root", *words]) == 0
    command = shlex.split(lines_of(capsys.readouterr().out)["ExecStart"])
    for word in words:
        if word not in ("--cpus", "0"):  # systemd sees to that
            assert word in command


def test_missing_user_and_folders_are_reported(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    options = ["--source", "proc:cpu,memory,load", "--sink", f"csv:{tmp_path}/no/out.csv", "--user", "nemo_captain"]
    assert main(["setup", str(tmp_path / "m.safetensors"), *options]) == 0
    err = capsys.readouterr().err
    assert f"mkdir -p {tmp_path}/no" in err
    assert "sudo useradd --system nemo_captain" in err


def test_words_are_taken_literally() -> None:
    service = Service(
        "edge-rnn-x", "a 100% \n[Service]", ("/bin/x", 'a "b" $HOME %n \\', "", "c;d"), "pi", "i2c",
        (2, 3), 1 << 28, 50, True, True, (),
    )  # fmt: skip
    text = unit_text(service)
    assert r'ExecStart=/bin/x "a \"b\" $$HOME %%n \\" "" "c;d"' in text
    assert "Description=a 100%% [Service] by edge-rnn\n" in text
    for line in ("SupplementaryGroups=i2c", "LimitRTPRIO=50", "LimitMEMLOCK=infinity"):
        assert line in text
    assert "CPUAffinity=2 3" in text
    assert "After=network-online.target" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "needs --source and --sink"),
        (["--source", "proc:cpu", "--sink", "null:"], "got 1 field"),
        (["--source", "proc:cpu,memory,load", "--sink", "null:", "--name", "a b"], "expected letters, digits"),
    ],
)
def test_invalid_service_is_refused(
    model: Model, options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main(["setup", str(tmp_path / "m.safetensors"), *options]) == 1
    assert words in capsys.readouterr().err
