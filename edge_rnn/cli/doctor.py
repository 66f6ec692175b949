"""``edge-rnn doctor``: report what this machine is and what can run on it."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from typing import Any

from edge_rnn.spelling import counted

__all__ = ["add"]

_EPILOG = """\
Exit code 1 if this machine cannot run any model.

examples:
  edge-rnn doctor
  edge-rnn doctor --json | jq .cache
"""

_RUN = "run models"
_COMPILE = "compile kernels (other layers, faster steps)"
_COMPILER, _JIT = ("llvmlite", "numba"), "edge-rnn[jit]"
_EXTRA = re.compile(r"\[([a-z,]+)\]")
_ABLE: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (_COMPILE, _COMPILER, _JIT),
    ("import from PyTorch .safetensors", ("numpy", "safetensors"), "edge-rnn"),
    ("import from PyTorch .pt", ("torch",), "edge-rnn[train]"),
    ("export to ONNX, and demo's comparison", ("onnx", "onnxruntime"), "edge-rnn[export]"),
    ("draw pictures (demo --plot)", ("matplotlib",), "edge-rnn[plot]"),
    ("load models from the Hugging Face Hub", ("huggingface_hub",), "edge-rnn[hub]"),
)
"""Features and their packages, apart from running models and from those of sources and sinks."""


def add(subparsers: Any) -> None:
    """Add ``doctor``."""
    parser = subparsers.add_parser(
        "doctor",
        help="check this machine and the installation",
        description="Report processor, versions, the cache of compiled kernels, the way Python calls them, and "
        "which packages are missing for which feature.",
        epilog=_EPILOG,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(func=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    from edge_rnn.cli.shared.console import print_json

    found = _examination()
    if args.json:
        print_json(found)
    else:
        _print(found)
    return 0 if found["able"][_RUN]["possible"] else 1


def _examination() -> dict[str, Any]:
    from edge_rnn import __version__
    from edge_rnn.bench import machine

    packages = machine.packages()
    reason = machine.calls()
    schemes, faults = machine.schemes()
    abilities = [(each.ability, each.packages, each.install) for each in schemes if each.ability]
    shipped = machine.shipped()
    run = (_RUN, ("numpy", "safetensors", *(() if shipped else _COMPILER)), "edge-rnn" if shipped else _JIT)
    found = {
        "version": __version__,
        "python": machine.python(),
        "processor": machine.processor(),
        "cores": machine.cores(),
        "target": machine.target(),
        "shipped_kernels": shipped,
        "fast_calls": not reason,
        "fast_calls_reason": reason,
        "code_memory_reason": machine.code_memory(),
        "cache": machine.cache(),
        "packages": packages,
        "able": {what: _able(packages, needs, install) for what, needs, install in (run, *_ABLE, *abilities)},
        "faults": faults,
    }
    return found | {"advice": _advice(found)}


def _able(packages: Mapping[str, str | None], needs: tuple[str, ...], install: str) -> dict[str, Any]:
    missing = [name for name in needs if packages.get(name) is None]
    return {"possible": not missing, "missing": missing, "install": f"pip install '{install}'" if missing else ""}


def _advice(found: Mapping[str, Any]) -> list[str]:
    """Say what to do next: first what keeps models from running, then what makes them slow, then what is optional."""
    able, cache = found["able"], found["cache"]
    if not able[_RUN]["possible"]:
        missing = ", ".join(able[_RUN]["missing"])
        return [f"No model can run without {missing}: {able[_RUN]['install']}, in the environment of {sys.executable}."]
    if found["code_memory_reason"]:
        return [f"No model can run: {found['code_memory_reason']}"]
    advice = []
    if not cache["writable"]:
        advice.append("Set EDGE_RNN_CACHE_DIR to a folder that only you can write to: kernels are then compiled once.")
    if cache["not_own"]:
        advice.append(f"Delete the folder {cache['path']}: others own or can modify files in it.")
    if not found["fast_calls"]:
        advice.append(f"Calls from Python take the plain path, which is slower: {found['fast_calls_reason']}.")
    if found["faults"]:
        advice.append("Mend or uninstall the plug-ins above, which do not load.")
    extras = ",".join(sorted({extra for each in able.values() for extra in _EXTRA.findall(each["install"])}))
    if extras:
        advice.append(f"If you need what is missing above: pip install 'edge-rnn[{extras}]'.")
    ahead = "; run edge-rnn warm-up MODEL before a model's first use on a device"
    advice.append(f"Models run. Try edge-rnn demo{ahead if able[_COMPILE]['possible'] else ''}.")
    return advice


def _kept(cache: Mapping[str, Any]) -> str:
    """Describe whether compiled kernels can be cached, and if not, why."""
    if not cache["writable"]:
        cause = "not writable" if cache["trusted"] else "not trusted"
        return (
            f"{cause}: {cache['reason']}. Every process compiles again; set EDGE_RNN_CACHE_DIR to a folder that only "
            f"you can write to"
        )
    if cache["not_own"]:
        return f"writable; {cache['not_own']} of the files are not trusted, because others own or may modify them"
    return "writable"


def _print(found: dict[str, Any]) -> None:
    from edge_rnn.cli.shared.console import make_console, print_facts, say, spell_bytes

    target, cache = found["target"], found["cache"]
    console = make_console()
    facts = {
        "edge-rnn": found["version"],
        "Python": found["python"],
        "processor": f"{found['processor']}, {found['cores']} usable",
        "compiled for": target["reason"]
        or f"{target['triple']}, {target['cpu']}, blocks of {counted(target['block'], 'vector')}",
        "shipped kernels": found["shipped_kernels"] or "none",
        "features": " ".join(target["features"]) or "none detected",
        "step from Python": "fast path" if found["fast_calls"] else f"plain path: {found['fast_calls_reason']}",
        "kernel cache": f"{cache['path']}, {counted(cache['files'], 'file')}, {spell_bytes(cache['bytes'])}, "
        f"{_kept(cache)}",
        "packages": ", ".join(f"{name} {version}" for name, version in found["packages"].items() if version),
        "not installed": ", ".join(name for name, version in found["packages"].items() if not version) or "nothing",
    }
    print_facts(console, facts)
    console.print()
    rows = []
    for what, able in found["able"].items():
        needed = f"missing {', '.join(able['missing'])}: {able['install']}"
        rows.append((what, "yes" if able["possible"] else needed))
    print_facts(console, rows)
    for fault in found["faults"]:
        console.print()
        say(fault)
    console.print()
    print_facts(console, [("what to do" if not i else "", advice) for i, advice in enumerate(found["advice"])])
