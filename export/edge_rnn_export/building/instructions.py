"""Check of a library's instructions against those of its processor."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from edge_rnn.errors import UnsupportedError
from edge_rnn.kernels.compile.target import Target
from edge_rnn_export.building.link import INSTALL

__all__ = ["check_instructions"]

# By architecture and LLVM feature: pattern of instructions (mnemonic and operands) that need it.
_NEEDS: dict[str, dict[str, str]] = {
    "aarch64": {
        "dotprod": r"[su]dot\b",
        "i8mm": r"(us|su)dot\b|[us]mmla\b|usmmla\b",
        "bf16": r"bf\w+\b",
        "fp16fml": r"fml[as]l2?\b",
        "fullfp16": r"f(?!cvt)\w+ (?:v\d+\.[48]h|h\d+), (?:v\d+\.[48]h|h\d+)",
        "rdm": r"sqrdml[as]h\b",
        "lse": r"(cas|swp|ldadd|ldclr|ldeor|ldset|stadd)\w*\b",
        "sve": r".*\b[zp]\d+\.[bhsd]\b",
    },
    "arm": {
        "neon": r".*\bq\d+\b|v\w+\.(?:[iusp]\d+|8|16|32|64)\b(?! ?s).*\bd\d+\b|v\w+\.f32 d\d+",
        "vfp4": r"vfn?m[as]\w*\.f32\b",
        "fp64": r"v(?!ldr|str|ldm|stm|push|pop|mov )\w+\.f64\b|vcvt\w*\.f64|vcvt\w*\.\w+\.f64",
        "v6t2": r"(movw|movt|ubfx|sbfx|bfi|bfc|mls|rbit)\b",
        "hwdiv": r"[su]div\b",
        "dotprod": r"v[su]dot\b",
    },
    "x86": {
        "avx": r"v[a-z]\w+\b",
        "avx2": r"(vpmaddwd|vpadd\w|vpmul\w+|vpmovsx\w+|vpbroadcast\w+|vpermd|vpermps|vpermq|vpsll\w|vpsr\w+) ymm",
        "fma": r"vfn?m(add|sub)\w+\b",
        "f16c": r"vcvtp[hs]2p[sh]\b",
        "avx512f": r".*\bzmm\d+|.*\bk[0-7]\b|.*\b[xy]mm(1[6-9]|2\d|3[01])\b",
        "avx512vnni": r"vpdpbusd\b",
        "sse3": r"(haddp|addsubp|movddup|movshdup|movsldup|lddqu)\w*\b",
        "ssse3": r"(pshufb|palignr|phadd\w+|pabs\w|psign\w|pmaddubsw|pmulhrsw)\b",
        "sse4.1": r"(pinsr[bdq]|pextr[bdq]|blendv?p\w|dpp\w|roundp?\w+|insertps|extractps|pmov[sz]x\w+|pmulld|ptest)\b",
    },
    "riscv": {"v": r"v(set|l|s|f|m|add|sub|mul)\w*\.\w+", "zfh": r"f\w+\.h\b", "d": r"f\w+\.d\b(?!.*\.l)|fcvt\.\w+\.d"},
}

# Features that a processor, or a level of x86-64, implies.
_BRINGS = {
    "cortex-a7": ("neon", "vfp4", "hwdiv", "v6t2"),
    "cortex-a8": ("neon", "v6t2"),
    "cortex-a53": ("neon", "vfp4", "hwdiv", "v6t2"),
    "cortex-a72": ("neon", "vfp4", "hwdiv", "v6t2"),
    "cortex-m4": ("vfp4", "hwdiv", "v6t2"),
    "cortex-m7": ("vfp4", "hwdiv", "v6t2"),
    "cortex-m33": ("vfp4", "hwdiv", "v6t2"),
    "x86-64-v2": ("sse3", "ssse3", "sse4.1"),
    "x86-64-v3": ("sse3", "ssse3", "sse4.1", "avx", "avx2", "fma", "f16c"),
    "haswell": ("sse3", "ssse3", "sse4.1", "avx", "avx2", "fma", "f16c"),
    "x86-64-v4": ("sse3", "ssse3", "sse4.1", "avx", "avx2", "fma", "f16c", "avx512f"),
}
_IMPLIED = {
    "avx512vnni": ("avx512f",),
    "avx512f": ("avx2", "fma", "f16c"),
    "avx2": ("avx",),
    "fma": ("avx",),
    "f16c": ("avx",),
    "avx": ("sse3", "ssse3", "sse4.1"),
    "vfp4": (),
}


def check_instructions(code: bytes, target: Target, ranges: Iterable[tuple[int, int]]) -> list[str]:
    """Check machine code for a processor, and return the problems as text; empty if there are none.

    Parameters
    ----------
    code
        A section of instructions.
    target
        The processor.
    ranges
        Ranges (start, end) that are not data.

    Raises
    ------
    UnsupportedError
        capstone is not installed.
    """
    architecture, disassembler = _disassembler(target)
    missing = {
        feature: re.compile(pattern)
        for feature, pattern in {**_NEEDS[architecture], "": r"\.byte\b"}.items()
        if feature not in _features(target)
    }
    if "avx512f" in _features(target):
        missing[""] = re.compile(r"(?!)")  # capstone does not know some of these
    disassembler.skipdata = True  # continue after unknown instructions
    problems: dict[str, str] = {}
    for start, end in ranges:
        for instruction in disassembler.disasm(code[start:end], start):
            text = f"{instruction.mnemonic} {instruction.op_str}".strip()
            for feature, pattern in missing.items():
                if pattern.match(text):
                    needs = f", which needs {feature}" if feature else ", which is invalid"
                    problems.setdefault(feature, f"the instruction {text!r}{needs}")
    return [*problems.values()]


def _features(target: Target) -> set[str]:
    told = [name.removeprefix("+") for name in target.features.split(",") if name.startswith("+")]
    waiting = [*told, *_BRINGS.get(target.cpu, ())]
    have: set[str] = set()
    while waiting:
        feature = waiting.pop()
        if feature not in have:
            have.add(feature)
            waiting += _IMPLIED.get(feature, ())
    return have


def _disassembler(target: Target) -> tuple[str, Any]:
    try:
        import capstone as cs
    except ImportError as error:
        raise UnsupportedError(f"build checks its output with capstone: {INSTALL} ({error}).") from None
    triple = target.triple
    kinds: Sequence[tuple[str, str, int, int]] = (
        ("aarch64", "aarch64", cs.CS_ARCH_ARM64, cs.CS_MODE_ARM),
        ("armv", "arm", cs.CS_ARCH_ARM, cs.CS_MODE_ARM | (cs.CS_MODE_V8 if triple.startswith("armv8") else 0)),
        ("thumb", "arm", cs.CS_ARCH_ARM, cs.CS_MODE_THUMB | cs.CS_MODE_MCLASS),
        ("x86_64", "x86", cs.CS_ARCH_X86, cs.CS_MODE_64),
        ("riscv64", "riscv", cs.CS_ARCH_RISCV, cs.CS_MODE_RISCV64 | cs.CS_MODE_RISCVC),
        ("riscv32", "riscv", cs.CS_ARCH_RISCV, cs.CS_MODE_RISCV32 | cs.CS_MODE_RISCVC),
    )
    for start, name, architecture, mode in kinds:
        if triple.startswith(start):
            return name, cs.Cs(architecture, mode)
    raise UnsupportedError(f"build cannot disassemble {triple}.")
