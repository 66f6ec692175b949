"""Libraries for boards: equal to Stream on this machine, checked before they appear, and never half-made."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rnn
import needs
from built_libraries import Library, this_machine
from edge_rnn import Model, Stream, cli, reference
from edge_rnn import boards as device
from edge_rnn.boards import Device
from edge_rnn.errors import CompileError, FileError, InputError
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.standalone.c_library import FUNCTIONS, compile_library
from edge_rnn_export import build
from edge_rnn_export.building import builder
from edge_rnn_export.building.gate import check_elf, check_module
from edge_rnn_export.building.network import TEST_STEPS, layout_of, self_test
from edge_rnn_export.building.sources import as_comment, as_markdown, sources

pytestmark = pytest.mark.sampled(1)

needs.package("pyelftools")
needs.package("capstone")

Build = Callable[..., Model]
InFormat = Callable[[Model, str], Model]
CELLS = ("elman_tanh", "elman_relu", "gru", "gru_reset_before", "lstm")
FORMATS = ("float16", "int8", "w8a8", "int4", "sparse:0.5", "rank:2")
ARM_BOARD = "raspberry_pi_zero_2w"


needs_linker = pytest.mark.needs("linker:here")
needs_arm_linker = pytest.mark.needs(f"linker:{ARM_BOARD}")


def samples(model: Model, count: int) -> np.ndarray:
    return np.random.default_rng(8).standard_normal((count, model.input_size)).astype(np.float32)


@pytest.fixture(scope="module")
def net(make_model: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a library of a small network, ``net``, for this machine; read-only."""
    folder = tmp_path_factory.mktemp("net")
    build(make_model("gru", 3, 9), this_machine(), folder, name="net")
    return folder


@needs_linker
@pytest.mark.parametrize("cell", CELLS)  # gru: see net
def test_a_library_for_this_machine_is_stream_bit_by_bit(cell: str, make_model: Build, tmp_path: Path) -> None:
    model = make_model(cell, 5, 19, layers=2)
    build(model, this_machine(), tmp_path, name="net")
    built, stream, xs = Library(tmp_path, "net"), Stream(model), samples(model, 200)
    assert built("self_test", built.state) == 0
    for x in xs:
        status, y = built.step(x)
        assert status == 0
        assert np.array_equal(y, stream.step(x))
    expected, ys = stream.run(xs), np.empty((200, model.output_size), np.float32)
    assert built("run", xs, ys, 200, built.state) == 200
    assert np.array_equal(ys, expected)


@needs_linker
@pytest.mark.slow
def test_self_test_is_short_for_a_network_that_amplifies_rounding(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in ((17, 1), (17, 17), (17,))]
    model = Model([edge_rnn.Elman(*weights)])  # gains of 4 and more: chaotic
    whole = reference.run(model, self_test(model).xs)[0]
    test = self_test(model)
    assert 1 <= len(test.xs) < TEST_STEPS
    assert np.array_equal(test.ys, whole.astype(np.float32))
    build(model, this_machine(), tmp_path, name="net")
    built = Library(tmp_path, "net")
    assert built("self_test", built.state) == 0
    assert f"Run {len(test.xs)} steps" in (tmp_path / "net.h").read_text()


@needs_linker
@pytest.mark.slow
def test_loader_refuses_the_library_of_another_network(tmp_path: Path) -> None:
    for folder, weight in (("a", 0.5), ("b", 0.25)):
        build(Model([edge_rnn.Dense([[weight]])]), this_machine(), tmp_path / folder, name="net")
    (tmp_path / "a" / "net.json").write_bytes((tmp_path / "b" / "net.json").read_bytes())
    command = [sys.executable, str(tmp_path / "a" / "net.py")]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=False)
    assert "are from different builds" in done.stderr


