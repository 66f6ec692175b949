"""Links of the distribution: those of the repository that it is released from, given by the release workflow.

A build elsewhere has none, since nothing in the source says where it lives.
"""

from __future__ import annotations

import os
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

__all__ = ["Links"]

_VARIABLE = "EDGE_RNN_REPOSITORY_URL"


class Links(MetadataHookInterface):
    """Hook of hatchling that fills in ``project.urls``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the links below the repository's URL, if it is set."""
        if repository := os.environ.get(_VARIABLE, "").rstrip("/"):
            metadata["urls"] = {
                "Source": repository,
                "Issues": f"{repository}/issues",
                "Changelog": f"{repository}/blob/main/CHANGELOG.md",
            }
