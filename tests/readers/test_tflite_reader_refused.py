"""TFLite files that are refused, damaged, or read in part."""

from __future__ import annotations

import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_rnn.errors import EdgeRnnError, FileError, InputError, UnsupportedError
from edge_rnn_export.readers.tflite.reader import from_tflite
from tflite_files import Net, T, const
from tflite_models import OUT, STEPS, H, dense, flat, in_int8, last_step, lstm_net, read

ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"upto": "rnn"}, r"upto names 'rnn', which does not exist; expected one of tensor \d+ 'lstm'"),
    ({"after": 99}, r"after names 99, which does not exist"),
    ({"upto": True}, r"upto got True, expected a tensor's name or index"),
    ({"upto": ""}, r"upto names '', the name of \d+ tensors: \[1, 2"),
    ({"upto": "x", "after": "lstm"}, r"traced the output back to tensor 0 'x', which no operator produces"),
    ({"keep_int8": True}, r"no matrix in int8"),
]


@pytest.mark.parametrize(("options", "message"), ARGUMENTS)
def test_arguments(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(dense(lstm_net(), OUT), tmp_path, **options)
    with pytest.raises(InputError, match=r"got int, expected the path"):
        from_tflite(7)  # type: ignore[arg-type]


def test_cut_by_number(tmp_path: Path) -> None:
    net = dense(lstm_net(), OUT)
    place = next(number for number, tensor in enumerate(net.tensors) if tensor.name == "lstm")
    assert [layer.kind for layer in read(net, tmp_path, upto=place).layers] == ["LSTM"]
    assert [layer.kind for layer in read(net, tmp_path, after=place).layers] == ["Dense"]


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tflite", None)
    with pytest.raises(UnsupportedError, match=r"pip install tflite"):
        read(lstm_net(), tmp_path)


def test_files_that_are_none(tmp_path: Path) -> None:
    for content in (b"", b"TFL3", b"PK\x03\x04" * 9, b"\x1c\0\0\0TFL3", b"\xff" * 4 + b"TFL3" + b"\xff" * 400):
        with pytest.raises(FileError, match=r"net\.tflite is not a"):
            read(content, tmp_path)
    with pytest.raises(FileError, match=r"cannot be read"):
        from_tflite(tmp_path / "missing.tflite")
    with pytest.raises(FileError, match=r"is a folder or a device"):
        from_tflite(tmp_path)
    huge = tmp_path / "huge.tflite"
    with huge.open("wb") as file:
        file.truncate(2**30 + 1)
    with pytest.raises(FileError, match=r"has 1073741825 bytes"):
        from_tflite(huge)


def test_more_than_the_file_bears_out_is_not_allocated(tmp_path: Path) -> None:
    """A matrix that many operators share."""
    shared = Net(T([1, 256])).add(
        "FULLY_CONNECTED", [const(np.ones((256, 256), "i1"), scale=[1.0]), None], T([1, 256]), "FullyConnectedOptions"
    )
    for _ in range(600):
        shared.add("FULLY_CONNECTED", [1, None], T([1, 256]), "FullyConnectedOptions")
    with pytest.raises(UnsupportedError, match=r"at most, in proportion to its file"):
        read(shared, tmp_path)


def whole() -> bytes:
    return dense(last_step(lstm_net(wrap=in_int8, peephole=True, coupled=True)), OUT).bytes()


def survives(path: Path, data: bytes) -> None:
    """Accept a model or one of edge_rnn's errors; anything else propagates."""
    path.write_bytes(data)
    for options in ({}, {"keep_int8": True}):
        try:
            from_tflite(path, **options)  # type: ignore[arg-type]
        except EdgeRnnError as error:
            assert len(str(error)) < 2000


WORDS = (0, 1, 4, 0x7F, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)


@pytest.mark.parametrize("kind", ["made", "trained"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files(tmp_path: Path, request: pytest.FixtureRequest, kind: str, data: st.DataObject) -> None:
    if kind == "made":
        content = bytearray(whole())
    else:
        folder = request.getfixturevalue("shared_data") / "models" / "tflm"
        content = bytearray((folder / "trained_lstm_int8.tflite").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 4))
        if data.draw(st.booleans()):
            content[place] ^= data.draw(st.integers(1, 255))
        else:
            struct.pack_into("<I", content, place // 4 * 4, data.draw(st.sampled_from(WORDS)))
    length = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    survives(tmp_path / "damaged.tflite", bytes(content[:length]))


def test_a_long_name_and_many_tensors_are_bounded(tmp_path: Path) -> None:
    long = lstm_net()
    long.tensors[0] = replace(long.x, name="x" * 100_000)
    with pytest.raises(UnsupportedError) as caught:
        read(flat(long, 1, STEPS * H).add("TANH", [], T([1, STEPS * H])), tmp_path)
    assert len(str(caught.value)) < 1000
    many = lstm_net()
    many.tensors += [T([1])] * 2**14
    with pytest.raises(FileError, match=r"has \d+ tensors, expected 16384 at most"):
        read(many, tmp_path)