@needs_linker
@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_is_stream_bit_by_bit(
    format_: str, make_model: Build, in_format: InFormat, tmp_path: Path
) -> None:
    model = in_format(make_model("gru", 9, 24), format_)
    build(model, this_machine(), tmp_path, name="net")
    built, xs = Library(tmp_path, "net"), samples(model, 100)
    assert built("self_test", built.state) == 0
    ys = np.empty((100, model.output_size), np.float32)
    assert built("run", xs, ys, 100, built.state) == 100
    assert np.array_equal(ys, Stream(model).run(xs))


@needs_linker
@pytest.mark.parametrize("policy", ["raise", "hold", "skip"])
@pytest.mark.slow
def test_samples_that_are_not_finite(policy: str, make_model: Build, net: Path) -> None:
    model = make_model("gru", 3, 9)
    built, stream, xs = Library(net, "net"), Stream(model, on_nonfinite=policy), samples(model, 40)
    xs[[0, 7, 8], [1, 0, 2]] = np.nan, np.inf, np.nan
    assert built("reset", built.state) == 0
    assert built("set_policy", built.state, ["raise", "hold", "skip"].index(policy)) == 0
    for x in xs:
        status, y = built.step(x)
        if policy == "raise" and not np.isfinite(x).all():
            assert status == 1
            continue
        assert status == 0
        assert np.array_equal(y, stream.step(x), equal_nan=True)  # NaN before the first good one
    assert built("refused", built.state) == stream.rejected_samples
    assert built("set_policy", built.state, 3) == 5


@needs_linker
@pytest.mark.slow
def test_a_sample_that_overflows_leaves_the_state(tmp_path: Path) -> None:
    model = Model([edge_rnn.Elman([[4.0]], [[0.5]], activation="relu")])
    build(model, this_machine(), tmp_path, name="net")
    built, stream, one = Library(tmp_path, "net"), Stream(model), np.ones(1, np.float32)
    built("reset", built.state)
    built.step(one)
    stream.step(one)
    assert built.step(np.full(1, 3e38))[0] == 2
    assert np.array_equal(built.step(one)[1], stream.step(one))


@needs_linker
@pytest.mark.slow
def test_wrong_use_is_reported_by_status(make_model: Build, net: Path, tmp_path: Path) -> None:
    build(make_model("gru", 3, 9, seed=1), this_machine(), tmp_path, name="net")
    built, other = Library(net, "net"), Library(tmp_path, "net")
    assert built.step(np.ones(3))[0] == 3  # never reset
    assert other("reset", built.state) == 0
    assert built.step(np.ones(3))[0] == 3  # reset by another network's library
    assert built("reset", built.state[4:]) == 4  # not aligned
    assert built("reset", built.state) == 0
    floats = np.full(built.meta["saved_floats"], np.nan, np.float32)
    assert built("restore", built.state, floats) == 4
    assert built("save", other.state, floats) == 3
    assert built("state_bytes") == built.meta["state_bytes"]


