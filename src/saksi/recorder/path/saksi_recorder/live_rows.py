"""Rows of objects that are compared by identity, thousands at once and in microseconds.

Rules: nothing that is compared is asked for anything, not even whether it is equal to something; of the user's nothing
is kept alive; what is found to differ is told once, and is what the next look is held against.
"""

from __future__ import annotations

import itertools
import operator
import types
import weakref
from collections import OrderedDict
from typing import Any, Callable, NamedTuple, Optional

from . import bare, kept_words, pieces
from .kept_words import WORD, Reading, identities
from .owners import Owner

Key = tuple[str, Any]
"""Of what a difference is told: a kind, and a name or a number."""
Made = tuple[Key, Any]
"""A function, or a table of hooks, and what is told if it differs."""
Source = Callable[[], Any]
"""Gives a dictionary as long as what holds it is there."""

Named = tuple[Key, Source, list[str]]
"""A dictionary, and the names in it that count."""

GONE = object()
"""Stands for what was let go, which is no news."""
_GONE = identities((GONE,))
_size = dict.__len__


class Row:
    """A few bytes for each of many keys."""

    def __init__(self, keys: list[Key], read: Reading, width: int = WORD) -> None:
        self._keys, self._read, self._width = keys, read, width
        self._was = read()

    def changed(self) -> list[Key]:
        """The keys whose bytes are not those of the last look."""
        now = self._read()
        if now == self._was:
            return []
        was, self._was = self._was, now
        if len(now) != len(was):
            return self._keys[:1]
        spans = [slice(at, at + self._width) for at in range(0, len(now), self._width)]
        pairs = zip(self._keys, spans)  # noqa: B905  (strict= is newer than Python 3.9)
        return [key for key, span in pairs if now[span] != was[span] and now[span] != _GONE]


def of_functions(own: list[Made], others: list[Made]) -> list[Row]:
    """What functions are made of: their code, their defaults and what their cells hold.

    Those of torch (`own`) may be kept. Of others only cells that hold a function count: programs count in theirs. A
    default that comes where there was none changes no call that worked before.
    """
    rows = [_of_each(others, "__code__"), _of_each(_given(others), "__defaults__"), *_functions_in_cells(others)]
    if kept_words.FUNCTIONS is None:
        rows += [_of_each(own, word) for word in ("__code__", "__defaults__", "__kwdefaults__", "__closure__")]
    else:
        rows.append(Row([key for key, _ in own], *kept_words.of_functions([one for _, one in own])))
    return rows + _keywords_of(own) + _cells_of(own)


def _given(functions: list[Made]) -> list[Made]:
    return [(key, one) for key, one in functions if one.__defaults__ is not None]


def _of_each(functions: list[Made], word: str) -> Row:
    get = operator.attrgetter(word)
    references = [weakref.ref(one) for _, one in functions]

    def read() -> bytes:
        alive = [reference() for reference in references]
        return identities(tuple([GONE if one is None else get(one) for one in alive]))

    return Row([key for key, _ in functions], read)


def _keywords_of(own: list[Made]) -> list[Row]:
    given = [(key, one.__kwdefaults__) for key, one in own if type(one.__kwdefaults__) is dict]
    tables = [table for _, table in given]
    if not kept_words.HAVE_VERSIONS:
        keys = [key for key, table in given for _ in table]
        return [Row(keys, lambda: identities(tuple(itertools.chain.from_iterable(map(dict.values, tables)))))]
    return [Row([key for key, _ in given], *kept_words.of_dictionaries(tables))]


def _cells_of(own: list[Made]) -> list[Row]:
    found = [(key, cell) for key, one in own for cell in one.__closure__ or ()]
    cells = [cell for _, cell in found]
    keys = [key for key, _ in found]
    if kept_words.CELLS is None:
        return [Row(keys, lambda: identities(tuple(map(pieces.content_of, cells))))]
    return [Row(keys, *kept_words.of_cells(cells))]


def _functions_in_cells(others: list[Made]) -> list[Row]:
    found = []
    for key, one in others:
        for place, cell in enumerate(one.__closure__ or ()):
            if pieces.is_followed(pieces.content_of(cell)):
                found.append((key, weakref.ref(one), place))

    def read() -> bytes:
        alive = [(reference(), place) for _, reference, place in found]
        held = [GONE if one is None else pieces.content_of(one.__closure__[place]) for one, place in alive]
        return identities(tuple(held))

    return [Row([key for key, _, _ in found], read)] if found else []


class Held(NamedTuple):
    """A module or class of torch's that stands under its own name: whoever holds it keeps nothing alive."""

    key: Key
    owner: Owner
    table: Any


