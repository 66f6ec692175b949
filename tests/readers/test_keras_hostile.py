"""Damaged or hostile Keras files."""

from __future__ import annotations

import io
import json
import os
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_rnn.errors import EdgeRnnError, FileError, InputError, UnsupportedError
from edge_rnn_export import from_keras
from edge_rnn_export.readers.by_file_name import import_file
from edge_rnn_export.readers.keras import check
from edge_rnn_export.readers.keras import hdf5 as keras_hdf5
from keras_files import (
    IN,
    OUT,
    SEQUENCE,
    H,
    Spec,
    archive,
    changed,
    dense,
    functional_2,
    glued,
    hdf5,
    normalized,
    read,
    recurrent,
    sequential,
    weights,
)

HOSTILE: dict[str, tuple[Callable[[], bytes], type[EdgeRnnError], str]] = {
    "nothing": (lambda: b"", FileError, r"neither a \.keras archive nor an HDF5 file"),
    "text": (lambda: b"hello" * 99, FileError, r"neither a \.keras archive nor an HDF5 file"),
    "start of a zip": (lambda: b"PK\x03\x04" + b"\0" * 99, FileError, r"its archive is damaged"),
    "start of HDF5": (lambda: b"\x89HDF\r\n\x1a\n" + b"\0" * 99, FileError, r"it is not HDF5, or is damaged"),
    "no weights": (lambda: archive([dense(IN)], weights=None), FileError, r"an archive without model\.weights\.h5"),
    "no config": (lambda: archive([dense(IN)], config=None), FileError, r"an archive without config\.json"),
    "config": (lambda: archive([dense(IN)], config=b"[1]"), FileError, r"it holds a JSON list"),
    "deep config": (lambda: archive([], config=b'{"a":' + b"[" * 100_000), FileError, r"nested too deeply"),
    "weights": (lambda: archive([dense(IN)], weights=b"no"), FileError, r"it is not HDF5, or is damaged"),
    "weights alone": (lambda: weights([dense(IN)]), UnsupportedError, r"holds only weights, .*save the whole model"),
    "other HDF5": (lambda: stored(lambda file: None), FileError, r"not from Keras: it has no model_config"),
    "zip bomb": (
        lambda: archive([dense(IN)], weights=bytes(2**26), packed=zipfile.ZIP_DEFLATED),
        FileError,
        r"its model\.weights\.h5 unpacks to 67108864 bytes, expected \d+ at most",
    ),
    "config bomb": (
        lambda: archive([dense(IN)], config=b" " * (2**26 + 1), packed=zipfile.ZIP_DEFLATED),
        FileError,
        r"its config\.json unpacks to 67108865 bytes",
    ),
    "method": (lambda: archive([dense(IN)], packed=zipfile.ZIP_LZMA), UnsupportedError, r"is packed by method 14"),
    "other name": (
        lambda: archive([dense(IN)], weights=weights([dense(IN, name="other")])),
        FileError,
        r"Dense 'dense' has its weights in a group that belongs to 'other'",
    ),
    "no group": (
        lambda: hdf5([], sequential(dense(IN))),
        FileError,
        r"has no weights: there is no group 'model_weights",
    ),
    "no arrays": (lambda: archive([dense(IN)], weights=weights([])), FileError, r"Dense 'dense' has no weights"),
}


