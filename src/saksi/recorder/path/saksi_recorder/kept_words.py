"""Where objects lie, and the few words that the interpreter keeps of them, read as they lie there.

Rules: only of objects that the reader keeps alive, and nothing is ever written; each layout is tried out on objects of
our own as this is loaded, and is not used where they look otherwise. Asking takes ten times as long: it touches memory
that training has driven out of the caches.
"""

from __future__ import annotations

import ctypes
import gc
import struct
import sys
from typing import Any, Callable, Optional

WORD = ctypes.sizeof(ctypes.c_void_p)
MAX_SPAN = 64
Reading = Callable[[], bytes]
_LONG = ctypes.sizeof(ctypes.c_uint64)
_HEADER = tuple.__basicsize__
_VERSION = object.__basicsize__ + ctypes.sizeof(ctypes.c_ssize_t)


def _as_they_lie(many: tuple[Any, ...]) -> bytes:
    return ctypes.string_at(id(many) + _HEADER, len(many) * WORD)


def _by_number(many: tuple[Any, ...]) -> bytes:
    return struct.pack("%dP" % len(many), *map(id, many))


def _lie_as_expected() -> bool:
    probe = (_by_number, None, 1.5, "a")
    return _as_they_lie(probe) == _by_number(probe)


identities: Callable[[tuple[Any, ...]], bytes] = _as_they_lie if _lie_as_expected() else _by_number
"""A number for each object of a tuple: where it lies."""


def _view(one: Any, begin: int, end: int) -> Any:
    return (ctypes.c_char * (end - begin)).from_address(id(one) + begin)


def _span_of(one: Any, parts: list[Any]) -> Optional[tuple[int, int]]:
    """From where to where in an object it is kept what it is made of; None if that is not plain to see."""
    words = (ctypes.c_size_t * (type(one).__basicsize__ // WORD)).from_address(id(one))
    places = [[WORD * at for at, word in enumerate(words) if word == id(part)] for part in parts]
    if any(len(found) != 1 for found in places):
        return None
    begin, end = min(found[0] for found in places), max(found[0] for found in places) + WORD
    return (begin, end) if end - begin <= MAX_SPAN else None


def _span_of_functions() -> Optional[tuple[int, int]]:
    default, named = object(), object()

    def probe(one: Any = default, *, other: Any = named) -> Any:
        return one, other, default

    closure, keywords = probe.__closure__, probe.__kwdefaults__
    return _span_of(probe, [probe.__code__, probe.__defaults__, keywords, closure])


def _span_of_cells() -> Optional[tuple[int, int]]:
    held = object()
    cell = (lambda: held).__closure__[0]  # type: ignore[index]
    return _span_of(cell, [held])


def _readable() -> bool:
    return sys.implementation.name == "cpython"


FUNCTIONS = _span_of_functions() if _readable() else None
CELLS = _span_of_cells() if _readable() else None


def _reader(many: list[Any], begin: int, end: int) -> Reading:
    views = [_view(one, begin, end) for one in many]
    kept = list(many)

    def read() -> bytes:
        return b"".join(views) if kept else b""

    return read


def of_functions(functions: list[Any]) -> tuple[Reading, int]:
    """What tells code, defaults and cells of each of some functions, in so many bytes. Where `FUNCTIONS`."""
    begin, end = FUNCTIONS or (0, 0)
    return _reader(functions, begin, end), end - begin


def of_cells(cells: list[Any]) -> tuple[Reading, int]:
    """Likewise what each of some cells holds. Where `CELLS`."""
    begin, end = CELLS or (0, 0)
    return _reader(cells, begin, end), end - begin


def of_dictionaries(tables: list[Any]) -> tuple[Reading, int]:
    """Likewise a number that is another after each change of a dictionary. Where `HAVE_VERSIONS`."""
    held = [table if issubclass(type(table), dict) else _behind(table) for table in tables]
    return _reader(held, _VERSION, _VERSION + _LONG), _LONG


def _behind(proxy: Any) -> Any:
    return next(one for one in gc.get_referents(proxy) if type(one) is dict)


def _have_versions() -> bool:
    if not _readable() or sys.version_info >= (3, 13):
        return False
    probe: dict[str, int] = {}
    read, _ = of_dictionaries([probe])
    seen = [read()]
    for act in (lambda: probe.update(a=1), lambda: probe.update(a=2), lambda: probe.pop("a")):
        act()
        seen.append(read())
    return len({*seen}) == len(seen) and [len(probe), probe.get("a"), read()] == [0, None, seen[-1]]


HAVE_VERSIONS = _have_versions()
"""Whether dictionaries keep such a number: until Python 3.12."""
