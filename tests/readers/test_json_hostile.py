"""Damaged or hostile JSON gives one of edge_rnn's errors, quickly and in little memory."""

from __future__ import annotations

import copy
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_rnn.errors import EdgeRnnError, FileError, UnsupportedError
from edge_rnn.model import Model
from edge_rnn_export.readers.json import reader
from edge_rnn_export.readers.json.reader import from_json

pytestmark = pytest.mark.filterwarnings("ignore::edge_rnn.errors.ReadingWarning")


def _numbers(*shape: int) -> Any:
    return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32).tolist()


def _torch(units: int, outputs: int = 1) -> dict[str, Any]:
    state = {"rec.weight_ih_l0": _numbers(4 * units, 1), "rec.weight_hh_l0": _numbers(4 * units, units)}
    state |= {"rec.bias_ih_l0": _numbers(4 * units), "rec.bias_hh_l0": _numbers(4 * units)}
    return state | {"lin.weight": _numbers(outputs, units), "lin.bias": _numbers(outputs)}


def _layer(kind: str, units: int, *shapes: tuple[int, ...]) -> dict[str, Any]:
    return {"type": kind, "activation": "tanh", "shape": [None, units], "weights": [_numbers(*s) for s in shapes]}


_DATA = {"model": "SimpleRNN", "input_size": 1, "skip": 1, "output_size": 1, "unit_type": "LSTM", "num_layers": 1}
GOOD: dict[str, dict[str, Any]] = {
    "layers": {
        "in_shape": [None, None, 1],
        "in_skip": 1,
        "in_gain": 1.5,
        "layers": [
            _layer("time-distributed-dense", 2, (1, 2), (2,)),
            _layer("gru", 2, (2, 6), (2, 6), (2, 6)),
            _layer("activation", 2),
            _layer("lstm", 2, (2, 8), (2, 8), (8,)),
            _layer("dense", 1, (2, 1), (1,)),
        ],
        "input_batch": _numbers(4),
        "output_batch": _numbers(4),
        "metadata": {"name": "amp", "samplerate": "48000"},
    },
    "guitarml": {"model_data": _DATA | {"hidden_size": 2, "bias_fl": True}, "state_dict": _torch(2)},
    "nam": {
        "architecture": "LSTM",
        "config": {"input_size": 1, "hidden_size": 2, "num_layers": 2},
        "weights": _numbers(4 * 2 * 3 + 8 + 4 + 4 * 2 * 4 + 8 + 4 + 3),
        "sample_rate": 48000,
    },
    "torch": _torch(2, outputs=3),
}

HOSTILE: list[Any] = [None, True, False, 0, -1, 2, 10**9, 10**400, 1e300, 1e39, -0.0, "", "LSTM", "\ud800", "\u0000"]
HOSTILE += [[], [[]], {}, [1], [[1], [1, 2]], [[1], None], [1, [1]], [[[[[1]]]]], [None], {"a": [1]}, "9" * 5000, 1.5]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        path = tmp_path / "network.json"
        path.write_bytes(data)
        return path

    return write


def read_or_refuse(path: Path) -> None:
    try:
        assert isinstance(from_json(path), Model)
    except EdgeRnnError as error:
        assert str(error).startswith(f"{path}: ")
        assert len(str(error)) < 2000


