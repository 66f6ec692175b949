"""The package on Debian for ARM and RISC-V, emulated: installed from a wheel with kernels, without Numba."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rnn
from edge_rnn import Model, Stream
from edge_rnn.kernels.compile.shipped_targets import SHIPPED, ShippedTarget
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.entry.archive import archived
from edge_rnn.streams.planner import plan_for
from edge_rnn_export.building.wheel_kernels import entries
from emulated import STEPS, STEPS_OF, check, run, samples

pytestmark = [pytest.mark.emulated, pytest.mark.needs("hatchling", "mmdebstrap")]

ROOT = Path(__file__).resolve().parents[2]
HALF = STEPS // 2
WATCH = edge_rnn.data_path("smart_watch/gru.safetensors")

# Networks by shipped target. QEMU lists no features of ARM in /proc/cpuinfo, which leads to the last target.
CASES = {
    "arm": {"armv7": ("lstm", "int8"), "armv6": ("int4", "w8a8", "float16", "sparse:0.5")},
    "aarch64": {"cortex-a53": ("lstm", "int8")},
    "riscv64": {"sifive-u74": ("lstm", "int8")},
}
DEBIAN_FOR = {"arm": "armhf", "aarch64": "arm64", "riscv64": "riscv64"}
QEMU_CPU = {"arm": "cortex-a8", "aarch64": "cortex-a53", "riscv64": "rv64"}  # Debian for armhf needs Armv7
FEATURES = {"armv7": "Features : neon\n"}

RUN = """
import json, sys
from pathlib import Path
import numpy as np
from edge_rnn.kernels.entry import object_cache, python_function, shipped_kernels
if sys.argv[2]:
    shipped_kernels.cpuinfo = lambda: iter([sys.argv[2]])
from edge_rnn import Stream, StreamBank, load
from edge_rnn.errors import InputError
found = {"cpu": object_cache.host().cpu, "plain": python_function.why_not(), "bits": sys.maxsize.bit_length() + 1}
for case, given in json.loads(Path(sys.argv[1], "given.json").read_text()).items():
    model, xs = load(Path(sys.argv[1], given["model"])), np.float32(given["xs"])
    half, stream = len(xs) // 2, Stream(model)
    ys = [stream.step(x).tolist() for x in xs[:half]]
    saved = stream.snapshot()
    ys += stream.run(xs[half:]).tolist()
    stream.restore(bytes.fromhex(given["saved"]))
    again = stream.run(xs[half:]).tolist()
    bank = StreamBank(model, 5)
    several = [bank.step(np.float32([x] * 5)).tolist() for x in xs]
    try:
        stream.step(np.full(model.input_size, np.nan, np.float32))
    except InputError as error:
        refused = str(error)
    found[case] = dict(ys=ys, saved=saved.hex(), again=again, several=several, refused=refused)
