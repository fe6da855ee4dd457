"""A module or class as it was last looked at, so that the next look takes microseconds where nothing has changed.

Rules: nothing of the user is kept alive for it: of what an owner holds only numbers are remembered, and the code and
the literal defaults of its functions themselves, so that their numbers are given to nothing else.
"""

from __future__ import annotations

import types
import weakref
from typing import Any, Iterable, Iterator

from . import bare, pieces
from .code_digest import is_literal
from .live_subjects import OF_DYNAMO

MAX_LISTED = 4096


class Owner:
    """What is remembered of one. `keys` are the places of its functions, by their number among all that it holds.

    `listed` are the names of all places that it ever had, as many as are kept.
    """

    def __init__(self, one: Any, listed: Iterable[str] = ()) -> None:
        self.listed = set(listed)
        self._one = weakref.ref(one)
        self._held: list[int] = []
        self._watched: list[tuple[int, list[_Watched]]] = []
        self.keys: dict[int, tuple[str, str]] = {}
        self.left_out = 0  # functions for which there was no room

    def is_as_before(self, one: Any, values: list[Any]) -> bool:
        """Whether it holds the same objects."""
        return self.is_of(one) and self._held == list(map(id, values))

    def holds_news(self, items: list[tuple[Any, Any]]) -> bool:
        """Whether it holds anything else than it did, but for modules that came in and what dynamo makes."""
        more = items[len(self._held) :]
        if [id(value) for _, value in items[: len(self._held)]] != self._held:
            return True
        return any(
            type(one) is not types.ModuleType and not bare.word(name).startswith(OF_DYNAMO) for name, one in more
        )

    def of(self) -> Any:
        """The module or class, as long as it is there."""
        return self._one()

    def functions(self) -> Iterator[Any]:
        """The functions that are remembered and still there."""
        for _, watched in self._watched:
            for one in watched:
                function = one.function()
                if function is not None:
                    yield function

    def is_of(self, one: Any) -> bool:
        """Whether this is what is remembered of that very module or class, and not of another with its name."""
        return self._one() is one

    def look_anew(self) -> None:
        """All but the names of its places is forgotten."""
        self._held, self._watched, self.keys, self.left_out = [], [], {}, 0

    def remember(self, values: list[Any], keys: dict[int, tuple[str, str]]) -> None:
        """What it holds now, and which of that are functions."""
        self._held = list(map(id, values))
        self.keys = keys
        if len(self.listed) > MAX_LISTED:
            self.listed.clear()
        self.listed.update(name for _, name in keys.values())
        self._watched = [(number, [_Watched(one) for one in pieces.functions_of(values[number])]) for number in keys]

    def changed(self) -> set[int]:
        """The numbers of the functions that are not as they were; whoever asks calls `remember` after looking."""
        return {number for number, watched in self._watched for one in watched if one.is_changed()}


class _Watched:
    """One function: its code, its defaults where these are literals, and numbers for what else it was given."""

    __slots__ = ("code", "defaults", "function", "given", "marks")

    def __init__(self, function: Any) -> None:
        self.function = weakref.ref(function)
        self.code = function.__code__
        defaults = bare.each(function.__defaults__)
        self.marks = pieces.mark(defaults)
        self.defaults = function.__defaults__ if all(is_literal(one) for one in defaults) else ()
        self.given = pieces.given_to(function)

    def is_changed(self) -> bool:
        """Whether it is gone, or not as it was."""
        function = self.function()
        if function is None or function.__code__ is not self.code:
            return True
        if function.__defaults__ is not self.defaults and pieces.mark(bare.each(function.__defaults__)) != self.marks:
            return True
        has_more = function.__kwdefaults__ is not None or function.__closure__ or self.given
        return bool(has_more) and pieces.given_to(function) != self.given