def stored(fill: Callable[[Any], None]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile(tmp_path: Path, case: str) -> None:
    make, kind, message = HOSTILE[case]
    with pytest.raises(kind, match=message):
        read(make(), tmp_path)


def test_small_file_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    path.write_bytes(b"hello" * 99)
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match="neither a"):
            from_keras(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def chunked(group: Any) -> None:
    group.create_dataset("kernel:0", (IN, OUT), "<f4", chunks=True, compression="gzip")


def declared(group: Any) -> None:
    """Declare a terabyte of zeros that are not stored."""
    group.create_dataset("kernel:0", (2**19, 2**19), "<f4")


def external(group: Any) -> None:
    group.create_dataset("kernel:0", (IN, OUT), "<f4", external=[("passwd", 0, 4 * IN * OUT)])


def virtual(group: Any) -> None:
    layout = h5py.VirtualLayout((IN, OUT), "<f4")
    layout[:] = h5py.VirtualSource("other.h5", "data", (IN, OUT))
    group.create_virtual_dataset("kernel:0", layout)


def linked(group: Any) -> None:
    group["kernel:0"] = h5py.ExternalLink("other.h5", "/data")


def soft(group: Any) -> None:
    group["kernel:0"] = h5py.SoftLink("/elsewhere")


def circular(group: Any) -> None:
    group["again"] = group


def crowded(group: Any) -> None:
    """Three ways from each group back to itself."""
    for name in "abc":
        group[name] = group


def integers(group: Any) -> None:
    group["kernel:0"] = np.ones((IN, OUT), np.int8)


def double(group: Any) -> None:
    group["kernel:0"] = group["kernel_1:0"] = np.zeros((IN, OUT), np.float32)


def empty(group: Any) -> None:
    group["kernel:0"] = h5py.Empty("f4")


STORED: list[tuple[Callable[[Any], None], type[EdgeRnnError], str]] = [
    (chunked, UnsupportedError, r"is not contiguous in the file .*h5repack"),
    (external, FileError, r"an array whose data are in another file"),
    (virtual, FileError, r"an array whose data are in another file"),
    (declared, FileError, r"takes 1099511627776 bytes, but the file has 0"),
    (linked, FileError, r"a link whose data are in another file"),
    (soft, UnsupportedError, r"kernel:0' is a link to another place"),
    (circular, FileError, r"got 1 arrays: \['again'\], expected 1: kernel"),
    (crowded, FileError, r"got 3 arrays: \['a', 'b', 'c'\], expected 1: kernel"),
    (integers, UnsupportedError, r"does not hold float16, float32 or float64; a quantized model is not read"),
    (double, FileError, r"holds two arrays called 'kernel'"),
    (empty, FileError, r"has no shape|is not contiguous in"),
]


@pytest.mark.parametrize(("fill", "kind", "message"), STORED)
def test_hostile_hdf5(tmp_path: Path, fill: Callable[[Any], None], kind: type[EdgeRnnError], message: str) -> None:
    path = tmp_path / "net.h5"
    path.write_bytes(hdf5([], sequential(changed(dense(IN), "use_bias", False))))
    with h5py.File(path, "r+") as file:
        fill(file.create_group("model_weights/dense"))
    with pytest.raises(kind, match=message):
        from_keras(path)


def test_one_array_under_many_names_is_bounded(tmp_path: Path) -> None:
    count = 400
    specs = [changed(dense(128, 128, name=f"d{place}"), "use_bias", False) for place in range(count)]
    first = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, None, 128]}}
    path = tmp_path / "net.h5"
    path.write_bytes(hdf5([], sequential(*specs, first=first)))
    with h5py.File(path, "r+") as file:
        file["one"] = np.zeros((128, 128), np.float32)
        for spec in specs:
            file.create_group(f"model_weights/{spec.name}")["kernel:0"] = file["one"]
    with pytest.raises(FileError, match=r"takes 65536 bytes, but the file has \d+"):
        from_keras(path)


def test_a_text_with_a_false_length_is_not_allocated(tmp_path: Path) -> None:
    content = bytearray(hdf5([dense(IN)]))
    place = content.index(b"model_config\0")
    length = len(json.dumps(sequential(dense(IN)))).to_bytes(4, "little")
    place = content.index(length, place)
    content[place : place + 4] = b"\xff\xff\xff\x7f"
    with pytest.raises(FileError, match=r"it is not HDF5, or is damaged"):
        read(bytes(content), tmp_path)


def test_activations_take_no_weights(tmp_path: Path) -> None:
    """An identity matrix of 3000 units would take 36 MB for a file of 12 kB."""
    wide = changed(changed(dense(1, 3000), "use_bias", False), "bias", None)
    wide = Spec(wide.kind, wide.config, {"kernel": wide.arrays["kernel"]})
    acts = [Spec("Activation", {"name": f"a{place}", "activation": "tanh"}) for place in range(3)]
    assert read(glued(wide, *acts, size=1), tmp_path).num_parameters == 3000


