"""Packing of matrices, against layouts that the tests write out value by value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_rnn.formats import SMALLEST_RANGE, W8A8, Float16, Int4, Int8, LowRank, Sparse
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.matrices.panels import pack_panels
from edge_rnn.kernels.matrices.segments import format_in, formats_of, lanes_for, named, segment, widths_for
from integer_layouts import DEPTHS, segment_bytes

ARM, X86 = "aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"
TARGETS = {
    "vnni": Target(X86, "icelake-server", "+avx2,+fma,+avx512f,+avx512vl,+avx512bw,+avx512vbmi2,+avx512vnni"),
    "pmaddwd": Target(X86, "haswell", "+avx2,+fma,+f16c"),
    "sdot": Target(ARM, "cortex-a76", "+dotprod"),
    "mla": Target(ARM, "cortex-a72", ""),
}
CASCADE = Target(X86, "cascadelake", "+avx2,+fma,+avx512f,+avx512vl,+avx512bw,+avx512vnni")
SSE = Target(X86, "x86-64", "")
PLAIN = TARGETS["pmaddwd"]

SCALES = (1.0, 0.5, 2.0)  # of three gates
UNITS = 11  # one whole panel of 8, and 3 units of the next
COLUMNS = [1, 2, 3, 4, 5, 8, 9, 31, 32, 33, 64, 71]
PARTS = [(None, (0, 1, 2)), ((0, 1), (0, 1)), ((2,), (2,)), ((2, 0), (2, 0))]
PANELS = [(0, 8), (8, 8), (0, 16)]


def by_unit(matrix: np.ndarray, gates: tuple[int, ...], start: int, width: int) -> np.ndarray:
    """``(…, gates, width)`` of rows ``(3 * UNITS, …)``: where gate ``g`` of unit ``u`` has its row, or zeros."""
    found = np.zeros((*matrix.shape[1:], len(gates), width), matrix.dtype)
    for place, g in enumerate(gates):
        for u in range(start, min(start + width, UNITS)):
            found[..., place, u - start] = matrix[g * UNITS + u]
    return found


def scaled(rows: np.ndarray, gates: tuple[int, ...]) -> np.ndarray:
    return rows * np.array([SCALES[g] for g in gates], rows.dtype)[:, None]


def packed(matrix: Any, target: Target, part: Any, start: int, width: int) -> np.ndarray:
    whole = segment(matrix, SCALES, target)
    panel = (whole if part is None else whole.part(*part)).panel(start, width)
    assert panel.dtype == np.float32
    assert panel.size % 8 == 0  # so that the next one is aligned
    return panel


def check_everywhere(matrix: Any, target: Target, expected: Any) -> None:
    """Compare panels of each width, of all gates and of some, with ``expected(gates, start, width)`` as bytes."""
    for part, gates in PARTS:
        for start, width in PANELS:
            panel = packed(matrix, target, part, start, width)
            assert panel.tobytes() == expected(gates, start, width), (gates, start, width)


@pytest.mark.parametrize("columns", COLUMNS)
def test_float32_has_a_row_for_each_column_with_gates_side_by_side(columns: int) -> None:
    matrix = np.random.default_rng(columns).standard_normal((3 * UNITS, columns)).astype(np.float32)
    check_everywhere(matrix, PLAIN, lambda gates, *panel: scaled(by_unit(matrix, gates, *panel), gates).tobytes())


@pytest.mark.parametrize("columns", COLUMNS)
def test_float16_has_the_same_rows_and_one_of_zeros_behind_an_odd_number(columns: int) -> None:
    values = np.random.default_rng(columns).standard_normal((3 * UNITS, columns)).astype(np.float16)

    def expected(gates: Any, start: int, width: int) -> bytes:
        rows = scaled(by_unit(values, gates, start, width), gates)
        return rows.tobytes() + bytes(2 * len(gates) * width * (columns % 2))

    check_everywhere(Float16(values), PLAIN, expected)


@pytest.mark.parametrize("dot", DEPTHS)
@pytest.mark.parametrize("kind", [Int8, W8A8])
@pytest.mark.parametrize("columns", COLUMNS)
def test_integers_of_8_bits_lie_as_the_instruction_takes_them(dot: str, kind: type[Int8], columns: int) -> None:
    rng = np.random.default_rng(columns)
    values = rng.integers(-127, 128, (3 * UNITS, columns)).astype(np.int8)
    matrix = kind(values, rng.uniform(0, 1, 3 * UNITS).astype(np.float32))

    def expected(gates: Any, *panel: int) -> bytes:
        scales = scaled(by_unit(matrix.scale, gates, *panel), gates)[None]
        return segment_bytes(matrix.format, dot, by_unit(values, gates, *panel), scales)

    assert TARGETS[dot].dot == dot
    check_everywhere(matrix, TARGETS[dot], expected)


@pytest.mark.parametrize("dot", DEPTHS)
@pytest.mark.parametrize("columns", COLUMNS)
def test_integers_of_4_bits_lie_in_groups_of_32_rows_two_blocks_in_a_byte(dot: str, columns: int) -> None:
    rng = np.random.default_rng(columns)
    values = rng.integers(-7, 8, (3 * UNITS, columns)).astype(np.int8)
    groups = -(-columns // 32)
    matrix = Int4.of(values, rng.uniform(0, 1, (3 * UNITS, groups)).astype(np.float32))

    def expected(gates: Any, *panel: int) -> bytes:
        scales = scaled(by_unit(matrix.scale, gates, *panel), gates)
        return segment_bytes("int4", dot, by_unit(values, gates, *panel), scales)

    check_everywhere(matrix, TARGETS[dot], expected)


@pytest.mark.parametrize("kept", [1, 2, 7, 8, 9, 24])
def test_sparse_rows_come_behind_their_number_and_their_columns(kept: int) -> None:
    """Panels of 16 units that are read whole or by halves; the head takes a whole number of 16 words."""
    rng = np.random.default_rng(kept)
    values = rng.standard_normal((2, kept, 3, 16)).astype(np.float32)
    values[1, :, :, 4:] = 0  # 20 units
    index = np.sort(rng.permuted(np.tile(np.arange(30), (2, 1)), axis=1)[:, :kept], axis=1)
    matrix = Sparse(values, index, 20, 30)
    for part, gates in PARTS:
        for start, width in ((0, 16), (0, 8), (8, 8), (16, 16), (16, 8)):
            panel, place = packed(matrix, PLAIN, part, start, width), start // 16
            room = 16 * next(n for n in range(9) if 16 * n >= 8 + kept)
            head = panel[:room].view(np.int32).tolist()
            assert head == [kept] * 8 + index[place].tolist() + [0] * (room - 8 - kept)
            units = slice(start % 16, start % 16 + width)
            rows = [[values[place, k, g, units] * np.float32(SCALES[g]) for g in gates] for k in range(kept)]
            np.testing.assert_array_equal(panel[room:], np.ravel(rows))


@pytest.mark.parametrize("rank", [1, 3, 8, 9])
def test_a_low_rank_is_its_left_matrix_and_an_operation_for_the_right_one(rank: int) -> None:
    rng = np.random.default_rng(rank)
    left, right = (rng.standard_normal(shape).astype(np.float32) for shape in ((3 * UNITS, rank), (rank, 10)))
    matrix = LowRank(left, right)
    check_everywhere(matrix, PLAIN, lambda gates, *panel: scaled(by_unit(left, gates, *panel), gates).tobytes())
    operand = segment(matrix, SCALES, PLAIN).operand(None)
    assert operand is not None
    assert (operand.name, operand.floats, operand.size) == ("dense_none", 8 * (1 + (rank > 8)), rank)
    # Dense of the right matrix without a bias, and without the gates' scales: panels of 8, or one of 16 for nine.
    whole = np.zeros((operand.floats, 11), np.float32)
    whole[:rank, 1:] = right
    np.testing.assert_array_equal(operand.weights.floats, whole.T.ravel())
    assert operand.weights.unit_floats == 11


def test_floats_need_no_operand() -> None:
    some = np.ones((3, 4), np.float32)
    for matrix in (some, Float16(some.astype(np.float16)), Sparse(np.ones((1, 1, 3, 16)), [[0]], 16, 4)):
        assert segment(matrix, SCALES, PLAIN).operand(1.0) is None


@pytest.mark.parametrize(("kind", "name", "steps"), [(Int8, "quantize16", 32639), (W8A8, "quantize8", 127)])
@pytest.mark.parametrize(
    ("own", "bound", "limit"),
    [(None, None, None), (2.0, None, 2.0), (None, 1.0, 1.0), (2.0, 1.0, 1.0), (0.5, 1.0, 0.5), (None, 0.0, 1e-30)],
)
def test_vectors_are_rounded_by_the_narrower_limit_or_by_their_own_largest_value(
    kind: Any, name: str, steps: int, own: float | None, bound: float | None, limit: float | None
) -> None:
    matrix = kind(np.ones((3, 10), np.int8), np.ones(3, np.float32), own)
    operand = segment(matrix, SCALES, PLAIN).operand(bound)
    assert operand is not None
    assert (operand.name, operand.floats, operand.size) == (name, 8 + 8, 10)  # 16 integers of 16 bits behind 8 floats
    expected = np.zeros(8, np.float32)
    expected[:2] = (0, 0) if limit is None else (limit / steps, steps / limit)
    np.testing.assert_array_equal(operand.weights.floats, expected)
    assert SMALLEST_RANGE == 1e-30


def test_int4_is_multiplied_with_16_bits() -> None:
    operand = segment(Int4.of(np.ones((3, 40), np.int8), np.ones((3, 2), np.float32)), SCALES, PLAIN).operand(None)
    assert operand is not None
    assert (operand.name, operand.floats, operand.size) == ("quantize16", 8 + 20, 40)


def test_what_is_stored_times_its_factor_is_the_matrix_times_the_scale_of_its_gate() -> None:
    rng = np.random.default_rng(8)
    values, scale = rng.integers(-127, 128, (6, 4)).astype(np.int8), rng.uniform(0, 1, 6).astype(np.float32)
    floats = rng.standard_normal((6, 4)).astype(np.float32)
    gates = np.repeat(np.array(SCALES, np.float64), 2)
    for matrix in (floats, Float16(floats.astype(np.float16)), Int8(values, scale), W8A8(values, scale)):
        rows, factor = segment(matrix, SCALES, PLAIN).stored()
        expected = gates[:, None] * np.asarray(matrix, np.float64)
        np.testing.assert_allclose(rows.astype(np.float64) * factor[:, None], expected, rtol=2.0**-23)
    low = LowRank(floats, rng.standard_normal((4, 9)))
    rows, factor = segment(low, SCALES, PLAIN).stored()
    np.testing.assert_array_equal(rows, floats)
    np.testing.assert_array_equal(factor, gates)


@pytest.mark.parametrize("units", [1, 7, 8, 9, 24, 25])
def test_panels_hold_bias_and_segments_in_the_order_in_which_they_are_read(units: int) -> None:
    rng = np.random.default_rng(units)
    bias = rng.standard_normal((2, units))
    first, second = (rng.standard_normal((2 * units, k)).astype(np.float32) for k in (3, 1))
    found = pack_panels(bias, [segment(m, (1.0, 4.0), PLAIN) for m in (first, second)], (16, 8), pad=7.0)
    expected, start, whole = [], 0, -(-units // 8) * 8
    while start < whole:
        width = 16 if whole - start >= 16 else 8
        rows = [bias.reshape(-1), *first.T, *second.T]
        for number, row in enumerate(rows):
            for gate in range(2):
                for u in range(start, start + width):
                    scale = (1.0, 4.0)[gate] if number else 1.0
                    there = u < units
                    expected.append(row[gate * units + u] * scale if there else 7.0 if number == 0 else 0.0)
        start += width
    np.testing.assert_array_equal(found.floats, np.array(expected, np.float32))
    assert found.unit_floats == 2 * (1 + 3 + 1)


def test_a_panel_is_as_wide_as_the_sums_that_registers_hold() -> None:
    """Vectors of 8 sums that stay in registers: 16, 8, 8 and 4; half as many where each is in two parts."""
    vnni, avx2, sdot = TARGETS["vnni"], TARGETS["pmaddwd"], TARGETS["sdot"]
    assert widths_for(vnni, 4, ["float32", "float32"]) == widths_for(vnni, 4, ["int8", "int8"]) == (32, 16, 8)
    assert widths_for(avx2, 4, ["float32"]) == widths_for(avx2, 4, ["int8"]) == (16, 8)
    assert widths_for(SSE, 4, ["float32"]) == (8,)
    assert widths_for(SSE, 1, ["float16"]) == (32, 16, 8)
    assert widths_for(sdot, 4, ["float32"]) == widths_for(sdot, 4, ["w8a8"]) == (16, 8)
    assert widths_for(sdot, 4, ["float32", "int8"]) == widths_for(sdot, 4, ["int4"]) == (8,)
    assert widths_for(avx2, 1, ["float32", "sparse"]) == (16, 8)  # which are 16 in the file
    assert widths_for(CASCADE, 3, ["int8"]) == (16, 8)


def test_only_rows_of_float32_are_done_by_parts_of_a_panel() -> None:
    bare = Target("armv6-unknown-linux-gnueabihf", "arm1176jzf-s", "")
    assert [lanes_for(bare, gates, ["float32", "float32"]) for gates in (1, 4)] == [8, 4]
    assert lanes_for(bare, 4, ["float32", "int8"]) is None
    assert lanes_for(PLAIN, 4, ["float32", "float32"]) is None


def test_names_of_functions_say_the_format_and_are_read_back() -> None:
    for format_ in ("int8", "sparse", "float32"):
        assert format_in(named("dense_sigmoid", format_)) == ("dense_sigmoid", format_)
    assert named("dense", "float32") == "dense"
    assert named("dense", "int8") == "dense__int8"


def test_formats_of_segments_are_those_of_the_matrices_and_a_low_rank_is_float32() -> None:
    some, scale = np.ones((3, 4), np.float32), np.ones((3, 1), np.float32)
    given = {
        "float32": [some, LowRank(some, np.ones((4, 5)))],
        "float16": [Float16(some)],
        "int8": [Int8(some, scale[:, 0])],
        "w8a8": [W8A8(some, scale[:, 0])],
        "int4": [Int4.of(some.astype(np.int8), scale)],
        "sparse": [Sparse(np.ones((1, 1, 3, 16)), [[0]], 16, 4)],
    }
    found = formats_of(*(segment(matrix, SCALES, PLAIN) for each in given.values() for matrix in each))
    assert found == tuple(name for name, each in given.items() for _ in each)
