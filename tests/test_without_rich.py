"""The packages work without rich; commands that print with it say that it is missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edge_rnn
from edge_rnn import Stream
from edge_rnn.cli.shared.console import BareConsole

ROOT = Path(__file__).parents[1]
BLOCK = "import sys\nsys.modules['rich'] = None\n"  # importing it, or a part of it, is a ModuleNotFoundError
LIBRARY = """
import numpy as np, edge_rnn, edge_rnn_export
from edge_rnn.loop import SensorLoop, sinks, sources
model = edge_rnn.load(edge_rnn.data_path("smart_watch/gru.safetensors"))
xs = np.load(edge_rnn.data_path("smart_watch/recording.npz"))["x"][:200]
small = edge_rnn.quantize(model, "int8", calibration=xs)
edge_rnn.save(small, sys.argv[1])
rows, ys = iter(xs), []
source, sink = sources.Call(lambda: next(rows, None), live=False), sinks.Call(lambda y, t_s: ys.append(y.copy()))
SensorLoop(edge_rnn.Stream(small), source, sink, rate_hz=100_000, any_rate=True).run()
edge_rnn.boards.names(), edge_rnn.live.serving, edge_rnn.sampling.generate, edge_rnn.analysis
np.save(sys.argv[2], np.array(ys))
"""
COMMAND = "from edge_rnn.cli import main\nsys.exit(main(sys.argv[1:]))\n"


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "export")])
    return subprocess.run(
        [sys.executable, "-c", BLOCK + code, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_library_works_without_rich(tmp_path: Path) -> None:
    result = python(LIBRARY, str(tmp_path / "small.safetensors"), str(tmp_path / "ys.npy"))
    assert (result.returncode, result.stderr) == (0, "")
    xs = np.load(edge_rnn.data_path("smart_watch/recording.npz"))["x"][:200]
    expected = Stream(edge_rnn.load(tmp_path / "small.safetensors")).run(xs)
    np.testing.assert_array_equal(np.load(tmp_path / "ys.npy"), expected)


@pytest.mark.parametrize("command", ["run", "--help"])
def test_command_without_tables_works_without_rich(command: str) -> None:
    network, recording = (
        str(edge_rnn.data_path(f"smart_watch/{name}")) for name in ("gru.safetensors", "recording.csv")
    )
    result = python(COMMAND, *((command, network, recording) if command == "run" else (command,)))
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) > 20


@pytest.mark.parametrize(
    ("command", "said"), [("doctor", r"(?m)^kernel cache +/"), ("demo", r"(?m)^ +1 +0  Running +Running +\d+ of \d+$")]
)
@pytest.mark.sampled(1)
def test_command_that_only_lists_facts_works_without_rich(command: str, said: str) -> None:
    result = python(COMMAND, command)
    assert (result.returncode, result.stderr) == (0, "")
    assert re.search(said, result.stdout), result.stdout


def test_console_without_rich_draws_nothing() -> None:
    with pytest.raises(ModuleNotFoundError, match="rich"):
        BareConsole().width  # noqa: B018


def test_command_that_prints_tables_says_that_it_needs_rich() -> None:
    result = python(COMMAND, "inspect", str(edge_rnn.data_path("smart_watch/gru.safetensors")))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "edge-rnn: this command prints with rich, which is not installed: pip install 'edge-rnn[cli]'.\n"
    )