def test_concatenations_of_concatenations_are_bounded(tmp_path: Path) -> None:
    names = ["x", *(f"c{place}" for place in range(40))]
    layers = [{**SEQUENCE, "name": "x", "inbound_nodes": []}]
    for before, name in pairwise(names):
        record = Spec("Concatenate", {"name": name, "axis": -1}).record
        layers.append({**record, "name": name, "inbound_nodes": [[[before, 0, 0, {}], [before, 0, 0, {}]]]})
    config = {"name": "m", "layers": layers, "input_layers": ["x", 0, 0], "output_layers": [names[-1], 0, 0]}
    with pytest.raises(UnsupportedError, match=r"the Concatenate 'c\d+' would take \d+ bytes of memory, expected"):
        read(hdf5([], {"class_name": "Functional", "config": config}), tmp_path)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"missing\.keras: cannot be read: No such file"):
        from_keras(tmp_path / "missing.keras")
    with pytest.raises(FileError, match=r": is a folder or a device; expected a file \(a folder with"):
        from_keras(tmp_path)
    with pytest.raises(InputError, match=r"from_keras: it got int, expected a Keras model, or the path"):
        from_keras(7)
    huge = tmp_path / "huge.h5"
    with huge.open("wb") as file:
        file.truncate(2**30 + 1)
    with pytest.raises(FileError, match=r"has 1073741825 bytes"):
        from_keras(huge)


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = archive([dense(IN)])
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UnsupportedError, match=r"pip install h5py"):
        read(content, tmp_path)


def test_a_library_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = "import time\ndef prepare(): pass\ndef spin(about, arrays):\n    while True: pass\nCALLS = {'read': spin}\n"
    (tmp_path / "job_that_spins.py").write_text(job)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(keras_hdf5, "_JOB", "job_that_spins")
    monkeypatch.setattr(keras_hdf5, "SECONDS", 0.2)
    with pytest.raises(FileError, match=r"HDF5's library took more than 0\.2 s of CPU time for it; it is damaged"):
        read(archive([dense(IN)]), tmp_path)


def test_no_other_file_is_opened_where_a_dataset_names_one(tmp_path: Path) -> None:
    """An unlimited dataset asks its sources for their length as soon as it is opened."""
    pipe, path = tmp_path / "pipe", tmp_path / "net.h5"
    os.mkfifo(pipe)
    path.write_bytes(hdf5([], sequential(changed(dense(IN), "use_bias", False))))
    with h5py.File(path, "r+") as file:
        layout = h5py.VirtualLayout((IN,), "<f4", maxshape=(None,))
        source = h5py.VirtualSource(str(pipe), "data", (IN,), maxshape=(None,))
        layout[0 : h5py.h5s.UNLIMITED : 1] = source[0 : h5py.h5s.UNLIMITED : 1]
        file.create_group("model_weights/dense").create_virtual_dataset("kernel:0", layout)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(pipe, os.O_WRONLY)
    try:
        os.close(reader)
        with pytest.raises(FileError, match=r"an array whose data are in another file"):
            from_keras(path)
        with pytest.raises(BrokenPipeError):  # the other end is closed
            os.write(writer, b"x")
    finally:
        os.close(writer)


def test_import_says_that_it_did_not_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.keras"
    path.write_bytes(archive([dense(IN)]))
    with monkeypatch.context() as patch:
        patch.setattr(check, "find_spec", lambda name: None)
        found = import_file(path)
    assert (found.kind, found.checked, found.unchecked) == ("Keras", "", "with Keras, which is not installed")
    foreign = {**dense(IN).config, "kernel_initializer": {"module": "os", "class_name": "system", "config": {}}}
    path.write_bytes(archive([Spec("Dense", foreign, dense(IN).arrays)]))
    monkeypatch.setattr(check, "find_spec", lambda name: True)
    assert import_file(path).unchecked == "with Keras: the file names classes that are not Keras's own"


@pytest.mark.parametrize(
    ("installed", "patched"),
    [("3.15.1", True), ("3.16.0.dev1", True), ("3.12.4", True), ("4.0", True), ("3.15.0", False), ("3.13.2", False),
     ("2.15.0", False), ("3.12", False)],
)  # fmt: skip
def test_an_old_keras_is_not_handed_a_strangers_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str, patched: bool
) -> None:
    path = tmp_path / "net.keras"
    path.write_bytes(archive([dense(IN)]))
    monkeypatch.setattr(check, "find_spec", lambda name: True)
    monkeypatch.setattr(check, "version", lambda name: installed)
    started: list[str] = []

    def start(job: str, *_: object) -> None:
        started.append(job)
        raise UnsupportedError("not here")

    monkeypatch.setattr(check, "Worker", start)
    told = import_file(path).unchecked
    assert bool(started) is patched
    assert told == (
        "with Keras: not here"
        if patched
        else f"with Keras {installed}, whose reader has known vulnerabilities: pip install 'keras>=3.15.1'"
    )


