"""Linker of relocatable objects to an image that needs no dynamic linker: no addresses, no writable data.

It runs when code has just been compiled. Placing an image later is only a matter of copying it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_rnn.errors import CompileError
from edge_rnn.kernels.compile.elf import Object, Relocation, Section, Symbol, read_object
from edge_rnn.kernels.compile.image import Image
from edge_rnn.kernels.compile.relocations import MACHINES, Machine
from edge_rnn.kernels.compile.target import Target

__all__ = ["link", "machine_of"]

_CONTENTS, _NOBITS = 1, 8  # section types
_WRITE, _ALLOCATED, _EXECUTABLE, _TLS = 1, 2, 4, 0x400
_OBJECT_ALIGN = 64
_MOST_ALIGN = 4096


def link(objects: Sequence[bytes], target: Target) -> Image:
    """Link relocatable objects, which may refer to each other's functions.

    Parameters
    ----------
    objects
        ELF objects, as :func:`edge_rnn.kernels.compile.compiler.compile_object` returns them.
    target
        CPU that they were compiled for.

    Raises
    ------
    CompileError
        Code would depend on the address that it is placed at or on something outside, or would have data of its own
        that it writes to.
    """
    machine = machine_of(target)
    files = [read_object(data) for data in objects]
    for file in files:
        if file.machine != machine.number:
            raise CompileError(f"Expected code for {target.triple}, got an object of ELF machine {file.machine}.")
    code = bytearray()
    places = [_lay_out(code, file) for file in files]
    symbols = _exported(files, places)
    for file, starts in zip(files, places, strict=True):
        _relocate(code, machine, file, starts, symbols)
    return Image(bytes(code), symbols)


def machine_of(target: Target) -> Machine:
    """Machine of a CPU.

    Raises
    ------
    CompileError
        Code for this machine cannot be linked here.
    """
    architecture = target.triple.partition("-")[0]
    if architecture.startswith(("armv6", "armv7", "armv8")):
        architecture = "arm"
    try:
        return MACHINES[architecture]
    except KeyError:
        raise CompileError(
            f"Code for {target.triple} cannot be loaded by Python; expected one of {', '.join(MACHINES)}."
        ) from None


def _is_kept(section: Section) -> bool:
    """Return True for code and constants; unwinding tables and notes are left out, since nothing here reads them."""
    if not section.flags & _ALLOCATED or not section.size or section.name.startswith(".eh_frame"):
        return False
    if section.flags & (_WRITE | _TLS) or section.kind == _NOBITS:
        raise CompileError(f"Compiled code has writable data (section {section.name}), expected none.")
    return section.kind == _CONTENTS


def _lay_out(code: bytearray, file: Object) -> dict[int, int]:
    """Append the sections of an object, code first; return their offsets by number."""
    kept = [number for number, each in enumerate(file.sections) if _is_kept(each)]
    kept.sort(key=lambda number: not file.sections[number].flags & _EXECUTABLE)
    code.extend(bytes(-len(code) % _OBJECT_ALIGN))
    starts = {}
    for number in kept:
        section = file.sections[number]
        if section.align > _MOST_ALIGN:
            raise CompileError(f"Section {section.name} is aligned to {section.align} bytes, expected at most 4096.")
        code.extend(bytes(-len(code) % section.align))
        starts[number] = len(code)
        code.extend(section.data)
    return starts


def _exported(files: Sequence[Object], places: Sequence[Mapping[int, int]]) -> dict[str, int]:
    symbols: dict[str, int] = {}
    for file, starts in zip(files, places, strict=True):
        for symbol in file.symbols:
            if symbol.is_exported and symbol.section in starts:
                if symbol.name in symbols:
                    raise CompileError(f"Two objects define {symbol.name}, expected one.")
                symbols[symbol.name] = starts[symbol.section] + symbol.value
    return symbols


def _relocate(
    code: bytearray, machine: Machine, file: Object, starts: Mapping[int, int], symbols: Mapping[str, int]
) -> None:
    highs = {}  # target of the relocation at a place, for the low part that refers to it
    low_parts = []
    for each in file.relocations:
        if each.section not in starts:
            continue
        if each.kind in machine.low_parts:
            low_parts.append(each)
            continue
        place = starts[each.section] + each.offset
        highs[place] = _apply(code, machine, file, each, place, _value(file, each, starts, symbols))
    for each in low_parts:
        place, high = starts[each.section] + each.offset, _value(file, each, starts, symbols)
        if high not in highs:
            raise CompileError(f"The low part of an address at {place} has no high part at {high}.")
        _apply(code, machine, file, each, place, highs[high] - high)


def _value(file: Object, relocation: Relocation, starts: Mapping[int, int], symbols: Mapping[str, int]) -> int:
    symbol = file.symbols[relocation.symbol]
    if symbol.section in starts:
        return starts[symbol.section] + symbol.value
    if not symbol.section and symbol.name in symbols:
        return symbols[symbol.name]
    raise CompileError(f"Compiled code refers to {_named(file, symbol)}, expected no references to the outside.")


def _named(file: Object, symbol: Symbol) -> str:
    return symbol.name or (file.sections[symbol.section].name if symbol.section else "an address")


def _apply(code: bytearray, machine: Machine, file: Object, relocation: Relocation, place: int, value: int) -> int:
    """Patch one place; return the target that it refers to."""
    patch = machine.patches.get(relocation.kind)
    if patch is None:
        named = _named(file, file.symbols[relocation.symbol])
        raise CompileError(
            f"Compiled code refers to {named} by relocation {relocation.kind} of ELF machine {machine.number}; "
            f"expected one of {', '.join(each.name for each in machine.patches.values())}."
        )
    addend = relocation.addend
    if addend is None:
        addend = patch.addend(code, place) if patch.addend else 0
    try:
        patch.write(code, place, value + addend)
    except OverflowError as error:
        raise CompileError(f"{patch.name} at {place} cannot be applied: {error}.") from error
    return value + addend
