"""Fit check: counts, times and verdicts, against sums worked out by hand."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_rnn
import needs
from edge_rnn import Model, Stream, boards
from edge_rnn.boards.fitting import FORMATS, TIME_SHARE, fit, listing, pipeline, remedies
from edge_rnn.boards.fitting.memory import PROGRAM_SHARE, ways
from edge_rnn.boards.fitting.program import program
from edge_rnn.boards.fitting.reading import reading
from edge_rnn.boards.fitting.repeats import Repeat, fold
from edge_rnn.boards.fitting.step_time import METHODS, step_time
from edge_rnn.boards.fitting.trace import image, trace
from edge_rnn.boards.fitting.vex import without_vectors
from edge_rnn.cli import main
from edge_rnn.errors import UnsupportedError
from edge_rnn.kernels.entry import object_cache

GRU = Path(__file__).parents[2] / "devices" / "smart_watch" / "gru.safetensors"
NAMES = sorted((name for name in boards.names() if name != "wasm32"), key=lambda name: name != "raspberry_pi_4")

# A step's time is estimated with LLVM's tools if they are there; some tests need them.
pytestmark = [pytest.mark.may_use("llvm-mca", "llvm-objdump"), pytest.mark.sampled(1)]
needs_emulator = pytest.mark.needs("unicorn", "pyelftools")
needs_llvm = pytest.mark.needs("llvm-mca", "llvm-objdump")


# What a program executed, folded into loops.


def _unfolded(items: Any) -> list[Any]:
    out: list[Any] = []
    for item in items:
        out += _unfolded(item.body) * item.count if isinstance(item, Repeat) else [item]
    return out


@given(st.lists(st.integers(0, 3), max_size=80))
def test_folding_loses_nothing(items: list[int]) -> None:
    assert _unfolded(fold(items)) == items


@given(st.integers(2, 9), st.integers(2, 9))
def test_nested_loops_are_found(inner: int, outer: int) -> None:
    assert fold(("a" + "b" * inner + "c") * outer) == (Repeat(("a", Repeat(("b",), inner), "c"), outer),)


# Executed instructions: with twice the inputs, only the multiply-adds increase.


MULTIPLY_ADD = {
    "raspberry_pi_4": (r"fmla\b.*4s", 4),
    "raspberry_pi_zero_2w": (r"fmla\b.*4s", 4),
    "raspberry_pi_2": (r"vmul\.f32\s+q", 4),
    "raspberry_pi_zero_w": (r"vmul\.f32\s+s", 1),
    "raspberry_pi_3_32bit": (r"vmla\.f32\s+q", 4),
    "cortex_m4f": (r"vmul\.f32\s+s", 1),
    "pico_2": (r"v(?:mul|fma)\.f32\s+s", 1),
    "visionfive_2": (r"fmadd\.s", 1),
    "generic_x86_64": (r"mulps\b", 4),
    "x86_64_v3": (r"vfn?madd\w+ps\b.*%ymm", 8),
}


def _executed(model: Model, name: str) -> list[str]:
    compiled = program(model, boards.load(name))
    loaded = image(compiled)
    known = listing.listing(compiled, loaded)
    if name.endswith(("x86_64", "x86_64_v3")):
        loaded = replace(loaded, text=without_vectors(loaded.text, known))
    blocks, _ = trace(compiled, loaded)
    return [text for block in blocks for text in listing.instructions(known, block)]


@needs_emulator
@needs_llvm
@pytest.mark.parametrize("name", MULTIPLY_ADD)
def test_executed_multiply_adds_are_those_of_the_model(name: str, make_model: Callable[..., Model]) -> None:
    pattern, lanes = MULTIPLY_ADD[name]
    counts = [
        sum(bool(re.match(pattern, text)) for text in _executed(make_model("lstm", inputs, 32), name))
        for inputs in (16, 32)
    ]
    assert counts[1] - counts[0] == 4 * 32 * 16 // lanes


@needs_emulator
@pytest.mark.parametrize(
    "name",
    [name for name in NAMES if name != "x86_64_v3"],
)
def test_a_step_runs_to_its_end_on_every_board(name: str, make_model: Callable[..., Model]) -> None:
    """The emulator stops at instructions that it cannot run, or does not return."""
    compiled = program(make_model("gru", 6, 32, labels=("a", "b", "c", "d")), boards.load(name))
    blocks, stack_bytes = trace(compiled, image(compiled))
    assert sum(size for _, size in blocks) > 1000
    assert 0 < stack_bytes < 4096


def test_avx_code_keeps_its_length_and_takes_its_way() -> None:
    known = {
        0: ("vtestps\t%ymm0, %ymm0", 5),
        5: ("jne\ttarget", 6),
        11: ("kmovd\t%k0, %r9d", 4),
        15: ("vmovd\t%xmm0, %esi", 4),
        19: ("vfmadd231ps\t(%rax), %ymm1, %ymm2", 5),
        24: ("addq\t%rax, %rbx", 3),
    }
    text = bytes(range(1, 28))
    patched = without_vectors(text, known)
    assert len(patched) == len(text)
    assert patched[0:5] == bytes.fromhex("3e3e0f2ec0")  # ucomiss of a register with itself: equal
    assert patched[5:11] == text[5:11]
    assert patched[11:15] == bytes.fromhex("3e4531c9")  # xor %r9d, %r9d
    assert patched[15:19] == bytes.fromhex("3e3e31f6")  # xor %esi, %esi
    assert patched[19:24] == bytes.fromhex("3e3e3e3e90")  # nop
    assert patched[24:] == text[24:]


# Time.


@needs_emulator
@needs_llvm
@pytest.mark.parametrize("name", ["raspberry_pi_4", "raspberry_pi_zero_2w", "x86_64_v3"])
def test_abbreviated_loops_take_as_long_as_in_full(
    name: str, make_model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Omitted iterations count at the loop's steady pace, which the first ones have not reached: within 15 %."""
    board, model = boards.load(name), make_model("gru", 16, 40)
    compiled = program(model, board)
    brief = step_time(compiled, model, ["pipeline"]).compute_cycles
    monkeypatch.setattr(pipeline, "_TURNS", 10**6)
    full = step_time(compiled, model, ["pipeline"]).compute_cycles
    assert abs(brief / full - 1) < 0.15


