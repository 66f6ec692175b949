"""Registry of named objects of one kind: those that come with edge_rnn, and those that other packages add.

Both are named the same way, ``beacon = "my_package.beacon:BEACON"``: edge_rnn's own in a table, others as entry points
of a group. A module is imported when its object is looked up by name, or when all objects are listed; never by
importing edge_rnn, or by listing names alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Generic, TypeVar

from edge_rnn.errors import UnsupportedError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["Contents", "Registry"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Contents(Generic[T]):
    """Contents of a registry.

    Parameters
    ----------
    things
        Objects by name: edge_rnn's own first, in their order.
    faults
        Reasons why objects of other packages cannot be used, one sentence each.
    """

    things: Mapping[str, T]
    faults: tuple[str, ...]


class Registry(Generic[T]):
    """Registry of objects by name.

    Parameters
    ----------
    group
        Group of the entry points that add objects.
    what
        Name of such an object, for messages: ``"source"``.
    type_
        Class of the objects.
    own
        Objects that come with edge_rnn, ``{"beacon": "edge_rnn.beacon:BEACON"}``.
    names
        ``names(thing)``: names of an object; the entry point's name has to be among them.
    conflict
        ``conflict(thing, others)``: reason why an object cannot be used together with others, empty if it can.
    """

    def __init__(
        self,
        group: str,
        what: str,
        type_: type[T],
        own: Mapping[str, str],
        names: Callable[[T], Iterable[str]],
        conflict: Callable[[T, Iterable[T]], str] = lambda thing, others: "",
    ) -> None:
        self.group = group
        self._what = what
        self._type = type_
        self._names = names
        self._conflict = conflict
        self._own = own

    def names(self) -> tuple[str, ...]:
        """All names, edge_rnn's own first; nothing is imported."""
        return tuple(dict.fromkeys((*self._own, *(each.name for each in self._entry_points()))))

    def own(self) -> tuple[T, ...]:
        """Objects that come with edge_rnn, without duplicates."""
        return _unique(map(self._load_own, self._own))

    def find(self, name: str) -> T | None:
        """Look up an object by name, None if it is unknown; edge_rnn's own names come before those of other packages.

        Raises
        ------
        UnsupportedError
            The package that adds the name cannot be imported, or its object does not fit the registry.
        """
        if name in self._own:
            return self._load_own(name)
        found = (self._load(each, self.own()) for each in self._entry_points() if each.name == name)
        return next(found, None)

    def contents(self) -> Contents[T]:
        """All objects: edge_rnn's own, and those of other packages, which are imported."""
        things: dict[str, T] = {name: self._load_own(name) for name in self._own}
        faults = []
        for each in self._entry_points():
            try:
                if each.name in things:
                    raise self._fault(each, "the name is taken, expected another one")
                things[each.name] = self._load(each, things.values())
            except UnsupportedError as fault:
                faults.append(str(fault))
        return Contents(things, tuple(faults))

    def unique(self) -> tuple[T, ...]:
        """All usable objects, without duplicates for those that have several names."""
        return _unique(self.contents().things.values())

    def _entry_points(self) -> Iterator[EntryPoint]:
        from importlib import metadata  # slow to import, so only when it is needed

        yield from metadata.entry_points(group=self.group)

    def _load_own(self, name: str) -> T:
        module, _, attribute = self._own[name].partition(":")
        thing: T = getattr(import_module(module), attribute)
        return thing

    def _load(self, entry_point: EntryPoint, others: Iterable[T]) -> T:
        try:
            thing = entry_point.load()
        except Exception as error:  # importing another package may raise anything
            raise self._fault(entry_point, f"{type(error).__name__}: {error}") from error
        if not isinstance(thing, self._type):
            kind = thing.__name__ if isinstance(thing, type) else f"a {type(thing).__name__}"
            raise self._fault(entry_point, f"{entry_point.value} is {kind}, expected a {self._type.__name__}")
        names = tuple(self._names(thing))
        if entry_point.name not in names:
            raise self._fault(entry_point, f"its own name is {' or '.join(map(repr, names))}")
        conflict = self._conflict(thing, others)
        if conflict:
            raise self._fault(entry_point, conflict)
        return thing

    def _fault(self, entry_point: EntryPoint, reason: str) -> UnsupportedError:
        dist = entry_point.dist
        package = f"the package {dist.name} {dist.version}" if dist else entry_point.value
        remedy = f"; pip install -U {dist.name}, or pip uninstall {dist.name}" if dist else ""
        return UnsupportedError(
            f"the {self._what} {entry_point.name!r} of {package} cannot be used: {reason.rstrip('.')}{remedy}."
        )


def _unique(things: Iterable[T]) -> tuple[T, ...]:
    return tuple({id(each): each for each in things}.values())
