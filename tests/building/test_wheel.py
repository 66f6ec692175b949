"""The hook of the build: pure wheels, and wheels with kernels."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

from checkout import ROOT, environment
from edge_rnn.kernels.compile.shipped_targets import SHIPPED
from shipped_networks import best_target

pytestmark = pytest.mark.needs("hatchling")

ARCHITECTURE = next(name for name, targets in SHIPPED.items() if best_target() in targets)


def build(folder: Path, architecture: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        env={**os.environ, "EDGE_RNN_WHEEL_FOR": architecture},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def hooks() -> dict[str, Any]:
    found: dict[str, Any] = {"__name__": "hatch_build"}
    exec((ROOT / "hatch_build.py").read_text(encoding="utf-8"), found)
    return found


def test_a_wheel_is_pure_unless_kernels_are_asked_for(tmp_path: Path) -> None:
    result = build(tmp_path, "")
    assert result.returncode == 0, result.stderr
    (path,) = tmp_path.iterdir()
    assert path.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(path) as wheel:
        assert not [name for name in wheel.namelist() if "kernels/shipped" in name or name.endswith(".kernels")]
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        about = Parser().parsestr(wheel.read(name).decode())
    needed = [each for each in about.get_all("Requires-Dist", []) if "extra ==" not in each]
    assert sorted(each.partition(">=")[0] for each in needed) == ["numpy", "safetensors"]
    assert {"cli", "jit"} <= {*about.get_all("Provides-Extra", [])}


def test_an_unknown_architecture_is_an_error(tmp_path: Path) -> None:
    result = build(tmp_path, "vax")
    assert result.returncode != 0
    assert "EDGE_RNN_WHEEL_FOR is 'vax', expected one of x86_64, aarch64, arm, riscv64" in result.stdout + result.stderr
    assert not [*tmp_path.iterdir()]


def test_every_architecture_has_tags(hooks: dict[str, Any]) -> None:
    assert hooks["_TAGS"].keys() == SHIPPED.keys()


def hook(hooks: dict[str, Any], monkeypatch: pytest.MonkeyPatch, version: str) -> tuple[dict[str, Any], list[Any]]:
    """Build data after the hook, whose compilation is replaced by a file; and the commands that it ran."""
    commands: list[Any] = []

    def run(command: list[str], **_: Any) -> None:
        commands.append(command)
        Path(command[-1], "some-cpu.kernels").write_bytes(b"code")

    monkeypatch.setenv("EDGE_RNN_WHEEL_FOR", "arm")
    monkeypatch.setattr(hooks["subprocess"], "run", run)
    made = hooks["Kernels"](str(ROOT), {}, None, None, "", "wheel")
    data: dict[str, Any] = {"force_include": {}}
    made.initialize(version, data)
    made.finalize(version, data, "")
    return data, commands


def test_archives_are_put_into_the_package(hooks: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    data, (command,) = hook(hooks, monkeypatch, "standard")
    assert command[1:4] == ["-m", "edge_rnn_export.building.wheel_kernels", "arm"]
    ((source, target),) = data["force_include"].items()
    assert target == "edge_rnn/kernels/shipped/some-cpu.kernels"
    assert not Path(source).parent.exists()  # removed at the end
    assert data["pure_python"] is False
    assert "linux_armv6l" in data["tag"]
    assert "manylinux_2_17_armv7l" in data["tag"]


def test_an_editable_install_compiles_nothing(hooks: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert hook(hooks, monkeypatch, "editable") == ({"force_include": {}}, [])


def test_git_ignores_archives_in_the_checkout() -> None:
    assert "/edge_rnn/kernels/shipped/" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert not (ROOT / "edge_rnn" / "kernels" / "shipped").exists()


def test_extras_that_compile_bring_the_compiler() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert [each.partition(">")[0] for each in extras["jit"]] == ["numba"]
    assert {name for name, needed in extras.items() if "edge-rnn[jit]" in needed} == {"cross", "fit"}
    named = {name for each in extras["all"] for name in each.partition("[")[2].rstrip("]").split(",")}
    assert named == extras.keys() - {"all", "docs"}


@pytest.mark.slow
def test_a_wheel_of_this_machine_runs_without_a_compiler(tmp_path: Path) -> None:
    """Unpacked, with NumPy and safetensors of this environment, and with a PATH that has no programs."""
    result = build(tmp_path, ARCHITECTURE)
    assert result.returncode == 0, result.stderr
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size < 15e6
    with zipfile.ZipFile(path) as wheel:
        wheel.extractall(tmp_path / "installed")
    archives = {each.name for each in (tmp_path / "installed/edge_rnn/kernels/shipped").iterdir()}
    assert archives == {each.file for each in SHIPPED[ARCHITECTURE]}
    block = "import sys; sys.modules.update(dict.fromkeys(('numba', 'llvmlite', 'rich', 'onnx')))\n"
    command = block + "from edge_rnn.cli import main; sys.exit(main(sys.argv[1:]))"
    data = tmp_path / "installed/edge_rnn/_devices/smart_watch"
    env = environment() | {"PYTHONPATH": str(tmp_path / "installed"), "PATH": "", "HOME": str(tmp_path / "home")}
    env = {name: value for name, value in env.items() if name not in ("EDGE_RNN_CACHE_DIR", "XDG_CACHE_HOME")}
    for words, said in (
        (["demo"], "40 of 40 recordings by majority vote"),
        (["run", str(data / "gru.safetensors"), str(data / "recording.csv")], "399,Walking,"),
        (["doctor"], f"shipped kernels {best_target().name}"),
        (["warm-up", str(data / "gru.safetensors")], "models run by the shipped kernels"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", command, *words], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert said in re.sub(" +", " ", done.stdout)
    assert not (tmp_path / "home").exists()
