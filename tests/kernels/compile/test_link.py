"""The linker: code that refers to its own constants and functions runs anywhere, and other code is refused."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from edge_rnn import boards
from edge_rnn.errors import CompileError
from edge_rnn.kernels.compile.elf import read_object
from edge_rnn.kernels.compile.image import Image
from edge_rnn.kernels.compile.link import link, machine_of
from edge_rnn.kernels.compile.target import Target
from linked_code import LOADS, OTHER, assembled, called

BOARDS = ("generic_x86_64", "raspberry_pi_zero_2w", "raspberry_pi_2", "raspberry_pi_zero_w", "visionfive_2")


def target_of(board: str) -> Target:
    return boards.load(board).target


@cache
def linked(board: str) -> Image:
    target = target_of(board)
    return link([assembled(LOADS, target), assembled(OTHER, target)], target)


def kinds(board: str, text: str = LOADS) -> set[str]:
    target = target_of(board)
    patches, found = machine_of(target).patches, read_object(assembled(text, target))
    return {patches[each.kind].name for each in found.relocations if found.sections[each.section].name == ".text"}


@pytest.mark.parametrize("board", BOARDS)
def test_program_of_the_tests_has_every_relocation_that_is_applied(board: str) -> None:
    assert kinds(board) == {each.name for each in machine_of(target_of(board)).patches.values()}


@pytest.mark.needs("unicorn")
@pytest.mark.parametrize("base", [0x10000, 0x7FFF000])
@pytest.mark.parametrize("board", BOARDS)
def test_linked_code_finds_its_constants_and_functions_wherever_it_is(board: str, base: int) -> None:
    def call(name: str, argument: int = 0) -> int:
        return called(linked(board), target_of(board), base, name, argument)

    assert call("loads") == 11 + 222 + 3333 + 44444 + 1536 + 70000
    assert [call("entry", i) for i in range(8)] == [7, 1, 4, 9, 2, 3, 8, 5]
    assert call("other", 5) == 1005
    assert call("calls", 5) == 3 * 1005
    assert call("jumps", 5) == 1006


@pytest.mark.needs("unicorn")
@pytest.mark.parametrize("board", BOARDS)
def test_distances_of_megabytes_have_all_their_bits(board: str) -> None:
    """Constants and functions some pages and some megabytes apart, before and behind what refers to them."""
    target, rng = target_of(board), np.random.default_rng(8)
    between = [f"@far{n} = constant [{size} x i8] zeroinitializer" for n, size in enumerate((4093, 3_000_001))]
    texts = [LOADS, between[0], OTHER, *between[1:], LOADS.replace("@", "@again_").replace("@again_other", "@other")]
    image = link([assembled(text, target) for text in texts], target)
    assert abs(image.symbols["again_calls"] - image.symbols["other"]) > 3_000_000
    for prefix in ("", "again_"):
        base = int(rng.integers(1, 1000)) * 0x1000
        assert called(image, target, base, f"{prefix}loads") == called(linked(board), target, base, "loads")
        assert called(image, target, base, f"{prefix}entry", 3) == 9
        assert called(image, target, base, f"{prefix}calls", -7) == 3 * 993
        assert called(image, target, base, f"{prefix}jumps", -1000) == 1


@pytest.mark.parametrize("board", BOARDS)
def test_image_has_code_and_constants_alone(board: str) -> None:
    target = target_of(board)
    image, with_tables = linked(board), [text.replace(" nounwind", "") for text in (LOADS, OTHER)]
    unwound = link([assembled(text, target) for text in with_tables], target)
    assert set(image.symbols) == {"loads", "entry", "calls", "jumps", "other"}
    assert unwound == image  # without the tables that an unwinder would read


CONSTRUCTOR = (
    "@llvm.global_ctors = appending global [1 x {i32, ptr, ptr}] [{i32, ptr, ptr} {i32 1, ptr @f, ptr null}]\n"
)
REFUSED = {
    "function": ("declare i32 @abs(i32)\ndefine i32 @f(i32 %i) { %r = call i32 @abs(i32 %i)\n ret i32 %r }", "to abs"),
    "data": (
        "@n = internal global i32 5\ndefine i32 @f() { %r = load volatile i32, ptr @n\n ret i32 %r }",
        r"writable data \(section \.data",
    ),
    "zeros": (
        "@n = internal global i32 0\ndefine void @f(i32 %i) { store volatile i32 %i, ptr @n\n ret void }",
        r"writable data \(section \.bss",
    ),
    "thread": (
        "@n = internal thread_local global i32 5\ndefine i32 @f() { %r = load volatile i32, ptr @n\n ret i32 %r }",
        r"writable data \(section \.tdata",
    ),
    "addresses": (
        "@t = constant [2 x ptr] [ptr @f, ptr @f]\ndefine void @f() { ret void }",
        r"writable data \(section \.data\.rel\.ro",
    ),
    "table of addresses": (
        "define ptr @f() { ret ptr @g }\ndefine void @g() { ret void }",
        "refers to (g|_GLOBAL)",
    ),
    "alignment": ("@n = constant i32 5, align 65536\ndefine void @f() { ret void }", "aligned to 65536 bytes"),
    "constructor": (
        CONSTRUCTOR + "define void @f() { ret void }",
        r"writable data \(section \.(ctors|init_array)",
    ),
}


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED)
def test_code_that_could_not_be_placed_anywhere_is_refused(board: str, text: str, said: str) -> None:
    target = target_of(board)
    with pytest.raises(CompileError, match=said):
        link([assembled(text, target)], target)


def test_one_name_in_two_objects_is_refused() -> None:
    target = target_of("generic_x86_64")
    with pytest.raises(CompileError, match=r"Two objects define other, expected one\."):
        link([assembled(OTHER, target)] * 2, target)


def test_object_of_another_machine_is_refused() -> None:
    arm, x86 = target_of("raspberry_pi_2"), target_of("generic_x86_64")
    with pytest.raises(CompileError, match=r"Expected code for x86_64-.*, got an object of ELF machine 40"):
        link([assembled(OTHER, arm)], x86)
    with pytest.raises(CompileError, match=r"Code for wasm32.* cannot be loaded by Python"):
        link([], target_of("wasm32"))


@pytest.mark.parametrize("board", ["raspberry_pi_zero_2w", "raspberry_pi_2"])
@pytest.mark.slow
def test_call_beyond_the_reach_of_the_instruction_is_refused(board: str) -> None:
    target = target_of(board)
    far = f"@far = constant [{200 << 20} x i8] zeroinitializer"
    with pytest.raises(CompileError, match=r"R_A.*CALL.* cannot be applied: a distance of -?2\d+ bytes does not fit"):
        link([assembled(text, target) for text in (LOADS, far, OTHER)], target)


def damaged(data: bytes) -> Iterator[bytes]:
    rng = np.random.default_rng(3)
    yield from (b"", data[:3], data[:19], data[:63], b"\0" * len(data), b"!<arch>\n" + data)
    for _ in range(400):
        new = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            new[int(rng.integers(len(new)))] = int(rng.integers(256))
        yield bytes(new[: int(rng.integers(len(new)))]) if rng.random() < 0.3 else bytes(new)


@pytest.mark.parametrize("board", ["generic_x86_64", "raspberry_pi_2"])
def test_damaged_object_is_refused_or_linked(board: str) -> None:
    target, refused = target_of(board), 0
    for data in damaged(assembled(OTHER, target)):
        try:
            image = link([data], target)
        except CompileError:
            refused += 1
        else:
            assert all(0 <= offset <= len(image.code) for offset in image.symbols.values())
    assert 50 < refused < 406