class Holders:
    """Everything that modules and classes of torch's hold."""

    def __init__(self, held: list[Held]) -> None:
        keys: list[Key] = [("held", number) for number in range(len(held))]
        tables = [one.table for one in held]
        self._held = held
        self._row = Row(keys, *kept_words.of_dictionaries(tables)) if kept_words.HAVE_VERSIONS else None
        self._was = [] if self._row is not None else self._read()

    def _read(self) -> list[bytes]:
        return [identities(tuple(one.table.values())) for one in self._held]

    def _others(self) -> list[Held]:
        """Those that something was put into or taken out of since the last look."""
        if self._row is not None:
            return [self._held[number] for _, number in self._row.changed()]
        was, self._was = self._was, self._read()
        pairs = zip(self._held, was, self._was)  # noqa: B905  (strict= is newer than Python 3.9)
        return [one for one, before, now in pairs if before != now]

    def changed(self) -> list[Key]:
        """The keys of those that hold other things than the last inventory met; more modules are no news."""
        return [one.key for one in self._others() if one.owner.holds_news(list(one.table.items()))]


class Places:
    """What stands under some names of each of many dictionaries.

    `kept`: these stay as long as Python does, and change rarely; where they have versions only these are compared.
    """

    def __init__(self, named: list[Named], *, kept: bool = False) -> None:
        named = [(key, source, words) for key, source, words in named if words]
        self._parts = [(key, source, operator.itemgetter(*words, words[0])) for key, source, words in named]
        versions = kept and kept_words.HAVE_VERSIONS
        self._versions = kept_words.of_dictionaries([source() for _, source, _ in named])[0] if versions else None
        self._version = b"" if self._versions is None else self._versions()
        self._was = self._read()

    def _read(self) -> list[Optional[bytes]]:
        return [_standing(source, get) for _, source, get in self._parts]

    def changed(self) -> list[Key]:
        """The keys of the dictionaries that have another object there, or none."""
        if self._versions is not None:
            before, self._version = self._version, self._versions()
            if before == self._version:
                return []
        now = self._read()
        if now == self._was:
            return []
        was, self._was = self._was, now
        told = zip(self._parts, was, now)  # noqa: B905  (strict= is newer than Python 3.9)
        return [key for (key, _, _), earlier, found in told if found is not None and found != earlier]


def _standing(source: Source, get: Callable[[Any], tuple[Any, ...]]) -> Optional[bytes]:
    table = source()
    if table is None:
        return None
    try:
        return identities(get(table))
    except KeyError:
        return b""


class Tables:
    """Tables of hooks: that those that were empty are, and that the others hold the same."""

    def __init__(self, tables: list[tuple[Key, Any]]) -> None:
        known = [(key, table) for key, table in tables if type(table) is dict or type(table) is OrderedDict]
        self._empty = [(key, table) for key, table in known if not table]
        self._quiet = [table for _, table in self._empty]  # nothing is kept alive by them
        full = [(key, table) for key, table in known if table and type(table) is OrderedDict]
        self._full = [(key, weakref.ref(table), identities(tuple(table.values()))) for key, table in full]

    def changed(self) -> list[Key]:
        """The keys of the tables that are not as they were."""
        found = [key for key, table in self._empty if table] if any(self._quiet) else []
        for key, reference, was in self._full:
            table = reference()
            if table is not None and identities(tuple(table.values())) != was:
                found.append(key)
        return found


class Own(NamedTuple):
    """An object: its number, how to get at it and at its dictionary, and which attributes were called for something."""

    key: Key
    reference: Any
    table: Callable[[Any], Any]
    called: list[str]


class Sizes:
    """How many things each of many objects holds itself, and which of those that are called."""

    def __init__(self, objects: list[Own]) -> None:
        self._objects = objects
        self._parts = [(one.reference, one.table) for one in objects]
        self._was = self._read()
        self._called = [(one, word, self._found(one, word)) for one in objects for word in one.called]

    def _read(self) -> list[int]:
        return [-1 if (one := found()) is None else _size(table(one)) for found, table in self._parts]

    @staticmethod
    def _found(own: Own, word: str) -> int:
        one = own.reference()
        return -1 if one is None else id(dict.get(own.table(one), word))

    def changed(self) -> list[Key]:
        """The keys of the objects that hold more or fewer things, or another where something is called."""
        now = self._read()
        found = [own.key for own, word, was in self._called if self._found(own, word) not in (was, -1)]
        if now != self._was:
            told = zip(self._objects, self._was, now)  # noqa: B905  (strict= is newer than Python 3.9)
            found += [own.key for own, was, size in told if size not in (was, -1)]
            self._was = now
        return found


def own_of(key: Key, one: Any) -> Optional[Own]:
    """An object that can be looked at again; None of one that cannot be referred to, or keeps nothing itself."""
    table = bare.keeper(type(one))
    try:
        held = None if table is None else table(one)
        if type(held) is not dict:
            return None
        called = [word for word, value in list(held.items()) if type(word) is str and pieces.is_followed(value)]
        return Own(key, weakref.ref(one), table, called)
    except TypeError:
        return None


def modules_in(table: Any) -> list[str]:
    """The names under which a dictionary keeps modules."""
    return [word for word, value in bare.items(table) if type(word) is str and type(value) is types.ModuleType]
