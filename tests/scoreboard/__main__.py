"""Write the page of public networks: ``python -m tests.scoreboard > docs/reference/public_networks.md``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from tests.scoreboard.report import page


def main() -> int:
    """Print the page."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("EDGE_RNN_SHARED_DATA", beside)) / "models"
    if not folder.is_dir():
        print(f"{folder} does not exist; EDGE_RNN_SHARED_DATA names the folder of networks by others", file=sys.stderr)
        return 1
    sys.stdout.write(page(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
