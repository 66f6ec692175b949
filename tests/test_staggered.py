"""Workers collect from different folders on, end with one list, and begin with the longest tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from longest import dealt
from staggered import rotated

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "tests" / "support"


def test_each_worker_takes_all_and_they_start_apart() -> None:
    entries = list("abcdefg")
    orders = [rotated(entries, worker, 3) for worker in range(3)]
    assert orders == [list("abcdefg"), list("cdefgab"), list("efgabcd")]
    assert rotated([], 1, 3) == []
    assert [rotated(["a"], worker, 3) for worker in range(3)] == [["a"]] * 3


def test_each_worker_begins_with_its_share_of_the_longest() -> None:
    assert dealt(list("ABCDE"), list("rstuvwxyz"), 3) == [*"ADrs", *"BEtuv", *"Cwxyz"]
    assert dealt(list("AB"), list("xyz"), 1) == list("ABxyz")
    assert dealt([], list("xyz"), 2) == list("xyz")
    assert dealt(list("ABCD"), ["x"], 3) == [*"AD", *"B", *"Cx"]


@pytest.mark.slow
def test_workers_import_in_other_orders_and_run_one_list(tmp_path: Path) -> None:
    """Xdist refuses to run where workers have collected other tests, or the same in another order."""
    for name in ("a", "b", "c", "d"):
        (tmp_path / "tests" / name).mkdir(parents=True)
        (tmp_path / "tests" / name / f"test_{name}.py").write_text(
            "import os, pathlib\n"
            f"with pathlib.Path({str(tmp_path)!r}, os.environ['PYTEST_XDIST_WORKER']).open('a') as log:\n"
            f"    log.write({name!r})\n"
            "def test_first(): pass\n"
            "def test_second(): pass\n"
        )
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {PLUGIN}\n")
    command = [sys.executable, "-m", "pytest", "-p", "staggered", "-n", "2", "--import-mode=importlib", "tests"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "8 passed" in done.stdout, done.stdout + done.stderr
    assert {(tmp_path / f"gw{number}").read_text() for number in range(2)} == {"abcd", "cdab"}
