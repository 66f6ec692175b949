"""Registry of readers: its use by the command line, and readers of other packages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import edge_rnn
from distributions import Install
from edge_rnn.cli import main
from edge_rnn.errors import InputError
from edge_rnn.storage import file_kind
from edge_rnn_export.readers.by_file_name import READERS, import_file

GROUP = "edge_rnn.readers"
TOY = """\
    import json

    from edge_rnn import Elman, Model
    from edge_rnn_export.readers import Option, Reader


    def read(path, *, gain=1.0, loud=False, **about):
        found = json.loads(path.read_text())["toy"]
        return Model([Elman([[gain * found]], [[0.5]], activation="relu" if loud else "tanh")], **about)


    def check(model, path):
        return f"{path.name}: 0 off"


    TOY = Reader(
        kind="Toy",
        what="a toy",
        suffixes=(".toy",),
        read=read,
        options=(
            Option("gain", "--gain", "what the weight is multiplied with", "G", float, "a number"),
            Option("loud", "--loud", "without a limit"),
        ),
        check=check,
        recognize=lambda path: path.read_bytes().startswith(b'{"toy"'),
        examples=("edge-rnn import some.toy -o some.safetensors --gain 2",),
    )
"""


@pytest.fixture
def toy(install: Install, tmp_path: Path) -> Path:
    install("toy-reader", {GROUP: {"Toy": "toy_reader:TOY"}}, {"toy_reader": TOY})
    path = tmp_path / "some.toy"
    path.write_text(json.dumps({"toy": 0.25}))
    return path


def test_every_kind_that_contents_tell_has_a_reader() -> None:
    kinds = [kind for _, _, kind in file_kind._STARTS] + [kind for _, kind in file_kind._ZIPS]
    told = {kind.reader for kind in (*kinds, file_kind.TENSORS_FILE) if kind.reader} | {"JSON", "ONNX"}
    assert told == {reader.kind for reader in READERS.own()} == {*READERS.names()}


def test_help_tells_each_kind_with_its_options_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "--help"]) == 0
    out = capsys.readouterr().out
    words = " ".join(out.split())
    for reader in READERS.own():
        assert f"{reader.what} ({', '.join(reader.suffixes)})" in words
        assert all(f"  {option.flag}" in out for option in reader.options)
        assert all(f"\n  {example}\n" in out for example in reader.examples)
    assert "for TFLite, Keras and ONNX:\n  --upto TENSOR" in out


def test_help_of_import_loads_no_framework() -> None:
    code = """
import sys
from edge_rnn.cli import main
assert main(["import", "--help"]) == 0
heavy = {"numba", "llvmlite", "onnx", "onnxruntime", "torch", "tflite", "h5py", "keras", "rich"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["some.toy", "some.json", "some.onnx"])
def test_a_reader_of_another_package_is_used_like_our_own(
    toy: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = toy.rename(tmp_path / name)
    output = tmp_path / "model.safetensors"
    words = ["import", str(path), "-o", str(output), "--gain", "2", "--loud", "--name", "mine", "--labels", "y"]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "read         Toy: <Model mine: input(1) > elman1(1)>",
        f"compared     with {name}: 0 off",
    ]
    model = edge_rnn.load(output)
    assert model.layers[0].arrays["weight_ih"].tolist() == [[0.5]]
    assert (model.layers[0].options["activation"], model.labels) == ("relu", ("y",))


def test_its_options_are_in_the_help_and_checked(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "--help"]) == 0
    out = capsys.readouterr().out
    assert "for Toy:\n  --gain G" in out
    assert "a toy (.toy)" in " ".join(out.split())
    assert "  edge-rnn import some.toy -o some.safetensors --gain 2\n" in out
    assert main(["import", str(toy), "-o", "m.safetensors", "--gain", "much"]) == 1
    assert capsys.readouterr().err == "edge-rnn: import got --gain 'much', expected a number.\n"
    toy.write_bytes(b"\x1c\x00\x00\x00TFL3")
    with pytest.raises(InputError, match=r"import got --gain with .*: that option is only for Toy"):
        import_file(toy, gain=2.0)


def test_an_option_that_no_reader_has_is_a_mistake_in_the_call(toy: Path) -> None:
    toy.write_bytes(b"\x1c\x00\x00\x00TFL3")
    with pytest.raises(TypeError, match="'speed', which no reader has"):
        import_file(toy, speed=2)


@pytest.mark.parametrize(
    ("flag", "keyword", "words"),
    [
        ("--upto", "gain", "its option --upto (keyword 'gain') means something else to another reader"),
        ("--gain", "modules", "its option --gain (keyword 'modules') means something else to another reader"),
        ("--output", "gain", "its option --output (keyword 'gain') is an option of all readers"),
        ("--gain", "labels", "its option --gain (keyword 'labels') is an option of all readers"),
    ],
)
def test_a_reader_whose_options_clash_is_left_out(
    install: Install, flag: str, keyword: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TOY.replace('"--gain"', f'"{flag}"').replace('Option("gain"', f'Option("{keyword}"')
    install("toy-reader", {GROUP: {"Toy": "toy_reader:TOY"}}, {"toy_reader": text})
    assert main(["import", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())  # lines are as long as the terminal is wide
    assert f"the reader 'Toy' of the package toy-reader 1.5 cannot be used: {words}; pip" in shown
    (tmp_path / "some.toy").write_bytes(b"\x00")
    with pytest.raises(InputError, match=re.escape(f"{words}; pip install -U toy-reader")):
        import_file(tmp_path / "some.toy")


def test_a_broken_reader_of_another_package_affects_nothing_else(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("toy-reader", {GROUP: {"Toy": "toy_reader:TOY"}}, {"toy_reader": "import nothing_of_this_name\n"})
    (tmp_path / "amp.json").write_text('{"layers": [')
    assert main(["import", str(tmp_path / "amp.json"), "-o", str(tmp_path / "m.safetensors")]) == 1
    assert "amp.json: " in capsys.readouterr().err
    (tmp_path / "some.toy").write_bytes(b"\x00")
    assert main(["import", str(tmp_path / "some.toy"), "-o", str(tmp_path / "m.safetensors")]) == 1
    err = capsys.readouterr().err
    assert "expected a file whose name ends in one of .pt, " in err
    assert "The reader 'Toy' of the package toy-reader 1.5 cannot be used: ModuleNotFoundError: No module named" in err