def test_weights_are_read_from_where_they_fit() -> None:
    board = replace(
        boards.load("raspberry_pi_5"), l1d_bytes=100, l2_bytes=1000, l3_bytes=10_000,
        l2_bytes_per_cycle=10, l3_bytes_per_cycle=5, ram_bytes_per_second=2e9, clock_hz=1e9,
    )  # fmt: skip
    assert reading(board, 100) == ("L1 cache", 0.0)
    assert reading(board, 500) == ("L2 cache", 50.0)
    assert reading(board, 5000) == ("L3 cache", 1000 / 10 + 4000 / 5)
    assert reading(board, 30_000) == ("RAM", 1000 / 10 + 9000 / 5 + 20_000 / 2)
    assert reading(replace(board, l2_bytes=0, l3_bytes=0, flash_bytes=1), 300) == ("flash", 150.0)


def test_out_of_order_processor_reads_while_it_computes(make_model: Callable[..., Model]) -> None:
    model = make_model("gru", 16, 64)
    board = replace(boards.load("raspberry_pi_4"), l1d_bytes=0, l2_bytes=0)
    times = {}
    for ahead in (True, False):
        estimate = step_time(program(model, replace(board, out_of_order=ahead)), model, ["roofline"])
        both = estimate.compute_cycles, estimate.read_cycles
        assert estimate.read_cycles > 0
        times[ahead] = estimate.ns * 1.5
        assert times[ahead] == pytest.approx(max(both) if ahead else sum(both))
        assert estimate.weights_in == "RAM"
    assert times[True] < times[False]


@pytest.mark.parametrize(
    ("cell", "name"),
    list(
        itertools.product(
            ["elman_tanh", "gru", "lstm"], ["raspberry_pi_5", "raspberry_pi_zero_w", "x86_64_v3", "wasm32"]
        )
    ),
)
@pytest.mark.slow
def test_a_larger_network_takes_longer_by_the_roofline(cell: str, name: str, make_model: Callable[..., Model]) -> None:
    board = boards.load(name)
    models = [make_model(cell, 8, hidden) for hidden in (8, 32, 64, 128)]
    times = [step_time(program(each, board), each, ["roofline"]).ns for each in models]
    assert times == sorted(times)
    assert len(set(times)) == len(times)


