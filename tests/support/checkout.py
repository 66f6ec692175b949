"""Commands that run the code of this checkout."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["ROOT", "environment"]

ROOT = Path(__file__).parents[2]


def environment(*folders: Path) -> dict[str, str]:
    """Environment in which Python finds the packages of the checkout; ``folders`` come first where programs are."""
    paths = [str(ROOT), str(ROOT / "export"), *filter(None, [os.environ.get("PYTHONPATH")])]
    programs = [*map(str, folders), os.environ["PATH"]]
    return {**os.environ, "PATH": os.pathsep.join(programs), "PYTHONPATH": os.pathsep.join(paths)}
