"""Facts that the target CPU depends on, found without a compiler."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from edge_rnn.errors import CompileError
from edge_rnn.kernels.compile import target
from edge_rnn.kernels.compile.target import host_facts
from edge_rnn.kernels.entry import object_cache

X86 = """\
processor\t: {number}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R)
stepping\t: 8
cpu MHz\t\t: {mhz}
core id\t\t: {number}
flags\t\t: fpu sse2 avx2{more}
bogomips\t: {mhz}

"""
ARM = """\
processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd {more}
CPU implementer\t: 0x41
CPU part\t: {part}

"""
RISCV = """\
processor\t: {number}
hart\t\t: {number}
isa\t\t: rv64imafdc
uarch\t\t: {uarch}

"""

Describe = Callable[[str], str]


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> Describe:
    """Function that returns the facts of a machine with this /proc/cpuinfo."""
    monkeypatch.delenv("NUMBA_CPU_NAME", raising=False)
    monkeypatch.delenv("NUMBA_CPU_FEATURES", raising=False)

    def described(text: str) -> str:
        monkeypatch.setattr(target, "cpuinfo", lambda: iter(text.splitlines(keepends=True)))
        return host_facts()

    return described


def x86(mhz: int = 2000, more: str = "", others: str = "") -> str:
    return X86.format(number=0, mhz=mhz, more=more) + X86.format(number=1, mhz=mhz + 1, more=others)


def test_facts_are_those_of_the_processor_and_not_of_the_moment(described: Describe) -> None:
    assert described(x86()) == described(x86(3500)) == described(x86(others=" seen later"))
    assert described(x86()) != described(x86(more=" avx512f"))
    assert described(x86()) != described(x86().replace("143", "144"))


def test_every_core_of_an_arm_processor_counts(described: Describe) -> None:
    little, big = (ARM.format(number=0, part=part, more="crc32") for part in ("0xd03", "0xd08"))
    assert described(little + big) == described(big + little) == described(little * 2 + big)
    assert len({described(text) for text in (little, big, little + big, little + big.replace("crc32", "asimddp"))}) == 4


def test_riscv_processors_differ_by_their_kind(described: Describe) -> None:
    one, other = (RISCV.format(number=0, uarch=uarch) for uarch in ("sifive,u74-mc", "sifive,u54"))
    assert described(one) == described(one.replace(": 0", ": 1")) != described(other)


@pytest.mark.parametrize("text", ["", "processor\t: 0\n\n"])
def test_processor_that_the_system_does_not_describe_has_no_facts(described: Describe, text: str) -> None:
    assert described(text) == ""


@pytest.mark.parametrize("variable", ["NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"])
def test_overrides_are_facts(described: Describe, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = described(x86())
    monkeypatch.setenv(variable, "generic")
    assert host_facts() != before


def test_remembered_processor_is_the_one_that_llvm_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(object_cache.CACHE_VARIABLE, str(tmp_path))
    found = target.host()
    assert [object_cache.host.__wrapped__() for _ in range(2)] == [found, found]
    assert len([*tmp_path.iterdir()]) == 1
    monkeypatch.setattr(target, "host", lambda: pytest.fail("asks LLVM again"))
    assert object_cache.host.__wrapped__() == found


def test_processor_without_facts_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(object_cache.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(target, "host_facts", lambda: "")
    assert object_cache.host.__wrapped__() == target.host()
    assert not [*tmp_path.iterdir()]


def test_version_of_the_compiler_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version("llvmlite")
    assert version in object_cache._llvmlite.__wrapped__()
    elsewhere = ModuleSpec("llvmlite", None, origin=str(tmp_path / "__init__.py"))  # without a file of its version
    monkeypatch.setattr("importlib.util.find_spec", lambda name: elsewhere)
    assert object_cache._llvmlite.__wrapped__() == version


def test_missing_compiler_is_an_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_cache, "_llvmlite", lambda: "")
    message = r"^Kernels have to be compiled, but llvmlite is not installed: pip install 'edge-rnn\[jit\]'\.$"
    with pytest.raises(CompileError, match=message):
        object_cache.host.__wrapped__()


def test_version_of_a_missing_compiler_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert object_cache._llvmlite.__wrapped__() == ""