@needs_linker
def test_the_self_test_notices_other_weights(make_model: Build, net: Path, tmp_path: Path) -> None:
    model = make_model("gru", 3, 9)
    shutil.copytree(net, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "libnet.so"
    data = bytearray(path.read_bytes())
    packed = layout_of(model, object_cache.host(), self_test(model)).weights.tobytes()
    at = bytes(data).index(packed)
    data[at + 3] ^= 0x40  # the exponent of the first number
    path.write_bytes(data)
    built = Library(tmp_path, "net")
    assert built("self_test", built.state) == 6


LOADER = r"""
import json, sys
sys.path.insert(0, sys.argv[1])
import net
stream = net.Stream()
assert "numpy" not in sys.modules and "edge_rnn" not in sys.modules
test = net.META["test"]
ys = [list(stream.step(x)) for x in test["xs"]]
stream.reset()
assert list(stream.run(test["xs"])) == [v for y in ys for v in y]
kept = stream.snapshot()
after = list(stream.step(test["xs"][0]))
stream.restore(kept)
assert list(stream.step(test["xs"][0])) == after
refused = []
for call in (lambda: stream.step([1.0]), lambda: stream.step([float("nan")] * 3), lambda: stream.step("abc"),
             lambda: stream.step(None), lambda: stream.run([[1.0]]), lambda: stream.run([[1.0] * 3, [1.0]]),
             lambda: stream.restore(kept[:-1]), lambda: net.Stream(on_nonfinite="no")):
    try:
        call()
    except ValueError as error:
        refused.append(str(error))
json.dump({"ys": ys, "snapshot": kept.hex(), "refused": refused}, sys.stdout)
"""


@needs_linker
def test_the_loader_needs_python_alone_and_shares_snapshots(make_model: Build, net: Path) -> None:
    model = make_model("gru", 3, 9)
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", LOADER, str(net)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    xs = np.array(Library(net, "net").meta["test"]["xs"], np.float32)
    expected, _ = reference.run(model, xs)
    np.testing.assert_allclose(told["ys"], expected, atol=1e-5)
    assert len(told["refused"]) == 8
    stream = Stream(model)
    stream.run(xs)
    assert bytes.fromhex(told["snapshot"]) == stream.snapshot()


@needs_arm_linker
def test_the_loader_refuses_another_processor(make_model: Build, tmp_path: Path) -> None:
    board = device.load(ARM_BOARD)
    build(make_model("gru", 3, 9), dataclasses.replace(board, triple=board.triple), tmp_path, name="net")
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import net"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"was built for {board.title} and cannot run here: it is for aarch64" in done.stderr or (
        platform.machine() == "aarch64"
    )


# ---- what is looked at before anybody gets it


def compiled(model: Model, board: Device) -> tuple[str, bytes]:
    return compile_library("net", layout_of(model, board.target, self_test(model)), {"net_meta": "{}"}, board.target)


EXPORTS = {f"net_{function}" for function in FUNCTIONS} | {"net_meta"}


BOARDS = ("raspberry_pi_zero_w", "raspberry_pi_zero_2w", "raspberry_pi_5", "cortex_m4f", "generic_x86_64")


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        (board, format_)
        for (i, board), (j, format_) in itertools.product(enumerate(BOARDS), enumerate(FORMATS[:5]))
        if (j - i) % 5 in (0, 2)  # two formats for each board, two boards for each format
    ],
)
@pytest.mark.slow
def test_no_board_gets_instructions_that_it_lacks(
    name: str, format_: str, make_model: Build, in_format: InFormat
) -> None:
    board = device.load(name)
    text, code = compiled(in_format(make_model("gru", 9, 24), format_), board)
    check_module(text)
    check_elf(code, board.target, EXPORTS)


@pytest.mark.slow
def test_instructions_that_a_board_lacks_are_found(make_model: Build, in_format: InFormat) -> None:
    model = in_format(make_model("gru", 9, 24), "int8")
    old, new = device.load("raspberry_pi_zero_2w"), device.load("raspberry_pi_5")
    _, code = compiled(model, new)
    check_elf(code, new.target, EXPORTS)
    with pytest.raises(
        CompileError, match=r"the code for cortex-a53 failed its checks: the instruction .sdot .* dotprod"
    ):
        check_elf(code, old.target, EXPORTS)
    baseline, wide = device.load("generic_x86_64"), device.load("x86_64_v3")
    _, code = compiled(make_model("gru", 9, 24), wide)
    with pytest.raises(CompileError, match="which needs avx"):
        check_elf(code, baseline.target, EXPORTS)
    _, code = compiled(make_model("gru", 9, 24), device.load("raspberry_pi_2"))
    with pytest.raises(CompileError, match="which needs neon"):
        check_elf(code, device.load("raspberry_pi_zero_w").target, EXPORTS)


