"""Regular grammars: symbols that may follow the beginning of a text, and the context needed to know them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge_rnn.errors import InputError

__all__ = ["Grammar"]

_MOST_STATES = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Grammar:
    """Deterministic finite automaton: states, and transitions by symbol.

    Parameters
    ----------
    start
        Initial state.
    follow
        Transitions ``{state: {symbol: state}}``; a text may end in a state without transitions.

    Raises
    ------
    InputError
        A transition leads to an undefined state, or a state is unreachable, which would make more continuations look
        possible than there are.

    Examples
    --------
    >>> grammar = Grammar("even", {"even": {"a": "odd", "b": "even"}, "odd": {"a": "even"}})
    >>> grammar.allowed("ba")
    [('a', 'b'), ('a', 'b'), ('a',)]
    """

    start: str
    follow: Mapping[str, Mapping[str, str]]
    _bits: dict[str, int] = field(init=False, repr=False)
    _sets: dict[int, tuple[str, ...] | None] = field(init=False, repr=False)
    _moves: dict[tuple[int, str], int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 < len(self.follow) <= _MOST_STATES:
            raise InputError(f"Grammar got {len(self.follow)} states, expected 1 to {_MOST_STATES}.")
        named = {self.start} | {state for ways in self.follow.values() for state in ways.values()}
        for state in sorted(named - self.follow.keys()):
            raise InputError(f"Grammar names the state {state!r}, which is not defined; add it to follow.")
        for state in sorted(self.follow.keys() - self._reached()):
            raise InputError(f"Grammar has the state {state!r}, which no text reaches; leave it out.")
        object.__setattr__(self, "_bits", {state: 1 << place for place, state in enumerate(self.follow)})
        object.__setattr__(self, "_sets", {})
        object.__setattr__(self, "_moves", {})

    def allowed(self, text: Sequence[str]) -> list[tuple[str, ...]]:
        """Symbols that may follow, sorted, after each prefix of a text, from the empty one to the whole text.

        Raises
        ------
        InputError
            The text is not the beginning of a text of the grammar.
        """
        state, found = self.start, [self._after(self.start)]
        for place, symbol in enumerate(text, start=1):
            if symbol not in self.follow[state]:
                raise InputError(
                    f"the text {''.join(text)!r} does not follow the grammar: symbol {place} is {symbol!r}."
                )
            state = self.follow[state][symbol]
            found.append(self._after(state))
        return found

    def reach(self, text: Sequence[str]) -> list[int]:
        """Context length after each prefix of a text: how many of the last symbols suffice to know what may follow.

        A length equal to that of the prefix means that the start of the text has to be known too. The value is
        therefore how far back the answer depends on a symbol: a network that has forgotten that symbol can only guess.
        """
        everywhere = (1 << len(self.follow)) - 1
        found = list(range(len(text) + 1))
        for first in range(1, len(text) + 1):
            states = everywhere
            for place in range(first, len(text) + 1):
                if place > first:
                    states = self._move(states, text[place - 1])
                if self._told(states) is not None:
                    found[place] = min(found[place], place - first)
        return found

    def _after(self, state: str) -> tuple[str, ...]:
        return tuple(sorted(self.follow[state]))

    def _reached(self) -> set[str]:
        reached, new = {self.start}, [self.start]
        while new:
            ways = set(self.follow[new.pop()].values()) - reached
            reached |= ways
            new += ways
        return reached

    def _move(self, states: int, symbol: str) -> int:
        """States, as bits, that a symbol leads to from any of the given states."""
        key = (states, symbol)
        if key not in self._moves:
            ways = (w[symbol] for s, w in self.follow.items() if symbol in w and states & self._bits[s])
            self._moves[key] = sum({self._bits[way] for way in ways})
        return self._moves[key]

    def _told(self, states: int) -> tuple[str, ...] | None:
        """Symbols that may follow, if they are the same in all of the given states, else None."""
        if states not in self._sets:
            sets = {self._after(state) for state, bit in self._bits.items() if states & bit}
            self._sets[states] = sets.pop() if len(sets) == 1 else None
        return self._sets[states]
