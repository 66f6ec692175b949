"""Files of ``torch.save``, without PyTorch: the state_dict of a checkpoint, under any name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_rnn
import torch_archive
from edge_rnn.cli import main
from edge_rnn.errors import EdgeRnnError, FileError, InputError, ReadingWarning, UnsupportedError
from edge_rnn.model import Model
from edge_rnn_export import from_torch
from torch_archive import Instance

RNG = np.random.default_rng(1968)
SAID: dict[str, Any] = {"modules": ["rnn", "head"], "activations": {"head": "none"}}
FORMATS = {"zip": torch_archive.zipped, "old": torch_archive.old}


def state(scale: float = 1.0, dtype: Any = np.float32) -> dict[str, np.ndarray]:
    shapes = {"rnn.weight_ih_l0": (12, 3), "rnn.weight_hh_l0": (12, 4), "rnn.bias_ih_l0": (12,)}
    shapes |= {"rnn.bias_hh_l0": (12,), "head.weight": (2, 4), "head.bias": (2,)}
    return {name: (scale * RNG.uniform(-1, 1, shape)).astype(dtype) for name, shape in shapes.items()}


STATE, EMA = state(), state()


def under(prefix: str, arrays: dict[str, np.ndarray] = STATE) -> dict[str, np.ndarray]:
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


ADAM = {name: {"step": np.float32(3), "exp_avg": array, "exp_avg_sq": array} for name, array in STATE.items()}
OPTIMIZER = {"state": {0: {"exp_avg": STATE["head.weight"]}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
LIGHTNING = {
    "epoch": 3,
    "state_dict": STATE,
    "optimizer_states": [OPTIMIZER],
    "callbacks": {"ModelCheckpoint": {"best_model_score": np.array(0.25, np.float32)}},
    "hyper_parameters": Instance("lightning.AttributeDict", None, {"lr": 0.1}),
}
FAIRSEQ = {"args": Instance("argparse.Namespace", {"arch": "lstm"}), "model": STATE, "last_optimizer_state": OPTIMIZER}
LAYER = Instance(
    "mine.Head", {"_parameters": {"weight": STATE["head.weight"], "bias": STATE["head.bias"]}, "_modules": {}}
)
CELL = {name.removeprefix("rnn."): array for name, array in STATE.items() if "rnn" in name}
MODULE = Instance(
    "mine.Network",
    {
        "training": False,
        "_parameters": {},
        "_buffers": {},
        "_modules": {"rnn": Instance("torch.nn.modules.rnn.GRU", {"_parameters": CELL, "_modules": {}}), "head": LAYER},
    },
)

READ: dict[str, tuple[Any, str | None]] = {
    "the state_dict itself": (STATE, None),
    "with settings among the tensors": (STATE | {"hidden_size": 4, "classes": ["a", "b"]}, None),
    "Lightning": (LIGHTNING, None),
    "fairseq": (FAIRSEQ, None),
    "another name": ({"net_state": STATE, "optimizer": OPTIMIZER, "mean": np.float32(2)}, None),
    "an optimizer that names parameters": ({"net": STATE, "opt": {"adam": ADAM}}, None),
    "DataParallel": ({"state_dict": under("module")}, None),
    "torch.compile": (under("_orig_mod"), None),
    "torch.compile of a part, in DataParallel": (
        {f"module.{name.replace('rnn.', 'rnn._orig_mod.')}": array for name, array in STATE.items()},
        None,
    ),
    "AveragedModel": (under("module") | {"n_averaged": np.array(7, np.int64)}, None),
    "one of two": ({"model": EMA, "model_ema": STATE}, "model_ema"),
    "one of two, deeper": ({"model": {"raw": EMA, "ema": STATE}, "epoch": 3}, "model.ema"),
    "one of two in one state_dict": (under("ema") | under("online", EMA), "ema"),
    "parts of a dict": ({"rnn": CELL, "head": {"weight": STATE["head.weight"], "bias": STATE["head.bias"]}}, ""),
    "a whole module": (MODULE, None),
    "a whole module among others": ({"model": MODULE, "ema": None, "optimizer": OPTIMIZER}, None),
    "twice the same": ({"model": STATE, "best": STATE}, None),
}  # fmt: skip


def written(folder: Path, value: Any, form: str = "zip", name: str = "last.ckpt") -> Path:
    path = folder / name
    path.write_bytes(FORMATS[form](value))
    return path


def same(model: Model, arrays: dict[str, np.ndarray] = STATE) -> bool:
    return model.fingerprint == from_torch(arrays, **SAID).fingerprint


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("case", READ)
def test_the_state_dict_of_a_checkpoint(case: str, form: str, tmp_path: Path) -> None:
    value, name = READ[case]
    if case == "twice the same":
        value = {"model": value["model"]}  # the writer keeps no identities
    assert same(from_torch(written(tmp_path, value, form), state=name, **SAID))


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "best.ckpt", "pytorch_model.bin", "best.pth.tar", "epoch=3"])
def test_the_name_of_the_file_says_nothing(name: str, tmp_path: Path) -> None:
    assert same(from_torch(written(tmp_path, LIGHTNING, name=name), **SAID))


@pytest.mark.parametrize("case", ["one of two", "one of two, deeper", "DataParallel", "twice the same"])
def test_a_checkpoint_that_is_loaded_already(case: str) -> None:
    value, name = READ[case]
    assert same(from_torch(value, state=name, **SAID))


def test_names_may_be_those_with_wrappers() -> None:
    said = {"modules": ["module.rnn", "module.head"], "activations": {"module.head": "tanh"}}
    plain = from_torch(STATE, modules=["rnn", "head"], activations={"head": "tanh"})
    assert from_torch(under("module"), **said).fingerprint == plain.fingerprint
    more = under("module") | {"module.loss": np.zeros(3, np.float32)}
    assert from_torch(more, ignore="module.loss", **said).fingerprint == plain.fingerprint


@pytest.mark.parametrize("dtype", ["f8", "f2"])
def test_floating_types(dtype: str, tmp_path: Path) -> None:
    arrays = {name: array.astype(dtype) for name, array in STATE.items()}
    assert same(from_torch(written(tmp_path, arrays), **SAID), arrays)


def test_tensors_outside_of_the_state_dict_are_listed(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"net": STATE, "scaler": {"mean": np.zeros(3, np.float32)}, "losses": np.ones(9), "best": {"loss": np.ones(1)}},
    )
    with pytest.warns(ReadingWarning, match=r"assumed: losses, scaler\.mean in the checkpoint, outside of the state"):
        from_torch(path, **SAID)


def test_import_takes_the_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, {"model": EMA, "ema": STATE})
    words = ["import", str(path), "-o", str(tmp_path / "net.safetensors"), "--modules", "rnn,head"]
    words += ["--activation", "head=none"]
    assert main(words) != 0
    assert "2 state_dicts, model, ema; name the one that is meant, such as state='model' (--state model)" in (
        " ".join(capsys.readouterr().err.split())
    )
    assert main([*words, "--state", "ema"]) == 0
    assert same(edge_rnn.load(tmp_path / "net.safetensors"))


def pickled_alone(pickled: bytes) -> Callable[[], bytes]:
    """File with this pickle."""
    import io
    import zipfile

    def make() -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a/data.pkl", pickled)
        return file.getvalue()

    return make


REFUSED: dict[str, tuple[Any, dict[str, Any], type[EdgeRnnError], str]] = {
    "two": ({"model": EMA, "ema": STATE}, {}, InputError, r"holds 2 state_dicts, model, ema; name the one that is"),
    "no such name": ({"model": STATE}, {"state": "ema"}, InputError, r"holds no state_dict 'ema'; expected model"),
    "an optimizer alone": ({"opt": OPTIMIZER}, {}, FileError, r"holds a dict with 'opt'; expected a state_dict"),
    "an object": (Instance("a.B", {"x": 1}), {}, FileError, r"holds a\.B; expected a state_dict"),
    "a number": (7, {}, FileError, r"holds int; expected a state_dict"),
    "a view beyond its storage": (
        Instance("torch._utils._rebuild_tensor_v2"), {}, FileError, r"is not a file of torch\.save, or is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    value, said, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        from_torch(written(tmp_path, value), **said)


def tensor(storage: bytes, rest: bytes) -> bytes:
    """Pickle of a dict with one tensor."""
    kind = b"ctorch\nFloatStorage\n"
    pid = b"(X\x07\0\0\0storage" + kind + storage + b"X\x03\0\0\0cpuK\x04tQ"
    return b"\x80\x02}X\x08\0\0\0a.weightctorch._utils\n_rebuild_tensor_v2\n(" + pid + rest + b"tRs."


NAMED = b"X\x01\0\0\x000"
DAMAGED: dict[str, tuple[bytes, type[EdgeRnnError], str]] = {
    "no storage in the file": (tensor(NAMED, b"K\0K\x02K\x02\x86K\x02K\x01\x86\x89N"), FileError, "has no data/0"),
    "a negative stride": (tensor(NAMED, b"K\0K\x02K\x02\x86J\xff\xff\xff\xffK\x01\x86\x89N"), FileError, "no counts"),
    "a shape of text": (tensor(NAMED, b"K\0NK\x02K\x01\x86\x89N"), FileError, "is damaged: 'a tensor without"),
    "axes and strides apart": (tensor(NAMED, b"K\0K\x02K\x02\x86K\x02\x85\x89N"), FileError, "2 axes and 1 strides"),
    "a view that is negative": (
        tensor(NAMED, b"K\0K\x02K\x02\x86K\x02K\x01\x86\x89N}X\x03\0\0\0neg\x88s"), UnsupportedError, "it is a view"),
    "a key that is no text": (tensor(b"K\x07", b"K\0))\x89N"), FileError, "a reference to no storage"),
    "a call of a function": (b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R.", FileError, r"holds os\.system; expected a"),
    "a call of a type": (b"\x80\x02cbuiltins\ntype\n(X\1\0\0\0a)}tR.", FileError, r"holds builtins\.type; expected"),
    "a memo of gigabytes": (b"\x80\x02}r\xff\xff\xff\x7f.", FileError, "MiB of memory|is damaged"),
    "an end too soon": (b"\x80\x02}", FileError, "is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_pickle(case: str, tmp_path: Path) -> None:
    pickled, kind, message = DAMAGED[case]
    path = tmp_path / "given.pt"
    path.write_bytes(pickled_alone(pickled)())
    with pytest.raises(kind, match=message) as caught:
        from_torch(path)
    assert "given.pt" in str(caught.value)


def test_nothing_that_a_pickle_names_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "harm.py").write_text(f"open({str(tmp_path / 'done')!r}, 'w')\nclass Net: pass\n", encoding="ascii")
    monkeypatch.syspath_prepend(tmp_path)
    assert same(from_torch(written(tmp_path, {"net": STATE, "object": Instance("harm.Net", {"x": 1})}), **SAID))
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("place", [30, 200, 700])
def test_a_byte_of_a_storage_that_changed_is_noticed(place: int, tmp_path: Path) -> None:
    data = bytearray(torch_archive.zipped(STATE))
    start = data.index(STATE["rnn.weight_hh_l0"].tobytes())
    data[start + place % 100] ^= 4
    (tmp_path / "given.pt").write_bytes(data)
    with pytest.raises(FileError, match="Bad CRC-32"):
        from_torch(tmp_path / "given.pt", **SAID)
