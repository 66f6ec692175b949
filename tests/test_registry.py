"""Registries: own objects by name, and those of other packages, which may be broken in any way."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from distributions import Install
from edge_rnn.errors import UnsupportedError
from edge_rnn.registry import Registry

GROUP = "edge_rnn.test_things"


@dataclass(frozen=True, slots=True)
class Thing:
    names: tuple[str, ...]
    size: int = 0


def conflict(thing: Thing, others: object) -> str:
    return "it is too large" if thing.size > 9 else ""


ONE, TWO = Thing(("one", "uno")), Thing(("two",))
OWN = {"one": "test_registry:ONE", "uno": "test_registry:ONE", "two": "test_registry:TWO"}
MODULE = """\
from test_registry import Thing

THREE = Thing(("three", "tre"))
ONE = Thing(("one",))
FAR = Thing(("large",), 10)
"""


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry[Thing]:
    monkeypatch.setitem(sys.modules, "test_registry", sys.modules[__name__])
    return Registry(GROUP, "thing", Thing, OWN, lambda thing: thing.names, conflict)


def test_own_things_are_found_by_each_of_their_names(registry: Registry[Thing]) -> None:
    assert registry.find("uno") is registry.find("one") is ONE
    assert registry.find("three") is None
    assert registry.unique() == registry.own() == (ONE, TWO)
    assert registry.contents().faults == ()


def test_things_of_other_packages_come_after_our_own(registry: Registry[Thing], install: Install) -> None:
    install("toy-things", {GROUP: {"three": "toy_things:THREE", "tre": "toy_things:THREE"}}, {"toy_things": MODULE})
    assert registry.find("tre") == Thing(("three", "tre"))
    assert [*registry.contents().things] == ["one", "uno", "two", "three", "tre"]
    assert len(registry.unique()) == 3


def test_names_alone_import_nothing(registry: Registry[Thing], install: Install) -> None:
    install("toy-things", {GROUP: {"three": "toy_missing:THREE", "two": "toy_things:ONE"}}, {"toy_things": MODULE})
    assert registry.names() == ("one", "uno", "two", "three")
    assert "toy_things" not in sys.modules


def test_no_other_package_is_imported_for_a_name_of_our_own(registry: Registry[Thing], install: Install) -> None:
    install("toy-things", {GROUP: {"one": "toy_things:ONE"}}, {"toy_things": MODULE})
    assert registry.find("one") is ONE
    assert "toy_things" not in sys.modules


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("four", "toy_missing:FOUR", "ModuleNotFoundError: No module named 'toy_missing'"),
        ("four", "toy_broken:FOUR", "ZeroDivisionError: division by zero"),
        ("four", "toy_things:FOUR", "AttributeError: module 'toy_things' has no attribute 'FOUR'"),
        ("four", "toy_things:THREE", "its own name is 'three' or 'tre'"),
        ("four", "toy_things:MODULE", "toy_things:MODULE is a str, expected a Thing"),
        ("large", "toy_things:FAR", "it is too large"),
    ],
)
def test_unusable_objects_are_reported_with_their_package(
    registry: Registry[Thing], install: Install, name: str, value: str, reason: str
) -> None:
    text = MODULE + "MODULE = ''\n"
    install("toy-things", {GROUP: {name: value}}, {"toy_things": text, "toy_broken": "1 / 0\n"})
    told = f"the thing '{name}' of the package toy-things 1.5 cannot be used: {reason}; pip install -U toy-things, or "
    with pytest.raises(UnsupportedError) as caught:
        registry.find(name)
    assert str(caught.value) == told + "pip uninstall toy-things."
    found = registry.contents()
    assert found.faults == (str(caught.value),)
    assert [*found.things] == ["one", "uno", "two"]


def test_a_name_that_is_taken_is_refused(registry: Registry[Thing], install: Install) -> None:
    install("toy-first", {GROUP: {"three": "toy_things:THREE"}}, {"toy_things": MODULE})
    install("toy-second", {GROUP: {"three": "toy_things:THREE", "one": "toy_things:ONE"}}, {})
    found = registry.contents()
    assert found.things["one"] is ONE
    assert len(found.faults) == 2
    assert all("the name is taken" in fault for fault in found.faults)
    assert "the thing 'one' of the package toy-second 1.5" in "".join(found.faults)
