"""Hooks of the build: links of the distribution, and wheels that hold compiled kernels.

Both do something only if an environment variable asks for it, as the release workflow does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

__all__ = ["Kernels", "Links"]

_REPOSITORY = "EDGE_RNN_REPOSITORY_URL"
_ARCHITECTURE = "EDGE_RNN_WHEEL_FOR"
# Kernels call nothing of the C library, so that only what NumPy needs counts. Armv6 has no manylinux tag.
_TAGS = {
    "x86_64": "manylinux_2_17_x86_64.manylinux2014_x86_64",
    "aarch64": "manylinux_2_17_aarch64.manylinux2014_aarch64",
    "arm": "linux_armv6l.linux_armv7l.manylinux_2_17_armv7l.manylinux2014_armv7l",
    "riscv64": "manylinux_2_31_riscv64",
}


class Links(MetadataHookInterface):
    """Hook of hatchling that fills in ``project.urls``.

    A build elsewhere than for a release has none, since nothing in the source says where it lives.
    """

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the links below the repository's URL, if it is set."""
        if repository := os.environ.get(_REPOSITORY, "").rstrip("/"):
            metadata["urls"] = {
                "Source": repository,
                "Issues": f"{repository}/issues",
                "Changelog": f"{repository}/blob/main/CHANGELOG.md",
            }


class Kernels(BuildHookInterface[Any]):
    """Hook of hatchling that compiles kernels for an architecture into the wheel; any machine can do it.

    Without ``EDGE_RNN_WHEEL_FOR``, the wheel is pure, and so is an editable install.
    """

    def dependencies(self) -> list[str]:
        """Packages that the build needs."""
        extras = self.metadata.core.optional_dependencies
        return [*self.metadata.core.dependencies, *extras["jit"]] if _architecture() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the kernels and add their archives."""
        architecture = _architecture()
        if not architecture or version == "editable":
            return
        root = Path(self.root)
        self.folder = tempfile.TemporaryDirectory(prefix="edge_rnn_kernels")
        places = os.pathsep.join([str(root), str(root / "export"), *filter(None, [os.environ.get("PYTHONPATH")])])
        subprocess.run(
            [sys.executable, "-m", "edge_rnn_export.building.wheel_kernels", architecture, self.folder.name],
            env={**os.environ, "PYTHONPATH": places},
            check=True,
        )
        for path in sorted(Path(self.folder.name).iterdir()):
            build_data["force_include"][str(path)] = f"edge_rnn/kernels/shipped/{path.name}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{_TAGS[architecture]}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the archives, which the wheel has by now."""
        if hasattr(self, "folder"):
            self.folder.cleanup()


def _architecture() -> str:
    architecture = os.environ.get(_ARCHITECTURE, "")
    if architecture and architecture not in _TAGS:
        raise ValueError(f"{_ARCHITECTURE} is {architecture!r}, expected one of {', '.join(_TAGS)}, or nothing.")
    return architecture
