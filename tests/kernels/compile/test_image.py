"""Images as files: what was written is read, and nothing damaged gets through."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_rnn.kernels.compile.image import END_BYTES, Image, parse

SMALL = Image(b"\xc3\x90\x90\x90\xc3", {"first": 0, "second": 4})


def file(code: bytes, table: bytes, code_bytes: int | None = None, table_bytes: int | None = None) -> bytes:
    lengths = len(code) if code_bytes is None else code_bytes, len(table) if table_bytes is None else table_bytes
    return code + table + struct.pack("<8sQQ", b"ERNNim01", *lengths)


@given(st.binary(min_size=1), st.lists(st.text(), unique=True), st.data())
def test_what_was_written_is_read(code: bytes, names: list[str], data: st.DataObject) -> None:
    symbols = {name: data.draw(st.integers(0, len(code) - 1)) for name in names}
    image = Image(code, symbols)
    assert parse(image.to_bytes()) == image
    assert image.to_bytes().startswith(code)  # so that a file can be mapped from its start


HUGE = 2**64 - 1
DAMAGED = {
    "empty": b"",
    "end alone": SMALL.to_bytes()[-END_BYTES:],
    "half an end": SMALL.to_bytes()[-END_BYTES + 1 :],
    "something in front": b"\0" + SMALL.to_bytes(),
    "something behind": SMALL.to_bytes() + b"\0",
    "no code": file(b"", b"{}"),
    "more code than there is": file(b"\xc3", b"{}", code_bytes=HUGE),
    "lengths that overflow to fit": file(b"\xc3", b"{}", code_bytes=HUGE, table_bytes=4),
    "table overlaps code": file(b"\xc3" * 8, b"{}", table_bytes=6),
    "table of another kind": file(b"\xc3", b"[1]"),
    "table that is no JSON": file(b"\xc3", b'{"a":'),
    "table that is no text": file(b"\xc3", b'{"\xff":0}'),
    "table without an end": file(b"\xc3", b"[" * 100_000),
    "number without an end": file(b"\xc3", b'{"a":' + b"9" * 10_000 + b"}"),
    "offset behind the code": file(b"\xc3" * 4, b'{"a":4}'),
    "offset before the code": file(b"\xc3" * 4, b'{"a":-1}'),
    "offset that is true": file(b"\xc3" * 4, b'{"a":true}'),
    "offset that is a fraction": file(b"\xc3" * 4, b'{"a":1.0}'),
    "offset that is no number": file(b"\xc3" * 4, b'{"a":NaN}'),
    "offset that is a text": file(b"\xc3" * 4, b'{"a":"1"}'),
    "another version": SMALL.to_bytes().replace(b"ERNNim01", b"ERNNim02"),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damaged_image_is_none(data: bytes) -> None:
    assert parse(data) is None


@example(0, 1)
@given(st.integers(0, 10**9), st.integers(1, 4))
def test_whatever_is_read_from_damaged_bytes_is_inside_them(seed: int, changes: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(SMALL.to_bytes())
    for _ in range(changes):
        data[rng.integers(len(data))] = rng.integers(256)
    image = parse(bytes(data))
    if image is not None:
        assert len(image.code) + len(json.dumps(dict(image.symbols))) < len(data)
        assert all(0 <= offset < len(image.code) for offset in image.symbols.values())
