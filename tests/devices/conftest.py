"""Networks and interpreters for tests of code for other processors."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import needs
from edge_rnn import Model
from emulated import FORMATS, cell_of_many_functions, lstm_of_every_option, run

DEBIAN = {
    "arm64": ("qemu-aarch64", "aarch64-linux-gnu"),
    "armhf": ("qemu-arm", "arm-linux-gnueabihf"),
    "riscv64": ("qemu-riscv64", "riscv64-linux-gnu"),
}
"""By architecture: the emulator, and how Debian calls the folder of its libraries."""


@pytest.fixture(scope="session")
def model_of(make_model: Callable[..., Model], in_format: Callable[[Model, str], Model]) -> Callable[[str], Model]:
    """Function that makes the network of a case of ``emulated.CASES``."""

    def model_of(case: str) -> Model:
        if case == "options":
            return lstm_of_every_option()
        if case == "functions":
            return cell_of_many_functions()
        if case in FORMATS:
            return in_format(make_model("lstm", 9, 24), case)
        return make_model(case, 5, 19, layers=2, head=11)

    return model_of


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Function that returns a folder by its name, which the first of all workers of a test run fills."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made_once(name: str, fill: Callable[[Path], None]) -> Path:
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / name / "made").exists():
                shutil.rmtree(folder / name, ignore_errors=True)
                fill(folder / name)
                (folder / name / "made").touch()
        return folder / name

    return made_once


@pytest.fixture(scope="session")
def debian_python(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Callable[[str], list[str]]:
    """Function that returns the command of Debian's Python for an architecture of ``DEBIAN``.

    It has NumPy, but no Numba. The system is extracted, not installed.
    """

    def debian_python(architecture: str) -> list[str]:
        root, (emulator, triple) = made_once(architecture, partial(extract, architecture)), DEBIAN[architecture]
        libraries = ":".join(f"{root}/usr/lib/{triple}/{name}" for name in ("blas", "lapack"))
        command = [needs.path(emulator), "-L", str(root), "-E", f"LD_LIBRARY_PATH={libraries}"]
        return [*command, str(root / "usr" / "bin" / "python3.13")]

    return debian_python


def extract(architecture: str, root: Path) -> None:
    """Extract Debian 13 for an architecture."""
    packages = "python3,libpython3.13-stdlib,python3-numpy,python3-safetensors,python3-pip"
    options = ["--variant=extract", f"--architectures={architecture}", f"--include={packages}"]
    done = run([needs.path("mmdebstrap"), *options, "trixie", str(root)])
    assert done.returncode == 0, done.stderr[-2000:]
    (root / "lib").symlink_to("usr/lib")  # as the installation of base-files does
