"""Built libraries on other processors, emulated by QEMU or run by node, against the float64 reference.

Nothing here is a real board. QEMU's user mode runs a program for another processor (``-cpu cortex-a53`` knows what that
processor has not), its system mode a whole Cortex-M; C is compiled by zig, which brings a C library along.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import needs
from edge_rnn import Model, Stream, boards
from edge_rnn_export import build
from emulated import CASES, LINUX, ZIG, cases_on_linux, check, compiled_c, outputs, run, samples, shared_out

pytestmark = pytest.mark.emulated

HERE = Path(__file__).parent

BARE = {  # board: how zig calls its processor, QEMU's machine and processor, where code and data lie
    "cortex_m4f": ("cortex_m4", "mps2-an386", "cortex-m4", "0x0", "0x20000000"),
    "cortex_m7": ("cortex_m7", "mps2-an500", "cortex-m7", "0x0", "0x20000000"),
    "pico_2": ("cortex_m33", "mps2-an505", "cortex-m33", "0x10000000", "0x38000000"),
}


ModelOf = Callable[[str], Model]


def program(folder: Path, board: str) -> Path:
    """Compile the example of a built library to a static program."""
    return compiled_c(folder / "example", board, [folder / "example.c", folder / "net.o"])


def as_text(xs: np.ndarray) -> str:
    return "\n".join(" ".join(f"{value:.9g}" for value in x) for x in xs) + "\n"


@pytest.mark.parametrize(("board", "case"), cases_on_linux())
def test_from_c_on_linux(board: str, case: str, model_of: ModelOf, tmp_path: Path) -> None:
    _, emulator, processors = LINUX[board]
    model = model_of(case)
    build(model, board, tmp_path, name="net")
    path = program(tmp_path, board)
    for processor in processors:
        done = run([needs.path(emulator), "-cpu", processor, str(path)], input=as_text(samples(model)))
        assert done.returncode == 0, done.stderr
        check(case, model, outputs(done.stdout))


@pytest.mark.needs("qemu-system-arm", "ziglang")
@pytest.mark.parametrize(("board", "case"), shared_out(BARE, 3))
def test_without_a_system(board: str, case: str, model_of: ModelOf, tmp_path: Path) -> None:
    processor, machine, emulated, code, data = BARE[board]
    model = model_of(case)
    build(model, board, tmp_path, name="net")
    xs = samples(model)
    rows = ",\n".join("{" + ", ".join(f"{float(value).hex()}f" for value in x) + "}" for x in xs)
    (tmp_path / "samples.h").write_text(
        f"#define SAMPLES {len(xs)}\n#define INPUTS {model.input_size}\n#define OUTPUTS {model.output_size}\n"
        f"static const float samples[SAMPLES][INPUTS] = {{{rows}}};\n"
    )
    objects = []
    for source in (tmp_path / "example.c", HERE / "bare" / "start.c"):
        objects.append(str(tmp_path / f"{source.stem}.c.o"))
        flags = ["-target", "thumb-freestanding-eabihf", f"-mcpu={processor}", "-O2", "-Wall", "-ffreestanding"]
        done = run([*ZIG, "cc", *flags, f"-I{tmp_path}", "-c", "-o", objects[-1], str(source)])
        assert done.returncode == 0, done.stderr
    elf, where = str(tmp_path / "net.elf"), [f"--defsym=CODE={code}", f"--defsym=DATA={data}"]
    script = str(HERE / "bare" / "board.ld")
    done = run([*ZIG, "ld.lld", "-T", script, *where, "-e", "start", "-o", elf, *objects, str(tmp_path / "net.o")])
    assert done.returncode == 0, done.stderr
    options = ["-semihosting-config", "enable=on,target=native", "-nographic", "-monitor", "none", "-serial", "none"]
    done = run([needs.path("qemu-system-arm"), "-M", machine, "-cpu", emulated, *options, "-kernel", elf])
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    ys = np.array([[struct.unpack(">f", bytes.fromhex(word))[0] for word in line.split()] for line in lines])
    check(case, model, ys)


WASM = """\
import { readFile } from "node:fs/promises";
import { load } from "./net.mjs";
const xs = JSON.parse(await readFile("samples.json"));
const { Stream } = await load(await readFile("net.wasm"));
const stream = new Stream(), other = new Stream();
const ys = xs.map((x) => Array.from(stream.step(x)));
other.restore(stream.save());
if (stream.step(xs[0]).join() !== other.step(xs[0]).join()) throw new Error("restored streams differ");
let refused = 0;
for (const bad of [[1], xs[0].map(() => NaN)]) try { stream.step(bad); } catch (error) { refused += 1; }
if (refused !== 2) throw new Error("bad samples are not refused");
console.log(JSON.stringify(ys));
"""


@pytest.mark.needs("node", "linker:wasm32")
@pytest.mark.parametrize("case", CASES)
def test_in_node(case: str, model_of: ModelOf, tmp_path: Path) -> None:
    model = model_of(case)
    build(model, "wasm32", tmp_path, name="net")
    (tmp_path / "samples.json").write_text(json.dumps(samples(model).tolist()))
    (tmp_path / "run.mjs").write_text(WASM)
    done = run([needs.path("node"), "run.mjs"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    check(case, model, np.array(json.loads(done.stdout)))


@pytest.mark.needs("qemu-aarch64", "ziglang", "linker:raspberry_pi_5")
def test_dot_products_are_kept_from_processors_without_them(model_of: ModelOf, tmp_path: Path) -> None:
    """The example queries the system first; without that, the processor stops at the instruction."""
    model = model_of("int8")
    build(model, "raspberry_pi_5", tmp_path, name="net")
    emulator = needs.path("qemu-aarch64")
    text, path = as_text(samples(model)), str(program(tmp_path, "raspberry_pi_5"))
    assert run([emulator, "-cpu", "cortex-a76", path], input=text).returncode == 0
    refused = run([emulator, "-cpu", "cortex-a53", path], input=text)
    assert refused.returncode == 1
    assert "lacks instructions" in refused.stderr
    header = tmp_path / "net.h"
    header.write_text(re.sub("NEEDS_HWCAP 0x[0-9a-f]+UL", "NEEDS_HWCAP 0x0UL", header.read_text()))
    unasked = run([emulator, "-cpu", "cortex-a53", str(program(tmp_path, "raspberry_pi_5"))], input=text)
    assert unasked.returncode == -4  # SIGILL
    for board in ("raspberry_pi_zero_2w", "raspberry_pi_3", "raspberry_pi_4"):
        assert boards.load(board).target.dot == "mla"


LOADER = r"""
import json, sys
sys.path.insert(0, sys.argv[1])
import net
xs = json.load(open(sys.argv[1] + "/samples.json"))
stream = net.Stream()
ys = [list(stream.step(x)) for x in xs]
assert not {"numpy", "numba", "edge_rnn"} & set(sys.modules)
json.dump([ys, stream.snapshot().hex()], sys.stdout)
"""


@pytest.mark.needs("qemu-aarch64", "mmdebstrap", "linker:raspberry_pi_5")
@pytest.mark.parametrize("case", ["gru", "lstm", "int8"])
def test_from_plain_python_on_arm64(
    case: str, model_of: ModelOf, tmp_path: Path, debian_python: Callable[[str], list[str]]
) -> None:
    model = model_of(case)
    build(model, "raspberry_pi_5", tmp_path, name="net")
    xs = samples(model)
    (tmp_path / "samples.json").write_text(json.dumps(xs.tolist()))
    emulator, *rest = debian_python("arm64")
    done = run([emulator, "-cpu", "cortex-a76", *rest, "-c", LOADER, str(tmp_path)])
    assert done.returncode == 0, done.stderr
    ys, snapshot = json.loads(done.stdout)
    check(case, model, np.array(ys))
    Stream(model).restore(bytes.fromhex(snapshot))  # goes on on another kind of machine
    refused = run([emulator, "-cpu", "cortex-a53", *rest, "-c", LOADER, str(tmp_path)])
    assert "was built for Raspberry Pi 5" in refused.stderr
    assert "this processor lacks asimddp" in refused.stderr
