"""Text files next to a library: header, example, loader and README, filled in for one network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import Any

import edge_rnn
from edge_rnn.boards import Device
from edge_rnn.printable import printable
from edge_rnn.spelling import counted

__all__ = ["as_comment", "as_markdown", "hwcap", "sources"]

_HWCAP = {
    "aarch64": {"asimd": 1, "asimddp": 20, "asimdhp": 10, "fphp": 9, "sve": 22},
    "arm": {"vfp": 6, "neon": 12, "vfpv3": 13, "vfpv4": 16, "idiva": 17, "asimddp": 24},
}
"""Bits of AT_HWCAP by word of /proc/cpuinfo: Linux, arch/arm64/include/uapi/asm/hwcap.h and arch/arm/…."""

_COMPILERS = {
    "aarch64": "aarch64-linux-gnu-gcc",
    "armv": "arm-linux-gnueabihf-gcc",
    "thumb": "arm-none-eabi-gcc",
    "riscv64": "riscv64-linux-gnu-gcc",
}


def sources(board: Device, name: str, meta: Mapping[str, Any], *, is_library: bool) -> dict[str, str]:
    """Fill in the text files, by name.

    Parameters
    ----------
    board
        Board that the network was built for.
    name
        Prefix of C names and files.
    meta
        See :func:`~edge_rnn_export.build`.
    is_library
        True for a shared library, False for an object file.
    """
    values = _values(board, name, meta)
    if board.output == "wasm":
        return {f"{name}.mjs": _filled("loader.mjs", values), "README.md": _filled("README_wasm.md", values)}
    header = {f"{name}.h": _filled("network.h", values)}
    if board.output == "static":
        return header | {
            "example.c": _filled("example_bare.c", values),
            "Makefile": _filled("Makefile_bare", values),
            "README.md": _filled("README_bare.md", values),
        }
    example = {"example.c": _filled("example.c", values), "Makefile": _filled("Makefile", values)}
    loader = {f"{name}.py": _text("loader.py")} if is_library else {}
    return header | example | loader | {"README.md": _filled("README_shared.md", values)}


def _text(template: str) -> str:
    return (files("edge_rnn_export.building") / "templates" / template).read_text(encoding="utf-8")


def _filled(template: str, values: Mapping[str, Any]) -> str:
    spelled = as_markdown if template.endswith(".md") else as_comment
    words = {key: spelled(values[key]) for key in ("title", "device")}
    table = "\n".join(f"| {title} | {spelled(text)} |" for title, text in values["rows"].items() if text)
    return Template(_text(template)).substitute({**values, **words, "table": table})


def _values(board: Device, name: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    shape = f"{counted(meta['input_size'], 'input')}, {counted(meta['output_size'], 'output')}"
    if meta["sample_rate_hz"]:
        shape += f", {meta['sample_rate_hz']:g} Hz"
    rows = {
        "Weights": f"{counted(meta['weight_bytes'], 'byte')}",
        "State": f"{counted(meta['state_bytes'], 'byte')} per sequence",
        "Inputs": ", ".join(_with_units(meta)),
        "Outputs": ", ".join(meta["labels"]),
        "Compiled for": f"{meta['triple']}, {meta['cpu']}",
        "Needs": ", ".join(meta["cpuinfo"]),
        "Fingerprint": meta["fingerprint"][:16],
    }
    triple = board.triple
    prefix = next((text for start, text in _COMPILERS.items() if triple.startswith(start)), "gcc")
    return {
        **meta,
        "NAME": name.upper(),
        "name": name,
        "title": meta["title"] or name,
        "shape": shape,
        "version": edge_rnn.__version__,
        "hwcap": hex(sum(1 << bit for bit in meta["hwcap"].values())),
        "test_steps": len(meta["test"]["xs"]),
        "rows": rows,
        "sample": str([round(value, 3) for value in meta["test"]["xs"][0]]),
        "compiler": prefix,
        "flags": f"-mcpu={board.cpu} -mthumb -mfloat-abi={board.float_abi}" if triple.startswith("thumb") else "",
    }


def as_comment(text: str) -> str:
    """Escape untrusted text for a C comment: it cannot end the comment or join its line with the next."""
    plain = printable(text).replace("??", "? ?").replace("*/", "* /").replace("/*", "/ *")
    return f"{plain} ." if plain.endswith("\\") else plain


def as_markdown(text: str) -> str:
    """Escape untrusted text for Markdown and its tables: no links, tags or extra cells."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&$])", r"\\\1", printable(text))


def hwcap(board: Device) -> dict[str, int]:
    """AT_HWCAP bits, by name, that a board's build requires, as far as Linux defines any."""
    bits = next((bits for start, bits in _HWCAP.items() if board.triple.startswith(start)), {})
    return {word: bit for word, bit in bits.items() if word in board.hwcaps}


def _with_units(meta: Mapping[str, Any]) -> list[str]:
    names, units = meta["input_names"], meta["input_units"]
    if not names or not units:
        return list(names or units)
    return [f"{name} ({unit})" for name, unit in zip(names, units, strict=True)]
