"""Networks and interpreters for tests of code for other processors."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

import needs
from edge_rnn import Model
from emulated import FORMATS, cell_of_many_functions, lstm_of_every_option, run


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
def debian_python(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """Function that returns the command of Debian's Python for ``"arm64"`` or ``"armhf"``, without NumPy and Numba."""

    @cache
    def debian_python(architecture: str) -> list[str]:
        root = tmp_path_factory.mktemp(architecture) / "root"
        options = ["--variant=extract", f"--architectures={architecture}", "--include=python3,libpython3.11-stdlib"]
        done = run([needs.path("mmdebstrap"), *options, "bookworm", str(root)])
        assert done.returncode == 0, done.stderr[-2000:]
        emulator = {"arm64": "qemu-aarch64", "armhf": "qemu-arm"}[architecture]
        return [needs.path(emulator), "-L", str(root), str(root / "usr" / "bin" / "python3.11")]

    return debian_python
