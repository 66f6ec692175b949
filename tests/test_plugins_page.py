"""Example of docs/how_to/add_source.md, installed as on the page and used by its commands."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from distributions import Install
from edge_rnn.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "how_to" / "add_source.md"
TEXT = PAGE.read_text(encoding="utf-8")
FILES = dict(re.findall(r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"^<!-- commands -->\n```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def package(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads(FILES["pyproject.toml"])
    modules = {name.removesuffix(".py"): text for name, text in FILES.items() if name.endswith(".py")}
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["include"] == [f"{name}.py" for name in modules]
    install(project["project"]["name"], project["project"]["entry-points"], modules)
    monkeypatch.chdir(tmp_path)
    table = re.search(r"`harbor\.tide` as `(.*?)`", TEXT)
    assert table is not None
    Path("harbor.tide").write_text(table[1])
    Path("day.txt").write_text("-0.5 0.5 1.5 2.0 0.1")


@pytest.mark.usefixtures("package")
def test_commands_do_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    (commands,) = COMMANDS
    for line in commands.splitlines():
        assert main(shlex.split(line)[1:]) == 0, capsys.readouterr().err
    assert "read         Tide table: " in capsys.readouterr().out
    # h = tanh(1.0 x + 0.25 h) of heights 0, 1, 2, 2.5, 0.6: 0, 0.762, 0.976, 0.991, 0.691
    assert Path("alarms.txt").read_text() == "10800 s: 0.98\n14400 s: 0.99\n"


@pytest.mark.usefixtures("package")
def test_lists_and_help_have_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--sources"]) == 0
    out = capsys.readouterr().out
    assert "tide:FILE" in out
    assert "a line for each output above ?above=0.5" in out
    assert main(["run", "--help"]) == 0
    out = capsys.readouterr().out
    assert " mic: tide:\n" in out
    assert " null: alarm: " in out
    assert main(["import", "--help"]) == 0
    out = capsys.readouterr().out
    assert "for Tide table:\n  --tide-scale X" in out
    assert "a tide table (.tide)" in " ".join(out.split())


@pytest.mark.usefixtures("package")
def test_a_service_has_the_full_paths_of_their_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "harbor.tide", "-o", "harbor.safetensors"]) == 0
    words = ["setup", "harbor.safetensors", "--source", "tide:day.txt", "--sink", "alarm:out/a.txt?above=1"]
    capsys.readouterr()
    assert main([*words, "--rate", "1", "--any-rate", "--user", "root"]) == 0
    out = capsys.readouterr().out
    assert f" --source tide:{tmp_path}/day.txt --sink alarm:{tmp_path}/out/a.txt?above=1 " in out
    assert f"ReadWritePaths={tmp_path}/out\n" in out
