"""Builder: from a Model and a board to a folder with everything that a program on the board needs."""

from __future__ import annotations

import json
import keyword
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import edge_rnn
from edge_rnn import boards as devices
from edge_rnn.boards import Device
from edge_rnn.errors import InputError, file_access
from edge_rnn.kernels.standalone.c_layout import STATE_ALIGNMENT_BYTES, Layout
from edge_rnn.kernels.standalone.c_library import FUNCTIONS, compile_library
from edge_rnn.model import Model
from edge_rnn_export.building.gate import check_elf, check_module
from edge_rnn_export.building.link import INSTALL, linker_for, shared_library, wasm_module
from edge_rnn_export.building.network import SelfTest, layout_of, self_test
from edge_rnn_export.building.sources import hwcap, sources

__all__ = ["Built", "build", "identifier_of"]


@dataclass(frozen=True, slots=True)
class Built:
    """Result of a build.

    Parameters
    ----------
    folder
        Output folder.
    files
        Size of each file in bytes, by name.
    meta
        Contents of the JSON file next to the library.
    note
        Sentence about what is missing; empty if nothing is.
    """

    folder: Path
    files: Mapping[str, int]
    meta: Mapping[str, Any]
    note: str


def build(model: Model, device: str | Device, output: str | os.PathLike[str], *, name: str = "") -> Built:
    """Compile a model for a board, check the result, and write it to a folder.

    Parameters
    ----------
    model
        Float32, or in any format that ``quantize`` or ``shrink`` produces.
    device
        Name of a board, see ``edge-rnn devices``, or its profile.
    output
        Output folder, created if necessary; files of an earlier build are replaced.
    name
        Prefix of C names and files: a C identifier. Empty: derived from the model's name.

    Returns
    -------
    Built
        A shared library for a board with Linux, an object file for one without an operating system, or a wasm module;
        each with a C header (or a JavaScript loader), an example, a README, and a JSON file with sizes, hashes,
        versions and the samples of the self-test.

    Raises
    ------
    InputError
        The name is not a C identifier, or the board is unknown.
    CompileError
        The code fails a check; nothing is written.
    UnsupportedError
        A layer has no kernel, or a package of the extra ``cross`` is missing.
    FileError
        The folder cannot be written.
    """
    board = devices.load(device) if isinstance(device, str) else device
    name = _checked(name) if name else identifier_of(model.name)
    test = self_test(model)
    layout = layout_of(model, board.target, test)
    meta = _meta(model, board, name, layout)
    with tempfile.TemporaryDirectory(prefix="edge_rnn-") as aside:
        place = Path(aside)
        binary, note = _compiled(board, name, layout, meta, place)
        objects = [] if board.output == "wasm" and not note else [f"{name}.o"]
        data = {file: (place / file).read_bytes() for file in dict.fromkeys([binary, *objects])}
    whole = {
        **meta,
        "library": binary,
        "test": _as_lists(test),
        "sha256": {f: sha256(d).hexdigest() for f, d in data.items()},
    }
    texts = sources(board, name, whole, is_library=not note)
    data |= {file: text.encode() for file, text in texts.items()}
    whole["files"] = [*data, f"{name}.json"]
    data[f"{name}.json"] = (json.dumps(whole, indent=1) + "\n").encode()  # last: it declares the others complete
    folder = Path(output)
    before = _files_of(folder / f"{name}.json") & _names_of(name)
    _write(folder, data)
    for file in (
        before - data.keys()
    ):  # for example a library, if no linker was found this time: it would not match the new files
        (folder / file).unlink(missing_ok=True)
    return Built(folder, {file: len(content) for file, content in data.items()}, whole, note)


def identifier_of(text: str) -> str:
    """Make a C identifier from a name or title: lower-case letters, digits, ``_``."""
    made = re.sub(r"\W+", "_", text.lower(), flags=re.ASCII).strip("_")[:40]
    return made if made[:1].isalpha() and not _is_taken(made) else f"network_{made}".rstrip("_")


