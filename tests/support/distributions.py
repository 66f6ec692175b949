"""Third-party packages: a folder on ``sys.path`` with modules and distribution metadata, as installed by pip."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

Install = Callable[..., None]
"""``install(name, entry_points, modules)``; see :func:`install`."""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A function that makes a distribution of a name: ``{group: {name: value}}``, and modules by name, as texts."""
    made: list[str] = []

    def put(name: str, entry_points: Mapping[str, Mapping[str, str]], modules: Mapping[str, str]) -> None:
        site = tmp_path / "site" / name
        info = site / f"{name.replace('-', '_')}-1.5.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        groups = (
            f"[{group}]\n" + "".join(f"{each} = {value}\n" for each, value in entries.items())
            for group, entries in entry_points.items()
        )
        (info / "entry_points.txt").write_text("\n".join(groups))
        for module, text in modules.items():
            (site / f"{module}.py").write_text(textwrap.dedent(text))
        made.extend(modules)
        monkeypatch.syspath_prepend(str(site))
        importlib.invalidate_caches()

    yield put
    for module in made:
        sys.modules.pop(module, None)
