"""Registry of sources and sinks: its use by help, docs, services and doctor, and forms of other packages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edge_rnn
from distributions import Install
from edge_rnn import Elman, Model
from edge_rnn.cli import main
from edge_rnn.cli.run.setup import _End
from edge_rnn.errors import InputError, UnsupportedError
from edge_rnn.loop import Scheme, open_sink, open_source
from edge_rnn.loop.schemes import SINKS, SOURCES
from edge_rnn.registry import Registry

ROOT = Path(__file__).parents[2]
BOTH = {"source": SOURCES, "sink": SINKS}
TOY = """\
from functools import partial

from edge_rnn.loop import Scheme
from edge_rnn.loop.scheme import Secret, whole
from edge_rnn.loop.sources import Call


def toy_source(url, model):
    value = float(url.options.get("start", 0))
    return lambda: Call(lambda: [value], sample_rate_hz=5.0)


class Sink:
    def __init__(self, place):
        self.place = place

    def write(self, y, t_s):
        pass


SOURCE = Scheme(
    name="toy",
    place="BUS",
    help="a toy",
    open=toy_source,
    options={"start": whole, "key": str},
    kind="network",
    aliases=("toys",),
    group="root",
    files=("key",),
    secret=Secret("keys of a toy", option="key", credential="toy-key", variables=("TOY_KEY",)),
    packages=("toy-driver",),
    install="edge-rnn-toy",
    ability="read a toy",
)
SINK = Scheme(name="box", place="PLACE", help="a box", open=lambda url, model: partial(Sink, url.place))
"""


def model() -> Model:
    return Model([Elman(np.eye(1), np.eye(1))], sample_rate_hz=5)


@pytest.fixture
def toy(install: Install) -> None:
    points = {
        "edge_rnn.sources": {"toy": "toy_forms:SOURCE", "toys": "toy_forms:SOURCE"},
        "edge_rnn.sinks": {"box": "toy_forms:SINK"},
    }
    install("toy-forms", points, {"toy_forms": TOY})


@pytest.mark.parametrize("end", BOTH)
def test_each_form_of_our_own_is_found_by_its_names(end: str) -> None:
    registry = BOTH[end]
    assert {name for scheme in registry.own() for name in scheme.names} == set(registry.names())
    for scheme in registry.own():
        assert all(registry.find(name) is scheme for name in scheme.names)
        assert {*scheme.files} <= scheme.options.keys()
        assert scheme.secret is None or scheme.secret.option in scheme.files
        assert bool(scheme.packages) == bool(scheme.install) == bool(scheme.ability)


def test_page_lists_all_forms() -> None:
    text = (ROOT / "docs" / "reference" / "sensor_loop.md").read_text(encoding="utf-8")
    section = text.partition("## Sources and sinks\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| `")]
    listed = {form.strip("`"): (of, needs.strip("`")) for form, of, _, needs in rows}
    known = {}
    for end, registry in BOTH.items():
        for scheme in registry.own():
            known[scheme.form] = ("both" if scheme.form in known else end, scheme.install)
    assert listed == known


def test_help_and_list_are_made_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    out = capsys.readouterr().out
    assert "  sources    " + " ".join(f"{name}:" for name in SOURCES.names()) + "\n" in out
    assert "  sinks      " + " ".join(f"{name}:" for name in SINKS.names()) + "  " in out
    assert main(["run", "--sources"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    for registry in BOTH.values():
        assert all(f"{scheme.form} {scheme.help}" in words for scheme in registry.own())


def test_help_of_run_imports_no_source() -> None:
    code = """