@pytest.mark.parametrize("kind", GOOD)
def test_what_is_mutated_below_can_be_read(kind: str, write: Callable[[bytes], Path]) -> None:
    assert isinstance(from_json(write(json.dumps(GOOD[kind]).encode())), Model)


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(found for key, each in inner for found in _places(each, (*place, key)))]


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("each", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.sampled(2)
def test_every_value_replaced_by_every_hostile_one(kind: str, each: int, tmp_path: Path) -> None:
    """Every seventh place in the usual run; neighbours are mostly numbers of one array."""
    path = tmp_path / "network.json"
    for *outer, last in _places(GOOD[kind])[1::each]:
        document = copy.deepcopy(GOOD[kind])
        inner: Any = document
        for key in outer:
            inner = inner[key]
        for value in HOSTILE:
            inner[last] = value
            path.write_text(json.dumps(document), encoding="utf-8")
            read_or_refuse(path)


ANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("kind", GOOD)
@given(data=st.data())
@ANY
def test_values_replaced(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    document = copy.deepcopy(GOOD[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(_places(document)))
        inner: Any = document
        for key in place[:-1]:
            inner = inner[key]
        action = data.draw(st.sampled_from(["replace", "replace", "delete", "repeat"]))
        if not place:
            document = copy.deepcopy(data.draw(st.sampled_from(HOSTILE)))
        elif action == "delete":
            del inner[place[-1]]
        elif action == "repeat" and isinstance(inner, list):
            inner.append(inner[place[-1]])
        else:
            inner[place[-1]] = copy.deepcopy(data.draw(st.sampled_from(HOSTILE) | st.floats()))
    path = tmp_path / "network.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    read_or_refuse(path)


@pytest.mark.parametrize("kind", GOOD)
@given(data=st.data())
@ANY
def test_bytes_replaced(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    text = bytearray(json.dumps(GOOD[kind]).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(len(text), start + 20)))
        text[start:stop] = data.draw(
            st.binary(max_size=8) | st.sampled_from([b"[", b"]", b"1e400", b"NaN", b",", b"-"])
        )
    path = tmp_path / "network.json"
    path.write_bytes(text)
    read_or_refuse(path)


@pytest.mark.parametrize("kind", GOOD)
def test_truncated_anywhere(kind: str, write: Callable[[bytes], Path]) -> None:
    text = json.dumps(GOOD[kind]).encode()
    for length in range(0, len(text), 7):
        with pytest.raises(FileError, match=r"not JSON, or is truncated"):
            from_json(write(text[:length]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", r"truncated: Expecting value"),
        (b"\x00\xff", r"can't decode byte"),
        (b'{"lin.weight": [[NaN]]}', r"NaN is not a JSON number"),
        (b'{"lin.weight": [[-Infinity]]}', r"-Infinity is not a JSON number"),
        (b'{"lin.weight": [[1e400]]}', r"out of float64's range"),
        (b'{"lin.weight": [[1' + b"0" * 400 + b"]]}", r"out of float64's range"),
        (b'{"lin.weight": [[1' + b"0" * 5000 + b"]]}", r"truncated: Exceeds the limit"),
        (b'{"lin.weight": [[1]], "lin.weight": [[2]]}', r"a key occurs twice"),
        (b'{"lin.weight": [[1], [1, 2]]}', r"a list of 2 is next to a list of 1"),
        (b'{"lin.weight": [[1], null]}', r"None is next to a list of 1"),
        (b'{"lin.weight": [[1, true]]}', r"holds True, expected numbers"),
        (b'{"lin.weight": [[null, 1]]}', r"holds None, expected numbers"),
        (b'{"lin.weight": [[[[[1]]]]]}', r"more than 4 dimensions"),
        (b'{"lin.weight": [[]]}', r"an empty list"),
        (b'{"a": ' * 100_000, r"nested too deeply"),
        (b"[" * 1_000_000, r"nested too deeply"),
        (b"[" * (2**20 + 1), r"holds 1048577 lists and objects"),
        (b"[1]", r"holds a JSON list, expected an object"),
        (b'{"' + b"a" * 300 + b'": [[1]]}', r"names of up to 300 letters"),
    ],
    ids=range(19),
)
def test_hostile_text(text: bytes, message: str, write: Callable[[bytes], Path]) -> None:
    with pytest.raises(FileError, match=message):
        from_json(write(text))


def test_files_that_are_none_or_too_long(
    tmp_path: Path, write: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileError, match=r"is a folder or a device"):
        from_json(tmp_path)
    with pytest.raises(FileError, match=r"cannot be read: No such file"):
        from_json(tmp_path / "absent.json")
    with pytest.raises(FileError, match=r"cannot be read: (\w+: )?embedded null"):
        from_json("a\0b")
    monkeypatch.setattr(reader, "MAX_JSON_BYTES", 10)
    with pytest.raises(FileError, match=r"has 21 bytes, expected 10 at most"):
        from_json(write(b'{"lin.weight": [[1]]}'))


LARGE = 2**24
CLAIMS: list[tuple[dict[str, Any], type[EdgeRnnError], str]] = [
    (GOOD["nam"] | {"config": {"input_size": LARGE, "hidden_size": LARGE, "num_layers": 999}}, FileError, "shape"),
    (GOOD["guitarml"] | {"model_data": GOOD["guitarml"]["model_data"] | {"hidden_size": LARGE}}, FileError, "shape"),
    ({"in_shape": [LARGE], "layers": [_layer("dense", LARGE, (1, 2), (2,))]}, FileError, "shape"),
    ({"in_shape": [LARGE], "layers": [_layer("activation", LARGE)] * 3}, UnsupportedError, "before the first layer"),
    (
        {"in_shape": [1], "layers": [_layer("dense", 5000, (1, 5000)), _layer("activation", 5000)]},
        UnsupportedError,
        r"layer 2 \(activation\) of 5000 values would take 5000 times 5000 weights",
    ),
    ({"in_shape": [1], "layers": [_layer("dense", 1, (1, 1))] * 1001}, FileError, "got 1001 layers"),
    ({f"a{k}.weight": [[1.0]] for k in range(5000)}, FileError, "5000 arrays"),
]


@pytest.mark.parametrize(("document", "kind", "message"), CLAIMS, ids=range(len(CLAIMS)))
def test_sizes_are_only_claimed(
    document: dict[str, Any], kind: type[EdgeRnnError], message: str, write: Callable[[bytes], Path]
) -> None:
    path = write(json.dumps(document).encode())
    tracemalloc.start()
    try:
        with pytest.raises(kind, match=message):
            from_json(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22 + 100 * path.stat().st_size
    finally:
        tracemalloc.stop()