def survives(path: Path, data: bytes) -> None:
    """Accept a model or one of edge_rnn's errors; anything else propagates."""
    path.write_bytes(data)
    try:
        from_keras(path)
    except EdgeRnnError as error:
        assert len(str(error)) < 2000


MANY = [recurrent("GRU", reset_after=True), normalized(), recurrent("LSTM", H), dense()]
NUMBERS = (0, 1, 0x7F, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFF0, 2**32 - 1, 2**40, 2**63, 2**64 - 1)


@pytest.mark.parametrize("kind", ["h5", "weights", "archive"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    """Bits, numbers and ends; ``weights`` damages what is in an archive that is whole."""
    content = bytearray({"h5": hdf5, "weights": weights, "archive": archive}[kind](MANY))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 8))
        if data.draw(st.booleans()):
            content[place] ^= data.draw(st.integers(1, 255))
        else:
            width = data.draw(st.sampled_from((4, 8)))
            number = data.draw(st.sampled_from(NUMBERS)) % 2 ** (8 * width)
            content[place // 4 * 4 : place // 4 * 4 + width] = number.to_bytes(width, "little")
    length = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    damaged = bytes(content[:length])
    survives(tmp_path / "damaged.keras", archive(MANY, weights=damaged) if kind == "weights" else damaged)


def functional_3() -> tuple[dict[str, Any], list[Spec]]:
    """Keras 3's way to describe a model inside a model, operations, states, a mask and a stack of cells."""

    def tensor(name: str, place: int = 0) -> dict[str, Any]:
        config = {"shape": [None, None, H], "dtype": "float32", "keras_history": [name, 0, place]}
        return {"class_name": "__keras_tensor__", "config": config}

    def called(spec: Spec, *args: Any, module: str = "keras.layers", **kwargs: Any) -> dict[str, Any]:
        calls = [{"args": list(args), "kwargs": kwargs}] if args else []
        return {"module": module, **spec.record, "name": spec.name, "inbound_nodes": calls}

    rnn, head = recurrent("LSTM", name="rnn", return_state=True), dense(name="head")
    cell = {**recurrent("GRU", H, name="cell").config, "name": "cell"}
    stack = {
        "class_name": "StackedRNNCells",
        "config": {"name": "cells", "cells": [{"class_name": "GRUCell", "config": cell}]},
    }
    inner = {
        "layers": [Spec("InputLayer", {"name": "z", "batch_shape": [None, None, H]}).record, head.record],
        "name": "in",
    }
    whole, key = {"start": None, "stop": None, "step": None}, "__slice__"
    ops = "keras.src.ops.numpy"
    layers = [
        called(Spec("InputLayer", {"name": "x", "batch_shape": [None, None, IN]})),
        called(Spec("NotEqual", {"name": "odd"}), tensor("x"), 0.0, module=ops),
        called(Spec("Any", {"name": "any", "axis": -1}), tensor("odd"), module=ops),
        called(rnn, tensor("x"), mask=tensor("any"), training=False),
        called(Spec("RNN", {"name": "deep", "cell": stack, "return_sequences": True}), tensor("rnn")),
        called(Spec("Multiply", {"name": "half"}), tensor("deep"), 0.5, module=ops),
        called(
            Spec("GetItem", {"name": "part"}), tensor("half"), [{"class_name": key, "config": whole}, -1], module=ops
        ),
        called(Spec("Sequential", inner), tensor("part"), module="keras"),
        called(Spec("TimeDistributed", {"name": "each", "layer": head.record}), tensor("half")),
    ]
    config = {
        "name": "m",
        "layers": layers,
        "input_layers": ["x", 0, 0],
        "output_layers": [["in", 0, 0], ["rnn", 0, 1]],
    }
    return {"module": "keras", "class_name": "Functional", "config": config}, [rnn, head]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_descriptions(tmp_path: Path, data: st.DataObject) -> None:
    """Any value of the configuration replaced by any other."""
    documents = [functional_2(), functional_3(), (sequential(*MANY), list(MANY))]
    document, specs = data.draw(st.sampled_from(documents))
    document = json.loads(json.dumps(document))
    node: Any = document
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.integers(0, 3)) == 0:
            break
        node = node[key]
    values = [None, True, 0, -1, 3, 2**70, 1.5, "", "x", "relu", [], [1], {}, {"a": []}, ["x", 0, 0], [[]]]
    node[key] = data.draw(st.sampled_from(values))
    survives(tmp_path / "damaged.keras", archive(specs, document))