def _checked(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name):
        raise InputError(
            f"build name got {name!r}, expected a C identifier of at most 64 characters that begins with a letter."
        )
    if _is_taken(name):
        raise InputError(
            f"build name got {name!r}, which is reserved by Python, so its loader could not be imported; use "
            "another name."
        )
    return name


def _is_taken(name: str) -> bool:
    """True if a Python file of this name could not be imported, or would shadow a standard module."""
    return keyword.iskeyword(name) or name in sys.stdlib_module_names


def _meta(model: Model, board: Device, name: str, layout: Layout) -> dict[str, Any]:
    """Metadata of the network and its build, without hashes and the self-test."""
    target = board.target
    architecture = target.triple.partition("-")[0]
    return {
        "name": name,
        "title": model.name,
        "device": board.title,
        "triple": target.triple,
        "cpu": target.cpu,
        "features": target.features,
        "machines": list(_MACHINES.get(re.sub(r"^(arm|thumb).*", "arm", architecture), (architecture,))),
        "cpuinfo": list(board.hwcaps),
        "hwcap": hwcap(board),
        "fingerprint": model.fingerprint,
        "labels": list(model.labels),
        "sample_rate_hz": model.sample_rate_hz,
        "input_names": list(model.input_names),
        "input_units": list(model.input_units),
        "input_size": model.input_size,
        "output_size": model.output_size,
        "state_bytes": layout.state_bytes,
        "state_alignment": STATE_ALIGNMENT_BYTES,
        "saved_floats": layout.kept_floats,
        "weight_bytes": layout.weights.nbytes,
        "versions": {"edge_rnn": edge_rnn.__version__, "numba": version("numba"), "llvmlite": version("llvmlite")},
    }


_MACHINES = {
    "arm": ("armv6l", "armv7l", "armv8l", "aarch64"),
    "x86_64": ("x86_64", "AMD64"),
    "aarch64": ("aarch64", "arm64"),
}
"""Values of ``uname -m`` on machines that run an architecture's code; a 64-bit kernel may run 32-bit programs."""


def _compiled(board: Device, name: str, layout: Layout, meta: Mapping[str, Any], place: Path) -> tuple[str, str]:
    """Compile and link in a folder; return the file name, and a note about what is missing."""
    target = board.target
    texts = {f"{name}_meta": json.dumps({key: value for key, value in meta.items() if value})}
    exports = (*(f"{name}_{function}" for function in FUNCTIONS), *texts)
    module, code = compile_library(name, layout, texts, target)
    check_module(module)
    source = place / f"{name}.o"
    source.write_bytes(code)
    if board.output != "wasm":
        check_elf(code, target, {*exports})
    if board.output == "static":
        return source.name, ""
    linker = linker_for(target)
    if not linker:
        return (
            source.name,
            f"no linker for {board.title} was found, so the result is an object file; {INSTALL} installs one.",
        )
    if board.output == "wasm":
        wasm_module(linker, source, place / f"{name}.wasm", exports)
        return f"{name}.wasm", ""
    library = place / f"lib{name}.so"
    shared_library(target, linker, source, library, library.name)
    check_elf(library.read_bytes(), target, {*exports})
    return library.name, ""


def _as_lists(test: SelfTest) -> dict[str, Any]:
    return {"xs": test.xs.tolist(), "ys": test.ys.tolist(), "tolerance": test.tolerance}


def _files_of(path: Path) -> set[str]:
    """Names of the files of an earlier build, from its JSON; empty if there is no readable one."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {file for file in told if file == Path(file).name and file not in (".", "..")}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _names_of(name: str) -> set[str]:
    """All files that a build may write; other names in a modified JSON file are never removed."""
    own = {f"{name}.{ending}" for ending in ("o", "h", "py", "wasm", "mjs")}
    return own | {f"lib{name}.so", "example.c", "Makefile", "README.md"}


def _write(folder: Path, data: Mapping[str, bytes]) -> None:
    """Write each file atomically; the last one declares the others complete."""
    from edge_rnn import atomic

    with file_access(folder, "cannot be created"):
        folder.mkdir(parents=True, exist_ok=True)
    for file, content in data.items():
        atomic.write(folder / file, content)