def test_without_tools_the_roofline_is_used_and_reported(
    make_model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(name: str) -> str:
        raise UnsupportedError(f"{name} is not installed; apt install llvm.")

    monkeypatch.setattr(listing, "_tool", gone)
    model = make_model("gru", 3, 8)
    estimate = step_time(program(model, boards.load("raspberry_pi_4")), model)
    assert estimate.method.name == "roofline"
    assert estimate.instructions is None
    assert len(estimate.why_not) == 1
    assert "is not installed" in estimate.why_not[0]
    with pytest.raises(UnsupportedError, match=r"the step time on raspberry_pi_4 cannot be estimated: .*not installed"):
        step_time(program(model, boards.load("raspberry_pi_4")), model, ["pipeline"])


@needs_emulator
@needs_llvm
def test_a_processor_without_a_model_is_counted(make_model: Callable[..., Model]) -> None:
    model = make_model("gru", 3, 8)
    board = boards.load("raspberry_pi_zero_w")
    estimate = step_time(program(model, board), model)
    assert estimate.method.name == "counts"
    assert estimate.why_not == ("llvm-mca has no pipeline model of arm1176jzf-s.",)
    assert estimate.instructions is not None
    assert estimate.compute_cycles >= estimate.instructions / board.issue_width


@pytest.mark.slow
def test_code_that_cannot_be_emulated_is_estimated_by_the_roofline(make_model: Callable[..., Model]) -> None:
    model = make_model("gru", 3, 8)
    found = fit(model, boards.load("wasm32"))
    assert found.code_bytes > 1000
    assert found.estimate.method.name == "roofline"
    assert found.estimate.why_not == ("unicorn does not emulate wasm32.",)


def test_methods_state_a_measured_error() -> None:
    for method in METHODS.values():
        assert 0 < method.low < 1 < method.high


# Memory.


def test_bytes_are_those_of_the_runtime(make_model: Callable[..., Model]) -> None:
    host = object_cache.host()
    board = replace(boards.load("x86_64_v3"), triple=host.triple, cpu=host.cpu, features=host.features)
    model = make_model("lstm", 6, 20)
    compiled, stream = program(model, board), Stream(model)
    assert compiled.weight_bytes == stream.memory.weights + compiled.plan.records.nbytes
    assert 0 <= compiled.state_bytes - stream.memory.state < 32  # an output is handed over a vector at a time


@pytest.mark.parametrize("name", ["raspberry_pi_4", "pico_2", "generic_x86_64", "visionfive_2"])
def test_code_bytes_are_those_of_the_sections(name: str, make_model: Callable[..., Model]) -> None:
    elffile = needs.package("pyelftools")
    compiled = program(make_model("gru", 3, 8), boards.load(name))
    expected = sum(
        section["sh_size"]
        for code in compiled.objects.values()
        for section in elffile.ELFFile(io.BytesIO(code)).iter_sections()
        if section.name.startswith((".text", ".rodata"))
    )
    assert compiled.code_bytes == expected > 1000


def test_board_without_a_system_needs_flash_and_ram(make_model: Callable[..., Model]) -> None:
    compiled = program(make_model("gru", 3, 8), boards.load("pico_2"))
    (way,) = ways(compiled, 500)
    assert way.ram_bytes == compiled.state_bytes + 500
    assert way.flash_bytes == compiled.code_bytes + compiled.weight_bytes
    assert (way.ram_limit, way.flash_limit) == (520 * 1024 // 2, 4 * 2**20 // 2)
    assert way.fits
    assert not replace(way, flash_bytes=way.flash_limit + 1).fits
    assert not replace(way, ram_bytes=way.ram_limit + 1).fits


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("raspberry_pi_4", 4),
        ("raspberry_pi_zero_w", 2),
        ("jetson_nano", 1),
    ],
)
def test_ways_are_those_that_the_board_has(name: str, expected: int, make_model: Callable[..., Model]) -> None:
    found = ways(program(make_model("gru", 3, 8), boards.load(name)), None)
    assert len(found) == expected
    assert all(way.fits for way in found)
    assert [way.ram_bytes for way in found] == sorted((way.ram_bytes for way in found), reverse=True)


