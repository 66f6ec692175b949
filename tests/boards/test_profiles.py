"""Profiles of boards: each is complete, compiles and has sources; damaged ones are refused by file and key."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import edge_rnn
from edge_rnn import boards
from edge_rnn.boards.profile import KINDS, read
from edge_rnn.cli import main
from edge_rnn.errors import FileError, InputError
from edge_rnn.kernels.entry import object_cache
from edge_rnn.streams.planner import plan_for

pytestmark = pytest.mark.sampled(4)

FOLDER = Path(__file__).parents[2] / "devices"
NAMES = boards.names()
ASKED_FOR = (
    "raspberry_pi_zero_w", "raspberry_pi_zero_2w", "raspberry_pi_2", "raspberry_pi_3", "raspberry_pi_3_32bit",
    "raspberry_pi_4", "raspberry_pi_5", "pico_2", "cortex_m4f", "cortex_m7", "beaglebone_black", "jetson_nano",
    "generic_x86_64", "x86_64_v3", "visionfive_2", "wasm32",
)  # fmt: skip
ELF_MACHINES = {"aarch64": 183, "arm": 40, "thumb": 40, "riscv64": 243, "x86_64": 62}  # e_machine of the ELF header


def test_all_boards_are_there_and_recordings_alone_are_none() -> None:
    assert set(ASKED_FOR) <= set(NAMES)
    assert "smart_watch" not in NAMES
    assert (FOLDER / "smart_watch").is_dir()


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_a_kind_and_a_source(name: str) -> None:
    board = boards.load(name)
    assert board.name == name
    for figure, told in board.figures.items():
        assert told.value == getattr(board, figure)
        assert told.kind in KINDS
        assert told.source
    assert board.clock_hz >= 1e6
    assert board.ram_bytes >= 2**16
    assert (board.flash_bytes > 0) == (board.output == "static")
    assert board.bits == (64 if "64" in board.triple.split("-")[0] else 32)
    if board.numba:
        assert board.python


@pytest.mark.parametrize("name", NAMES)
def test_code_is_emitted_for_the_board(name: str) -> None:
    """By the ELF header: machine, class, and, for 32-bit ARM and RISC-V, floats in registers."""
    board = boards.load(name)
    code = bytes(object_cache.compile_for("dense_few_none", board.target))
    if name == "wasm32":
        assert code[:8] == b"\0asm\1\0\0\0"
        return
    assert code[:4] == b"\x7fELF"
    assert code[4] == (2 if board.bits == 64 else 1)
    first = board.triple.split("-")[0]
    machine = next(value for start, value in ELF_MACHINES.items() if first.startswith(start))
    assert int.from_bytes(code[18:20], "little") == machine
    if first.startswith("riscv"):
        assert int.from_bytes(code[48:52], "little") & 0x6 == 0x4  # EF_RISCV_FLOAT_ABI_DOUBLE, of lp64d


def test_the_calling_convention_is_handed_on() -> None:
    assert boards.load("visionfive_2").target.abi == "lp64d"
    assert boards.load("raspberry_pi_5").target.dot == "sdot"
    assert boards.load("raspberry_pi_4").target.dot == "mla"  # whose processor has no such instruction
    assert boards.load("x86_64_v3").target.register_bits == 256
    assert boards.load("generic_x86_64").target.register_bits == 128


def test_names_are_taken_as_people_write_them() -> None:
    assert boards.load("Raspberry-Pi-4").name == boards.load("raspberry pi 4").name == "raspberry_pi_4"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raspbery_pi_4", r"unknown device 'raspbery_pi_4'; did you mean raspberry_pi_4 or .*edge-rnn devices"),
        ("zzz", r"unknown device 'zzz'; known devices are beaglebone_black, .*edge-rnn devices lists all"),
        ("smart_watch", r"unknown device 'smart_watch'"),
        ("../etc", r"unknown device"),
    ],
)
def test_an_unknown_name(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        boards.load(name)


DAMAGE = [
    ('title = "Raspberry Pi 5"', "", r"is missing the key title"),
    ("[figures]", "colour = 3\n[figures]", r"has the unknown key colour; expected only title, triple"),
    ("[figures]", "[numbers]", r"is missing the key figures"),
    ('title = "Raspberry Pi 5"', "title = 5", r"title is 5, expected a string"),
    ("bits = 64", "bits = 16", r"bits is 16, expected one of 32, 64"),
    ("bits = 64", 'bits = "64"', r"bits is '64', expected one of 32, 64"),
    ("numba = true", "numba = 1", r"numba is 1, expected true or false"),
    ('output = "shared"', 'output = "dll"', r"output is 'dll', expected one of 'shared', 'static', 'wasm'"),
    ('hwcaps = ["asimd", "asimddp"]', 'hwcaps = "asimd"', r"hwcaps is 'asimd', expected a list of strings"),
    ("cores = { value = 4,", "cores = { value = 4.5,", r"figures\.cores\.value is 4\.5, expected a whole number"),
    ("cores = { value = 4,", "cores = { value = true,", r"figures\.cores\.value is True, expected a whole number"),
    ("cores = { value = 4,", "cores = { value = -4,", r"figures\.cores\.value is -4, expected a whole number"),
    ("clock_hz = { value = 2_400_000_000,", "clock_hz = { value = inf,", r"figures\.clock_hz\.value is inf, expected"),
    ("cores = {", "kernels = {", r"is missing the key figures\.cores"),
    ("[figures]", '[figures]\nx = { value = 1, kind = "measured", source = "x" }', r"has the unknown key figures\.x"),
    ('kind = "estimated"', 'kind = "guessed"', r"kind is 'guessed', expected one of 'measured', 'data sheet'"),
    ('source = "Raspberry Pi 5 product brief" }', 'source = " " }', r"source is ' ', expected a non-empty string"),
    ("cores = { value = 4,", "cores = { number = 4,", r"is missing the key figures\.cores\.value"),
    ("[figures]", "[figures", r"is not a TOML file"),
]


@pytest.mark.parametrize(("old", "new", "message"), DAMAGE)
def test_a_damaged_profile_is_refused_by_file_and_key(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = (FOLDER / "raspberry_pi_5" / "device.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "board" / "device.toml"
    path.parent.mkdir()
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(FileError, match=f"^{re.escape(str(path))}.*{message}"):
        read(path)


def test_a_profile_that_is_missing_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none.toml: cannot be read: No such file"):
        read(tmp_path / "none.toml")
    (tmp_path / "device.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match=r"is not a TOML file"):
        read(tmp_path / "device.toml")


def test_devices_lists_and_marks_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in NAMES)
    here = boards.here()
    assert f"{here.name} *" in out if here else "none of these" in out
    assert main(["devices", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found["devices"]] == list(NAMES)


def test_devices_show_lists_every_figure_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "show", "pico_2"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name, figure in boards.load("pico_2").figures.items():
        assert f"{name} {figure.value:,} {figure.kind}" in shown
    assert main(["devices", "show", "pico_2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["figures"]["clock_hz"] == {"value": 150e6, "kind": "data sheet", "source": "RP2350 data sheet"}
    assert found["cpu"] == "cortex-m33"


def test_devices_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "show", "pico2"]) == 1
    assert "did you mean pico_2" in capsys.readouterr().err
    assert main(["devices", "pico_2"]) == 2
    assert "expected nothing or show NAME" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_a_board_has_a_page_with_installation_and_estimates(name: str) -> None:
    board = boards.load(name)
    page = (FOLDER / name / "README.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {board.title}\n")
    assert f"edge-rnn build MODEL.safetensors --device {name} -o out" in page
    assert ("edge-rnn warm-up MODEL.safetensors" in page) == board.numba
    assert f"edge-rnn devices show {name}" in page
    figures = page.partition("<!-- fit -->")[2].partition("<!-- /fit -->")[0]
    assert "Estimates, not measured on this board" in figures
    row = re.search(r"^\| `smart_watch/gru` \| ([\d,]+) \| [\d,]+ \| [\d,]+ \| [\d.]+ (?:ns|µs|ms) \|$", figures, re.M)
    assert row is not None
    plan = plan_for(edge_rnn.load(FOLDER / "smart_watch" / "gru.safetensors"), board.target)
    assert int(row[1].replace(",", "")) == plan.weight_bytes + plan.records.nbytes
