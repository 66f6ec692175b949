"""Machine code for other CPUs: sums stay in registers in hot loops, and no instruction is too new."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from functools import cache

import pytest

from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry import object_cache
from kernel_names import kernel_named

pytestmark = pytest.mark.sampled(1)

ARM, X86 = "aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"
TARGETS = {
    "cortex-a53": Target(ARM, "cortex-a53", ""),
    "cortex-a72": Target(ARM, "cortex-a72", ""),
    "cortex-a76": Target(ARM, "cortex-a76", ""),
    "x86-64": Target(X86, "x86-64", ""),
    "haswell": Target(X86, "haswell", "+avx2,+fma,+f16c"),
    "sapphirerapids": Target(
        X86, "sapphirerapids", "+avx2,+fma,+f16c,+avx512f,+avx512vl,+avx512bw,+avx512vbmi2,+avx512vnni"
    ),
    "cortex-a76, dotprod": Target(ARM, "cortex-a76", "+dotprod"),
}
FMADD = r"\bvfmadd\d+ps\b"
MULTIPLY_ADD = {"cortex": r"\bfmla\b", "x86-64": r"\bmulps\b", "haswell": FMADD, "sapphirerapids": FMADD}
SPILL = {ARM: r"\b[qv]\d+\b.*\[sp\b", X86: r"%[xyz]mm\d+.*\(%rsp|\(%rsp.*%[xyz]mm\d+"}
TOO_NEW = {
    "cortex": r"\bz\d+\.[bhsd]\b|\b[su]dot\b|\bfmlal\b|\bbfdot\b",  # SVE, and what Armv8.0 lacks
    "cortex, dotprod": r"\bz\d+\.[bhsd]\b|\busdot\b|\bfmlal\b|\bbfdot\b|\bsmmla\b",  # what Armv8.2 need not have
    "x86-64": r"%[yz]mm|\bv\w+ps\b|\bpinsr[bdq]\b|\bblendv?ps\b|\bdpps\b|\broundps\b",  # AVX, SSE4.1
    "haswell": r"%zmm|%k[0-7]\b|%[xy]mm(1[6-9]|2\d|3[01])\b",  # AVX-512
    "sapphirerapids": r"%tmm",  # AMX, whose registers a system has to grant
}

# Multiply-adds of one turn of the widest loop: gates x vectors x chains, or outputs x chains. 16 registers of 4 floats
# hold half as much; registers of 16 floats twice as much, but for dot products, which are of 8.
PER_TURN = {"lstm": 4 * 2, "gru": 3 * 2 * 2, "elman_tanh": 8, "dense_none": 8, "dense_few_none": 4 * 2}
REGISTERS = {"cortex": 2, "haswell": 1, "x86-64": 1, "sapphirerapids": 1}
WHOLE_VECTORS = {"sapphirerapids": {"gru": 3 * 2}}


def pairs(kernels: Iterable[str], cpus: Iterable[str]) -> pytest.MarkDecorator:
    """Each kernel on each CPU."""
    rows = list(itertools.product(kernels, cpus))
    return pytest.mark.parametrize(("kernel", "cpu"), rows)


def family(cpu: str) -> str:
    return "cortex" if cpu.startswith("cortex") else cpu


def too_new(cpu: str) -> str:
    return TOO_NEW["cortex, dotprod" if cpu.endswith("dotprod") else family(cpu)]


@cache
def assembly(kernel: str, cpu: str) -> str:
    return str(object_cache.compile_for(kernel_named(kernel), TARGETS[cpu], "assembly"))


def loops(text: str) -> list[str]:
    """Bodies of the innermost loops: basic blocks that end in a jump to their own label."""
    blocks = re.split(r"^(\.LBB\d+_\d+):", text, flags=re.MULTILINE)
    found = []
    for label, body in zip(blocks[1::2], blocks[2::2], strict=True):
        jump = re.search(rf"^\s+(?:j\w+|b\.\w+|cbn?z|tbn?z)\b.*{re.escape(label)}\b", body, flags=re.MULTILINE)
        if jump:
            found.append(body[: jump.end()])
    return found


def count(pattern: str, text: str) -> int:
    return sum(bool(re.search(pattern, line)) for line in text.splitlines())


@pairs(PER_TURN, TARGETS)
@pytest.mark.slow
def test_sums_stay_in_registers(kernel: str, cpu: str) -> None:
    target, pattern = TARGETS[cpu], MULTIPLY_ADD[family(cpu)]
    hot = [body for body in loops(assembly(kernel, cpu)) if count(pattern, body)]
    expected = WHOLE_VECTORS.get(family(cpu), {}).get(kernel, PER_TURN[kernel] * REGISTERS[family(cpu)])
    assert max(count(pattern, body) for body in hot) == expected
    for body in hot:
        assert count(SPILL[target.triple], body) == 0, body


@pairs(["lstm", "elman_tanh"], ["cortex-a72", "haswell"])
def test_few_spills_outside_the_loops(kernel: str, cpu: str) -> None:
    """Activations between the loops may spill a few values per panel."""
    assert count(SPILL[TARGETS[cpu].triple], assembly(kernel, cpu)) <= 32


# One CPU of each instruction set.
SETS = ("cortex-a72", "cortex-a76, dotprod", "x86-64", "haswell", "sapphirerapids")
PLAIN = ("softmax", "standardize", "add", "copy", "step", "run", "bank")
FORMATTED = ("lstm__int8_int8", "gru__w8a8_int4", "lstm__float16_sparse", "dense_few_none__float16", "quantize16")


@pairs([*PER_TURN, *PLAIN, *FORMATTED], SETS)
def test_no_instruction_beyond_the_cpu(kernel: str, cpu: str) -> None:
    found = [line for line in assembly(kernel, cpu).splitlines() if re.search(too_new(cpu), line)]
    assert not found


# What a sum of integer products is made of, and how many of them one turn of the loop of lstm__int8_int8 holds: gates,
# times registers for the units of a panel, times two byte vectors or 4 rows where there are such.
PRODUCT = {
    "cortex-a53": (r"\bsmlal2?\b", 4 * 4 * 4),
    "cortex-a72": (r"\bsmlal2?\b", 4 * 4 * 4),
    "cortex-a76, dotprod": (r"\bsdot\b", 4 * 2 * 2),
    "x86-64": (r"\bpmaddwd\b", 4 * 2),
    "haswell": (r"\bvpmaddwd\b", 4 * 2),
    "sapphirerapids": (r"\bvpdpbusd\b.*%zmm", 4 * 2 * 2),
}


@pairs(["lstm__int8_int8"], PRODUCT)
def test_integer_sums_stay_in_registers(kernel: str, cpu: str) -> None:
    pattern, expected = PRODUCT[cpu]
    hot = [body for body in loops(assembly(kernel, cpu)) if count(pattern, body)]
    assert max(count(pattern, body) for body in hot) == expected
    for body in hot:
        assert count(SPILL[TARGETS[cpu].triple], body) == 0, body


def test_dot_products_of_bytes_only_where_the_cpu_has_them() -> None:
    assert TARGETS["cortex-a76"].dot == TARGETS["cortex-a53"].dot == "mla"
    assert TARGETS["cortex-a76, dotprod"].dot == "sdot"
    assert TARGETS["haswell"].dot == TARGETS["x86-64"].dot == "pmaddwd"
    assert Target(X86, "alderlake", "+avx2,+avxvnni").dot == "pmaddwd"  # 16 registers do not hold the sums


@pairs(["lstm_x2", "gru_x2", "elman_tanh_x2", "dense_none_x2"], ["cortex-a72", "haswell"])
def test_a_group_of_streams_stays_in_registers(kernel: str, cpu: str) -> None:
    target = TARGETS[cpu]
    assert target.group == 2
    text = assembly(kernel, cpu)
    hot = [body for body in loops(text) if count(MULTIPLY_ADD[family(cpu)], body)]
    assert hot
    for body in hot:
        assert count(SPILL[target.triple], body) == 0, body


@pairs(PER_TURN, SETS)
def test_no_call_leaves_a_kernel(kernel: str, cpu: str) -> None:
    assert not re.search(r"^\s+(?:call\w*|bl)\s+\w", assembly(kernel, cpu), flags=re.MULTILINE)