import sys
from edge_rnn.cli import main
assert main(["run", "--help"]) == 0
print([name for name in sys.modules if name.startswith(("edge_rnn.loop.so", "edge_rnn.loop.si", "edge_rnn.streams"))])
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_doctor_lists_the_needs_of_forms(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    for registry in BOTH.values():
        for scheme in registry.own():
            assert {*scheme.packages} <= found["packages"].keys()
            missing = [name for name in scheme.packages if found["packages"][name] is None]
            if scheme.ability:
                assert found["able"][scheme.ability]["missing"] == missing


@pytest.mark.parametrize("end", BOTH)
def test_text_of_no_form_is_answered_by_all_of_them(end: str) -> None:
    forms = ", ".join(scheme.form for scheme in BOTH[end].own())
    opened = open_source if end == "source" else open_sink
    with pytest.raises(InputError, match=re.escape(f"'ftp:x' has an unknown form, expected one of {forms}.")):
        opened("ftp:x", model())


# Of other packages


@pytest.mark.usefixtures("toy")
def test_forms_of_another_package_are_opened() -> None:
    for name in ("toy", "toys"):
        source = open_source(f"{name}:1?start=0x10", model())
        assert callable(source)
        assert source().read() == [16.0]
    assert vars(open_sink("box:a/b", model())) == {"place": "a/b"}
    with pytest.raises(InputError, match=r"'toy:1\?begin=1' has the unknown option 'begin', expected start, key"):
        open_source("toy:1?begin=1", model())
    with pytest.raises(InputError, match=r"'toy:1\?start=x' has the invalid start='x', expected a number"):
        open_source("toy:1?start=x", model())


@pytest.mark.usefixtures("toy")
def test_a_service_is_made_of_what_the_form_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    edge_rnn.save(model(), "m.safetensors")
    words = ["setup", "m.safetensors", "--name", "x", "--user", "root", "--sink", "box:a/b", "--source"]
    assert main([*words, "toy:1?key=my.key&start=1"]) == 0
    out, err = capsys.readouterr()
    assert "--source toy:1?start=1 --sink box:a/b " in out
    assert f"LoadCredential=toy-key:{tmp_path}/my.key\n" in out
    assert "SupplementaryGroups=root\n" in out
    assert "After=network-online.target\n" in out
    assert "ReadWritePaths" not in out
    assert "keys of a toy" not in err
    assert main([*words, "toy:1"]) == 0
    out, err = capsys.readouterr()
    assert "EnvironmentFile=-/etc/edge-rnn/edge-rnn-x.env\n" in out
    assert err.endswith(
        "put keys of a toy into /etc/edge-rnn/edge-rnn-x.env (sudo chmod 600), one per line: TOY_KEY=…\n"
    )


@pytest.mark.usefixtures("toy")
def test_doctor_lists_the_needs_of_forms_of_another_package(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["packages"]["toy-driver"] is None
    missing = {"possible": False, "missing": ["toy-driver"], "install": "pip install 'edge-rnn-toy'"}
    assert found["able"]["read a toy"] == missing
    assert found["faults"] == []


def test_a_broken_form_of_another_package_affects_nothing_else(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(
        "toy-forms", {"edge_rnn.sources": {"toy": "toy_forms:SOURCE", "csv": "toy_forms:CSV"}}, {"toy_forms": "1/0"}
    )
    assert callable(open_source("serial:/dev/ttyNONE", model()))
    with pytest.raises(UnsupportedError, match=r"^the source 'toy' of the package toy-forms 1\.5 cannot be used: Zero"):
        open_source("toy:1", model())
    assert main(["run", "--sources"]) == 0
    out, err = capsys.readouterr()
    assert "csv:FILE" in out
    assert "edge-rnn: the source 'toy' of the package toy-forms 1.5 cannot be used: ZeroDivisionError" in err
    assert "the source 'csv' of the package toy-forms 1.5 cannot be used: the name is taken" in err
    main(["doctor"])
    assert "the source 'toy' of the package toy-forms 1.5 cannot be used" in " ".join(capsys.readouterr().out.split())


# Texts of services


@pytest.mark.parametrize(
    ("registry", "url", "expected"),
    [
        (SOURCES, "csv:a/b.csv?time=t,ms&follow=1", "csv:/abs/a/b.csv?time=t,ms&follow=1"),
        (SOURCES, "csv:-?time=t", "csv:-?time=t"),
        (SOURCES, "serial:ttyUSB0?baud=9600", "serial:ttyUSB0?baud=9600"),
        (SOURCES, "mqtts://h/a?ca=c+a.pem&qos=1", "mqtts://h/a?ca=/abs/c%20a.pem&qos=1"),
        (SOURCES, "wav:x.wav", "wav:/abs/x.wav"),
        (SINKS, "jsonl:/srv/x", "jsonl:/srv/x"),
        (SINKS, "null:", "null:"),
    ],
)
def test_paths_in_a_text_become_absolute(
    registry: Registry[Scheme], url: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "absolute", lambda path: Path("/abs") / path)
    scheme = registry.find(url.partition(":")[0])
    assert scheme is not None
    assert _End(url, scheme).absolute().url == expected
