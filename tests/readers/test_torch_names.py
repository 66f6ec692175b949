"""Arrays whose names are not PyTorch's, in ``.npz`` and other files: named one by one."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import edge_rnn
import torch_archive
from edge_rnn import Stream
from edge_rnn.cli import main
from edge_rnn.errors import EdgeRnnError, FileError, InputError
from edge_rnn_export import from_torch

RNG = np.random.default_rng(1963)
STATE = {
    name: RNG.uniform(-1, 1, shape).astype(np.float32)
    for name, shape in (("rnn.weight_ih_l0", (9, 2)), ("rnn.weight_hh_l0", (9, 3)), ("fc.weight", (2, 3)))
}
NAMES = {"w:in": "rnn.weight_ih_l0", "w:rec": "rnn.weight_hh_l0", "w:out": "fc.weight"}
ARRAYS = {short: STATE[name] for short, name in NAMES.items()}
SAID: dict[str, Any] = {"modules": ["rnn", "fc"], "activations": {"fc": "none"}}
EXPECTED = from_torch(STATE, **SAID).fingerprint


def as_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(path.with_suffix(".npz"), **arrays)
    path.with_suffix(".npz").rename(path)


WRITERS = {
    "net.npz": as_npz,
    "net.safetensors": lambda path, arrays: save_file(arrays, path),
    "net.pt": lambda path, arrays: path.write_bytes(torch_archive.zipped({"net": arrays, "epoch": 3})),
    "net.pt2": lambda path, arrays: path.write_bytes(torch_archive.exported(arrays)),
    "net": as_npz,
}


@pytest.mark.parametrize("name", WRITERS)
def test_arrays_of_a_file(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name, ARRAYS | {"mfcc": np.zeros((4, 1, 25), np.float32)})
    assert from_torch(tmp_path / name, names=NAMES, **SAID).fingerprint == EXPECTED


def test_arrays_of_a_state_dict() -> None:
    assert from_torch(ARRAYS, names=NAMES, **SAID).fingerprint == EXPECTED


def test_npz_with_pytorchs_names(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "net.npz", **STATE)
    assert from_torch(tmp_path / "net.npz", **SAID).fingerprint == EXPECTED


def test_import_takes_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", **ARRAYS)
    words = ["import", str(tmp_path / "net.npz"), "-o", str(tmp_path / "model.safetensors"), "--modules", "rnn,fc"]
    words += ["--activation", "fc=none", *(f"--array={short}={name}" for short, name in NAMES.items())]
    assert main(words) == 0
    assert edge_rnn.load(tmp_path / "model.safetensors").fingerprint == EXPECTED


def test_a_recording_is_still_told_from_a_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "walk.npz", x=np.zeros((5, 2)))
    assert main(["inspect", str(tmp_path / "walk.npz")]) != 0
    assert "NumPy arrays (.npz), expected a model file of edge_rnn; pass it as the recording" in (
        " ".join(capsys.readouterr().err.split())
    )
    with pytest.raises(FileError, match=r"walk\.npz: is NumPy arrays \(\.npz\), expected a trained network, and holds"):
        from_torch(tmp_path / "walk.npz")


REFUSED: list[tuple[Any, type[EdgeRnnError], str]] = [
    ({"w:inn": "rnn.weight_ih_l0"}, InputError, r"an array 'w:inn', which does not exist; expected w:in, w:rec, w:out"),
    (dict.fromkeys(ARRAYS, "fc.weight"), InputError, r"several arrays 'fc\.weight'; expected each name once"),
    ({"w:in": 3}, InputError, r"names got 3 for 'w:in', expected the name of a parameter"),
]


@pytest.mark.parametrize(("names", "kind", "message"), REFUSED)
def test_refused(names: Any, kind: type[EdgeRnnError], message: str) -> None:
    with pytest.raises(kind, match=message):
        from_torch(ARRAYS, names=names, **SAID)


def member(header: bytes) -> bytes:
    return b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header


HOSTILE = {
    "objects": (member(b"{'descr': '|O', 'fortran_order': False, 'shape': (2, 2)}"), r"fc\.weight: holds object"),
    "a shape of gigabytes": (
        member(b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999, 99999)}"), r"fc\.weight: is damaged: its"),
    "code": (member(b"__import__('os').abort()"), r"fc\.weight: is damaged"),
    "no array": (b"", r"fc\.weight: is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archive(case: str, tmp_path: Path) -> None:
    content, message = HOSTILE[case]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("fc.weight.npy", content)
    (tmp_path / "net.npz").write_bytes(file.getvalue())
    with pytest.raises(FileError, match=message):
        from_torch(tmp_path / "net.npz")


def test_spelling_to_phonemes(shared_data: Path) -> None:
    """The package's own float32 is 9e-6 off, and the best phoneme leads by 0.018 or more."""
    folder = shared_data / "models" / "g2p"
    roles = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}

    def read(part: str, head: dict[str, str], **said: Any) -> Stream:
        names = {f"{part}_{short}": f"rnn.{name}_l0" for short, name in roles.items()}
        names |= {f"{part}_emb": "emb.weight", **head}
        modules = ["emb", "rnn", *(["fc"] if head else [])]
        path = folder / "checkpoint20.npz"
        return Stream(from_torch(path, names=names, modules=modules, kinds={"emb": "Embedding"}, **said))

    encoder = read("enc", {})
    decoder = read("dec", {"fc_w": "fc.weight", "fc_b": "fc.bias"}, activations={"fc": "none"})
    words = np.load(folder / "words.npz")
    letters, phonemes = list(words["alphabet"]), list(words["phoneme_names"])
    for place, word in enumerate(words["words"]):
        encoder.reset()
        for letter in (*word, "</s>"):
            encoded = encoder.step([letters.index(letter) if letter in letters else letters.index("<unk>")]).copy()
        assert np.abs(encoded - words["encoded64"][place]).max() <= 1e-5
        decoder.set_state({"rnn.h": encoded})
        token, said = phonemes.index("<s>"), []
        for logits in words["logits64"][words["offsets"][place] : words["offsets"][place + 1]]:
            found = decoder.step([token])
            assert np.abs(found - logits).max() <= 1e-4
            token = int(found.argmax())
            said.append(phonemes[token])
        assert " ".join(each for each in said if each != "</s>") == words["phonemes"][place]