def assembled(text: str, board: Device) -> bytes:
    import llvmlite.binding as llvm

    machine = board.target.machine()
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = board.target.triple, str(machine.target_data)
    return bytes(machine.emit_object(module))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "declare void @puts()\ndefine void @f() nounwind {\n call void @puts()\n ret void\n}",
            "undefined symbols: puts",
        ),
        ("@g = global i32 7\ndefine void @f() nounwind {\n ret void\n}", "4 bytes of writable data in .data"),
        (
            "define void @g() nounwind {\n ret void\n}\ndefine void @f() nounwind {\n ret void\n}",
            "exported symbols differ from the expected ones: g",
        ),
        ("define double @f(double %x) nounwind {\n %y = fmul double %x, %x\n ret double %y\n}", "which needs fp64"),
    ],
)
def test_objects_with_faults_are_refused(text: str, problem: str) -> None:
    board = device.load("cortex_m4f")
    exports = {"f", "g"} if problem.startswith("4") else {"f"}
    code = assembled(text.replace("double", "double"), device.load("cortex_m7") if "fp64" in problem else board)
    with pytest.raises(CompileError, match=problem):
        check_elf(code, board.target, exports)


def test_doubles_and_addresses_are_found_in_the_module() -> None:
    with pytest.raises(CompileError, match="double precision"):
        check_module("define double @f() {\n ret double 0.0\n}")
    with pytest.raises(CompileError, match="address of the process"):
        check_module("%p = inttoptr i64 140212 to ptr")
    check_module('@x = constant [6 x i8] c"double"')


# ---- files


def boards() -> list[Any]:
    """Names of all boards; a test that links for a board declares its linker."""
    return [
        name
        if device.load(name).output == "static"
        else pytest.param(name, marks=pytest.mark.needs(f"linker:{name}"), id=name)
        for name in device.names()
    ]


@pytest.mark.parametrize("name", boards())
@pytest.mark.slow
def test_every_board_gets_its_files(name: str, make_model: Build, tmp_path: Path) -> None:
    board = device.load(name)
    built = build(make_model("gru", 3, 9), name, tmp_path, name="net")
    found = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert found == dict(built.files)
    expected = {
        "shared": {"libnet.so", "net.o", "net.h", "net.py", "example.c", "Makefile"},
        "static": {"net.o", "net.h", "example.c", "Makefile"},
        "wasm": {"net.wasm", "net.mjs"},
    }[board.output]
    assert found.keys() == expected | {"net.json", "README.md"}
    for path in tmp_path.iterdir():
        if path.suffix not in (".so", ".o", ".wasm", ".py", ".mjs"):
            assert not re.search(r"(?<!\$)\$\{?\w", path.read_text()) or path.name == "Makefile", path


@pytest.mark.slow
def test_untrusted_words_cannot_end_a_comment_or_table(make_model: Build, tmp_path: Path) -> None:
    model = dataclasses.replace(make_model("gru", 1, 2), name="a */ int b; /* c", labels=("d|e", *"fgh"))
    build(model, "cortex_m4f", tmp_path, name="net")
    header = (tmp_path / "net.h").read_text()
    assert header.startswith("/* a * / int b; / * c\n")
    rows = [line for line in (tmp_path / "README.md").read_text().splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}


@pytest.mark.parametrize("text", ["**//", "*\\", "*??/", "/*/ **/", "\\", "*/??/", "a\u2028b\x1b"])
def test_comment_of_c_is_one_line_that_nothing_in_it_ends_or_joins(text: str) -> None:
    shown = as_comment(text)
    assert not any(each in shown for each in ("*/", "/*", "??"))
    assert not shown.endswith("\\")
    assert shown.isprintable()


def test_untrusted_words_are_plain_text_in_markdown() -> None:
    shown = as_markdown("<img src=x> [a](javascript:b) `c` **d** a|b\u202e")
    assert shown == r"\<img src=x\> \[a\]\(javascript:b\) \`c\` \*\*d\*\* a\|b\\u202e"