# The verdict.


def test_half_of_the_time_at_the_worst_estimate(make_model: Callable[..., Model]) -> None:
    model, board = make_model("gru", 3, 8), boards.load("raspberry_pi_4")
    highest = fit(model, board).highest_rate_hz
    at = fit(model, board, highest * 0.999)
    above = fit(model, board, highest * 1.001)
    assert at.fits
    assert not above.fits
    assert above.fits_memory
    assert above.estimate.slow_ns == above.estimate.ns * above.estimate.method.high > TIME_SHARE * 1e9 / above.rate_hz  # type: ignore[operator]


def test_half_of_the_memory(make_model: Callable[..., Model]) -> None:
    model, board = make_model("gru", 3, 8), boards.load("pico_2")
    (way,) = fit(model, board).ways
    for figure, needed in (("ram_bytes", way.ram_bytes), ("flash_bytes", way.flash_bytes)):
        enough = int(needed / PROGRAM_SHARE)
        assert fit(model, replace(board, **{figure: enough}), 1.0).fits
        assert not fit(model, replace(board, **{figure: enough - 2}), 1.0).fits


def test_default_rate_is_the_models(make_model: Callable[..., Model]) -> None:
    board = boards.load("raspberry_pi_4")
    assert fit(make_model("gru", 3, 8, sample_rate_hz=50.0), board).rate_hz == 50.0
    assert fit(make_model("gru", 3, 8, sample_rate_hz=50.0), board, 20.0).rate_hz == 20.0
    assert fit(make_model("gru", 3, 8), board).fits_rate


@pytest.mark.slow
def test_smaller_formats_are_tried(make_model: Callable[..., Model]) -> None:
    model, board = make_model("lstm", 32, 64), boards.load("raspberry_pi_4")
    whole = fit(model, board).weight_bytes
    found = {each.format: each.weight_bytes for each in remedies(model, board)}
    assert tuple(found) == FORMATS
    assert found["int4"] < found["int8"] < found["float16"] < whole


# The command.


def test_the_command_that_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(GRU), "--device", "raspberry_pi_zero_2w"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Fits raspberry_pi_zero_2w (Python + Numba, first start): up to" in out
    assert "an estimate" in out
    assert "x86-64 only" in out


@pytest.mark.slow
def test_the_command_that_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(GRU), "--device", "cortex_m4f", "--rate", "1e6", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["fits"] is False
    assert found["fits_memory"] is True
    assert found["verdict"].startswith("Does not fit cortex_m4f: at 1e+06 Hz the period is 1.00 µs, and a step may")
    assert "No format makes it fit" in found["verdict"]
    assert [each["format"] for each in found["formats"]] == list(FORMATS)
    step = found["step"]
    assert step["estimated"] is True
    assert step["ns_at_best"] < step["ns"] < step["ns_at_worst"]


@pytest.mark.slow
def test_the_command_says_what_would_make_it_fit(
    tmp_path: Path, make_model: Callable[..., Model], capsys: pytest.CaptureFixture[str]
) -> None:
    """400,000 weights are 1.7 MB in float32: too much for half of the flash of an nRF52840, but not in int8."""
    edge_rnn.save(make_model("lstm", 60, 260), tmp_path / "large.safetensors")
    assert main(["fit", str(tmp_path / "large.safetensors"), "--device", "cortex_m4f", "--rate", "1"]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert re.search(
        r"Does not fit cortex_m4f: it needs 1,[\d,]+ bytes of flash, and half of the board's is 524,288", out
    )
    assert re.search(r"It fits with its matrices in (\w+ or )*int8.*; edge-rnn shrink --formats", out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([str(GRU), "--device", "raspbery_pi_4"], r"edge-rnn fit: unknown device 'raspbery_pi_4'; did you mean"),
        ([str(GRU), "--device", "pico_2", "--rate", "0"], r"--rate: got '0', expected a number above 0"),
        ([str(GRU)], r"--device"),
    ],
)
def test_exit_code_2_if_the_verdict_is_unknown(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", *arguments]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_exit_code_1_for_a_missing_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "none.safetensors", "--device", "pico_2"]) == 1
    assert capsys.readouterr().err == "edge-rnn: none.safetensors: cannot be read: No such file or directory.\n"