assert not {"numba", "llvmlite"} & set(sys.modules)
json.dump(found, sys.stdout)
"""


def kernels(target: ShippedTarget, models: Iterable[Model]) -> bytes:
    """Archive with the kernels of some models only: all of them take minutes to compile."""
    names = dict.fromkeys(name for model in models for name in plan_for(model, target.target).ops)
    groups = filter(None, (object_cache.grouped(name, target.target.group) for name in names))
    more = groups if target.target.group > 1 else ()
    return archived(entries(target.target, [*names, "bank", *more], 1))


def build_wheel(architecture: str, archives: dict[str, bytes], folder: Path) -> Path:
    """Build the project's wheel, and add kernels as the release does, but few."""
    done = run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (pure,) = folder.glob("*-any.whl")
    tag = tags(architecture)[-1]
    wheel = pure.with_name(pure.name.replace("-any.", f"-{tag}."))
    with zipfile.ZipFile(pure) as old, zipfile.ZipFile(wheel, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("/WHEEL"):
                data = data.replace(b"Tag: py3-none-any", f"Tag: py3-none-{tag}".encode()).replace(
                    b": true", b": false"
                )
            elif name.endswith("/RECORD"):
                data += b"".join(recorded(name, archive) for name, archive in archives.items())
            new.writestr(name, data)
        for name, archive in archives.items():
            new.writestr(name, archive)
    return wheel


def tags(architecture: str) -> list[str]:
    """Platforms of an architecture's wheels, as the build has them."""
    found = re.search(rf'"{architecture}": "(.+)"', (ROOT / "hatch_build.py").read_text())
    assert found is not None
    return found[1].split(".")


def recorded(name: str, data: bytes) -> bytes:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"{name},sha256={digest.decode()},{len(data)}\n".encode()


@pytest.fixture(scope="session")
def installed(
    made_once: Callable[[str, Callable[[Path], None]], Path],
    debian_python: Callable[[str], list[str]],
    model_of: Callable[[str], Model],
) -> Callable[[str], list[str]]:
    """Function that returns the command of a Python with the package, in an environment on top of Debian's packages."""

    def installed(architecture: str) -> list[str]:
        *emulator, python = debian_python(DEBIAN_FOR[architecture])
        emulator[1:1] = ["-cpu", QEMU_CPU[architecture]]

        def fill(folder: Path) -> None:
            options = ["--system-site-packages", "--without-pip"]  # pip is Debian's
            done = run([*emulator, python, "-m", "venv", *options, str(folder)])
            assert done.returncode == 0, done.stderr
            archives = {}
            shipped = {target.name: target for target in SHIPPED[architecture]}
            for name, cases in CASES[architecture].items():
                models = [*map(model_of, cases), edge_rnn.load(WATCH)]
                archives[f"edge_rnn/kernels/shipped/{name}.kernels"] = kernels(shipped[name], models)
            wheel = build_wheel(architecture, archives, folder)
            if architecture == "arm":
                inside = [*emulator, str(folder / "bin" / "python")]
                done = run([*inside, "-m", "pip", "install", "--no-index", "--no-compile", str(wheel)])
                assert done.returncode == 0, done.stderr
            else:  # pip takes a while under emulation
                with zipfile.ZipFile(wheel) as file:
                    file.extractall(folder / "lib" / "python3.13" / "site-packages")

        return [*emulator, str(made_once(f"environment-{architecture}", fill) / "bin" / "python"), "-I"]

    return installed


def each_target() -> list[Any]:
    return [
        pytest.param(architecture, name, marks=pytest.mark.needs(f"qemu-{architecture}"), id=name)
        for architecture, cases in CASES.items()
        for name in cases
    ]


@pytest.mark.parametrize(("architecture", "name"), each_target())
def test_streams_and_banks_compute_what_the_reference_does_and_exchange_snapshots(
    architecture: str,
    name: str,
    installed: Callable[[str], list[str]],
    model_of: Callable[[str], Model],
    tmp_path: Path,
) -> None:
    models = {case: model_of(case) for case in CASES[architecture][name]}
    given, here = {}, {}
    for number, (case, model) in enumerate(models.items()):
        stream, xs = Stream(model), samples(model)
        edge_rnn.save(model, tmp_path / f"{number}.safetensors")
        stream.run(xs[:HALF])
        given[case] = {"model": f"{number}.safetensors", "xs": xs.tolist(), "saved": stream.snapshot().hex()}
        here[case] = stream.run(xs[HALF:])
    (tmp_path / "given.json").write_text(json.dumps(given))
    done = run([*installed(architecture), "-c", RUN, str(tmp_path), FEATURES.get(name, "")])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    target = next(each.target for each in SHIPPED[architecture] if each.name == name)
    is_64_bit = architecture != "arm"
    assert (found["cpu"], found["bits"]) == (target.cpu, 64 if is_64_bit else 32)
    assert found["plain"] == ("" if is_64_bit else "this is not a 64-bit process")
    for case, model in models.items():
        there, scale = found[case], max(1.0, np.abs(here[case]).max())
        check(case, model, np.array(there["ys"]))
        for row in range(5):
            check(case, model, np.array(there["several"])[:, row])
        near = scale / STEPS_OF[case] if case in STEPS_OF else 1e-5 * scale
        np.testing.assert_allclose(there["again"], here[case], rtol=0, atol=near)
        stream = Stream(model)
        stream.restore(bytes.fromhex(there["saved"]))
        np.testing.assert_allclose(stream.run(samples(model)[HALF:]), there["ys"][HALF:], rtol=0, atol=near)
        assert "the state is unchanged" in there["refused"]


@pytest.mark.parametrize("architecture", [pytest.param("arm", marks=pytest.mark.needs("qemu-arm"))])
def test_the_demo_runs(architecture: str, installed: Callable[[str], list[str]]) -> None:
    done = run([*installed(architecture), "-m", "edge_rnn", "demo", "--samples", "300", "--json"])
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout)
    done = run([sys.executable, "-m", "edge_rnn", "demo", "--samples", "300", "--json"], cwd=ROOT)
    here = json.loads(done.stdout)
    for key in ("cell", "model", "steps", "recordings", "frame_accuracy", "recording_accuracy"):
        assert there[key] == here[key]