@pytest.mark.slow
def test_rebuild_removes_only_what_a_build_makes(make_model: Build, tmp_path: Path) -> None:
    for name in ("precious", "notes.txt", "other.o"):
        (tmp_path / name).write_text("not of a build")
    (tmp_path / "libnet.so").write_text("of an earlier build")
    (tmp_path / "net.json").write_text('{"files": ["precious", "notes.txt", "../up", "other.o", "libnet.so"]}')
    build(make_model("gru", 1, 2), "cortex_m4f", tmp_path, name="net")
    assert {each.name for each in tmp_path.iterdir()} >= {"precious", "notes.txt", "other.o"}
    assert not (tmp_path / "libnet.so").exists()


@pytest.mark.slow
def test_without_a_linker_an_object_and_a_sentence(
    make_model: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "linker_for", lambda target: ())
    built = build(make_model("gru", 3, 9), ARM_BOARD, tmp_path, name="net")
    assert built.meta["library"] == "net.o"
    assert "no linker for Raspberry Pi Zero 2 W" in built.note
    assert "net.py" not in built.files


@needs_arm_linker
def test_a_build_removes_files_of_an_earlier_one(
    make_model: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").write_text("")
    build(make_model("gru", 3, 9), ARM_BOARD, tmp_path, name="net")
    assert (tmp_path / "libnet.so").exists()
    monkeypatch.setattr(builder, "linker_for", lambda target: ())
    build(make_model("gru", 3, 9), ARM_BOARD, tmp_path, name="net")
    assert {path.name for path in tmp_path.iterdir()} == {
        *("net.o", "net.h", "net.json", "example.c", "Makefile", "README.md", "mine.txt")
    }


@pytest.mark.slow
def test_a_refused_build_leaves_no_files(make_model: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise CompileError("build: no.")

    monkeypatch.setattr(builder, "check_elf", refuse)
    with pytest.raises(CompileError):
        build(make_model("gru", 3, 9), "cortex_m4f", tmp_path / "new", name="net")
    assert not (tmp_path / "new").exists()
    monkeypatch.undo()
    with pytest.raises(FileError, match=r"cannot be created: (\w+: )?embedded null"):
        build(make_model("gru", 3, 9), "cortex_m4f", tmp_path / "a\0b", name="net")


@pytest.mark.parametrize("name", ["9net", "a b", "ü", "x" * 65, "-", "json", "class"])
def test_invalid_names_are_refused(name: str, make_model: Build, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a C identifier|which is reserved by Python"):
        build(make_model("gru", 3, 9), ARM_BOARD, tmp_path, name=name)


@pytest.mark.slow
def test_default_name_is_the_models(make_model: Build, tmp_path: Path) -> None:
    model = make_model("gru", 3, 9)
    titled = Model(model.layers, name="7 Seas: größer")
    assert build(titled, "cortex_m4f", tmp_path).meta["name"] == "network_7_seas_gr_er"
    assert build(model, "cortex_m4f", tmp_path).meta["name"] == "network"


@pytest.mark.slow
def test_refusals(make_model: Build, tmp_path: Path) -> None:
    model = make_model("gru", 3, 9)
    with pytest.raises(InputError, match="unknown device 'raspberry_pi_6'; did you mean raspberry_pi_"):
        build(model, "raspberry_pi_6", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be created"):
        build(model, "cortex_m4f", tmp_path / "file")


def test_the_command(make_model: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my-net 1.safetensors"
    edge_rnn.save(make_model("gru", 3, 9), path)
    assert cli.main(["build", str(path), "--device", "cortex_m4f", "-o", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "my_net_1.o" in out
    assert "bytes of weights" in out
    assert cli.main(["build", str(path), "--device", "cortex_m5", "-o", str(tmp_path / "out")]) != 0
    err = capsys.readouterr().err
    assert "unknown device 'cortex_m5'" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_templates_are_complete(make_model: Build, tmp_path: Path) -> None:
    built = build(make_model("gru", 3, 9), "cortex_m4f", tmp_path, name="net")
    texts = sources(device.load("cortex_m4f"), "net", built.meta, is_library=False)
    assert all(os.linesep in text for text in texts.values())
