"""Run a part of the tests on an emulated aarch64 processor: the JIT runtime itself, including Numba.

    python tests/devices/emulate_runtime.py [--cpu cortex-a72] [--folder DIR] [pytest's arguments]

Takes Debian's Python for aarch64 (mmdebstrap) and PyPI's wheels for it, and QEMU's user mode (qemu-user-static): a
minute to fetch, then some 15 for the default tests. Those that start further processes are left out, since a program
of the emulated system cannot start another one. With ``--folder`` what was fetched is kept for the next time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("numba", "numpy>=2", "rich", "safetensors", "pytest", "hypothesis")
TESTS = (
    *(f"kernels/test_{name}" for name in ("activations", "cells", "variants")),
    *(f"streams/test_{name}" for name in ("nonfinite", "stream", "stream_bank")),
)
LEFT_OUT = "not process and not thread and not fork and not overhead and not malloc and not pickle"
FEATURES = {"cortex-a53": "", "cortex-a72": "", "cortex-a76": "+dotprod"}


def fetch(folder: Path) -> None:
    """Fill a folder with a system and packages, unless they are there."""
    root, site = folder / "root", folder / "site"
    if not root.is_dir():
        include = "--include=python3,libpython3.11-stdlib,libstdc++6"
        command = ["mmdebstrap", "--variant=extract", "--architectures=arm64", include, "bookworm", str(root)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    if not site.is_dir():
        platforms = [f"--platform=manylinux{version}_aarch64" for version in ("_2_28", "_2_17", "2014")]
        options = ["--python-version=3.11", "--implementation=cp", "--only-binary=:all:", f"--target={site}"]
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", *platforms, *options, *PACKAGES], check=True)


def main() -> int:
    """Fetch, and run pytest in the emulator; its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cpu", choices=FEATURES, default="cortex-a72")
    parser.add_argument("--folder", type=Path, help="where to keep system and packages")
    args, rest = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as aside:
        folder = args.folder or Path(aside)
        folder.mkdir(parents=True, exist_ok=True)
        fetch(folder)
        # QEMU reports every ARM processor as "generic", so its name is passed to Numba and edge_rnn.
        environment = os.environ | {
            "NUMBA_CPU_NAME": args.cpu,
            "NUMBA_CPU_FEATURES": FEATURES[args.cpu],
            "EDGE_RNN_CACHE_DIR": str(folder / f"kernels-{args.cpu}"),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{folder / 'site'}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        python = str(folder / "root" / "usr" / "bin" / "python3.11")
        qemu = shutil.which("qemu-aarch64-static") or "qemu-aarch64"
        emulator = [qemu, "-cpu", args.cpu, "-L", str(folder / "root"), python]
        given = rest or ["-k", LEFT_OUT, *(f"tests/{name}.py" for name in TESTS)]
        plain = ["-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]  # in this one process
        command = [*emulator, "-m", "pytest", "-q", *plain, *given]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
