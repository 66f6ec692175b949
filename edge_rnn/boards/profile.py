"""Board profile ``devices/<board>/device.toml``, read and validated key by key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from edge_rnn.errors import FileError, file_access

if TYPE_CHECKING:
    from edge_rnn.kernels.compile.target import Target

__all__ = ["KINDS", "OUTPUTS", "Device", "Figure", "read"]

KINDS = ("measured", "data sheet", "estimated")
"""Origin of a figure, the most reliable first."""

OUTPUTS = ("shared", "static", "wasm")
"""Build outputs: a shared library, an object file for a program without an OS, or a WebAssembly module."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Figure about a board, with its origin.

    Parameters
    ----------
    value
        The number, in the unit that its name states. 0 for something that the board does not have.
    kind
        ``"measured"``, ``"data sheet"`` or ``"estimated"``.
    source
        Source: a document, a measurement, or the basis of an estimate.
    """

    value: float
    kind: str
    source: str


@dataclass(frozen=True, slots=True)
class Device:
    """Board and its processor.

    Parameters
    ----------
    name
        Name of its folder, such as ``"raspberry_pi_4"``.
    title
        Product name.
    triple, cpu, features, abi
        Compilation target in LLVM's notation; ``abi`` is empty if the triple implies it.
    float_abi
        Passing of float arguments: ``"hard"`` in float registers, ``"soft"`` in integer registers.
    bits
        Address width: 32 or 64.
    has_double
        True if the processor has double-precision arithmetic in hardware.
    out_of_order
        True if the processor executes out of order, in particular while it waits for data.
    output
        Kind of build: ``"shared"``, ``"static"`` or ``"wasm"``.
    python
        Oldest Python that edge_rnn supports on a common system for the board, such as ``"3.11"``; empty if there is
        none.
    numba
        True if PyPI has a Numba wheel for the board; otherwise only built libraries run.
    hwcaps
        Words of ``/proc/cpuinfo`` required for those ``features`` that not every processor of the kind has.
    machine_model
        Most similar processor with a pipeline model in ``llvm-mca``; empty if there is none.
    models
        Prefixes of ``/proc/device-tree/model`` on this board; empty if the board has no such file.
    clock_hz, cores, l1d_bytes, l2_bytes, l3_bytes, ram_bytes, page_bytes
        Highest sustained clock rate; sizes as seen by a single core; RAM of the smallest variant.
    flash_bytes
        Flash for program and weights on a board without an operating system; 0 on a board with one.
    register_bits, loads_per_cycle, fma_per_cycle, issue_width
        Per core: width of a float register, and number of loads, multiply-adds and instructions of any kind issued per
        cycle.
    l2_bytes_per_cycle, l3_bytes_per_cycle, ram_bytes_per_second
        Sequential read rate of one core from each memory. Flash counts as RAM.
    figures
        The numbers above by name, each with its source.
    """

    name: str
    title: str
    triple: str
    cpu: str
    features: str
    abi: str
    float_abi: Literal["hard", "soft"]
    bits: int
    has_double: bool
    out_of_order: bool
    output: Literal["shared", "static", "wasm"]
    python: str
    numba: bool
    hwcaps: tuple[str, ...]
    machine_model: str
    models: tuple[str, ...]
    clock_hz: float
    cores: int
    l1d_bytes: int
    l2_bytes: int
    l3_bytes: int
    ram_bytes: int
    flash_bytes: int
    page_bytes: int
    register_bits: int
    loads_per_cycle: float
    fma_per_cycle: float
    issue_width: float
    l2_bytes_per_cycle: float
    l3_bytes_per_cycle: float
    ram_bytes_per_second: float
    figures: Mapping[str, Figure] = field(repr=False, hash=False)

    @property
    def target(self) -> Target:
        """Compilation target."""
        from edge_rnn.kernels.compile.target import Target

        return Target(self.triple, self.cpu, self.features, self.abi)


_NUMBERS = {"int": (int,), "float": (int, float)}
_TYPES = {"str": str, "bool": bool, "int": int}
_CHOICES = {"float_abi": ("hard", "soft"), "output": OUTPUTS, "bits": (32, 64)}
_FIRST_FIGURE = "clock_hz"


def read(path: Path) -> Device:
    """Read a profile from a file; the board's name is that of the folder.

    Raises
    ------
    FileError
        The file cannot be read, is not TOML, or a key is missing, unknown or of the wrong type.
    """
    with file_access(path):
        data = path.read_bytes()
    try:
        table = tomllib.loads(data.decode())
    except ValueError as error:  # TOML and UTF-8 errors are ValueErrors
        raise FileError(f"{path}: is not a TOML file: {error}.") from error
    names = [each.name for each in fields(Device)]
    kinds = {each.name: str(each.type) for each in fields(Device)}
    split = names.index(_FIRST_FIGURE)
    of_text, of_figures = names[1:split], names[split:-1]
    _check_keys(path, table, [*of_text, "figures"], "")
    values = {name: _plain(path, name, kinds[name], table[name]) for name in of_text}
    _need(path, "figures", isinstance(table["figures"], dict), table["figures"], "a table")
    _check_keys(path, table["figures"], of_figures, "figures.")
    figures = {name: _figure(path, name, kinds[name], table["figures"][name]) for name in of_figures}
    numbers: dict[str, Any] = {name: figure.value for name, figure in figures.items()}
    return Device(name=path.parent.name, **values, **numbers, figures=MappingProxyType(figures))


def _check_keys(path: Path, table: Mapping[str, Any], expected: list[str], prefix: str) -> None:
    missing = [name for name in expected if name not in table]
    unknown = [name for name in table if name not in expected]
    if missing:
        raise FileError(f"{path} is missing the key {prefix}{missing[0]}; every profile has {', '.join(expected)}.")
    if unknown:
        raise FileError(f"{path} has the unknown key {prefix}{unknown[0]}; expected only {', '.join(expected)}.")


def _plain(path: Path, name: str, kind: str, value: Any) -> Any:
    choices = _CHOICES.get(name)
    if choices:
        _need(path, name, value in choices and type(value) is type(choices[0]), value, f"one of {_listed(choices)}")
        return value
    if kind.startswith("tuple"):
        right = isinstance(value, list) and all(isinstance(each, str) for each in value)
        _need(path, name, right, value, "a list of strings")
        return tuple(value)
    type_ = _TYPES[kind]
    _need(path, name, type(value) is type_, value, {"str": "a string", "bool": "true or false"}.get(kind, kind))
    return value


def _figure(path: Path, name: str, kind: str, value: Any) -> Figure:
    where = f"figures.{name}"
    _need(path, where, isinstance(value, dict), value, "a table of value, kind and source")
    _check_keys(path, value, ["value", "kind", "source"], f"{where}.")
    number = value["value"]
    right = type(number) in _NUMBERS[kind] and 0 <= number < float("inf")
    _need(
        path,
        f"{where}.value",
        right,
        number,
        "a whole number of 0 or more" if kind == "int" else "a number of 0 or more",
    )
    _need(path, f"{where}.kind", value["kind"] in KINDS, value["kind"], f"one of {_listed(KINDS)}")
    named = isinstance(value["source"], str) and bool(value["source"].strip())
    _need(path, f"{where}.source", named, value["source"], "a non-empty string")
    return Figure(number, value["kind"], value["source"])


def _need(path: Path, name: str, right: bool, got: Any, expected: str) -> None:
    if not right:
        raise FileError(f"{path}: {name} is {got!r}, expected {expected}.")


def _listed(choices: tuple[Any, ...]) -> str:
    return ", ".join(map(repr, choices))
