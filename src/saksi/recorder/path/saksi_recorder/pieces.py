"""The functions that a call goes through: wrappers, what stands in their closures and behind `__wrapped__`, down to C.

Rules: nothing is called and nothing of the user is compared or copied; depth and number are limited, and a cycle ends;
a wrapper is never left out for what it says of itself, so that whoever points to the original is still listed first.
"""

from __future__ import annotations

import functools
import os
import types
from typing import Any, NamedTuple, Optional

from .code_digest import code_digest, described, is_literal
from .plain import text

MAX_PIECES = 16
MAX_DEPTH = 12
MAX_WORDS = 24  # defaults, and cells, that are said of one function
MAX_NAME = 200
MAX_NOTES = 4
MAX_KEPT = 16_384

_FUNCTION = types.FunctionType
_METHOD = types.MethodType
_BEHIND = ("__wrapped__", "_torchdynamo_orig_callable", "func", "fn")
_DESCRIPTORS = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    functools.partial: ("func",),
    functools.partialmethod: ("func",),
    functools.cached_property: ("func",),
    _METHOD: ("__func__",),
}
_OF_C = (
    types.BuiltinFunctionType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
CALLED = (_FUNCTION, *_DESCRIPTORS, *_OF_C)
"""Kinds of values in a class or a module that are, or lead to, functions."""

_digests: dict[int, tuple[Any, str]] = {}  # with the code object itself, so that its number is given to no other
_kept: dict[int, Any] = {}


class Piece(NamedTuple):
    """One function: where its code says that it was written, what it is, its defaults and what its closure holds."""

    file: Optional[str]
    name: str
    line: int
    code: str
    defaults: dict[str, str]
    closure: dict[str, str]


def pieces_of(value: Any) -> tuple[list[Piece], list[str]]:
    """The functions behind `value`, outermost first, and what there is to be said of what is no function."""
    walk = _Walk()
    walk.into(value, 0)
    return walk.found, walk.notes[:MAX_NOTES]


class _Walk:
    """One look behind a value."""

    def __init__(self) -> None:
        self.found: list[Piece] = []
        self.notes: list[str] = []
        self._seen: set[int] = set()

    def into(self, value: Any, depth: int) -> None:
        """Take `value` in, and whatever it leads to."""
        kind = type(value)
        if id(value) in self._seen or isinstance(value, type):
            return
        self._seen.add(id(value))
        if depth > MAX_DEPTH or len(self.found) >= MAX_PIECES:
            if "more" not in self.notes:
                self.notes.append("more")
        elif kind is _FUNCTION:
            self.found.append(_piece(value))
            for inner in _inner(value):
                self.into(inner, depth + 1)
        elif kind in _DESCRIPTORS:
            for name in _DESCRIPTORS[kind]:
                self.into(getattr(value, name, None), depth + 1)
        elif isinstance(value, _OF_C):
            self.notes.append(text("in C: %s" % getattr(value, "__qualname__", kind.__name__), MAX_NAME))
        elif kind is list:  # said in words already
            self.notes.extend(value if depth == 0 else ())
        elif is_literal(value):
            if depth == 0:
                self.notes.append(described(value))
        else:
            self._into_object(value, kind, depth)

    def _into_object(self, value: Any, kind: type, depth: int) -> None:
        call = _found(kind, "__call__")
        if type(call) is _FUNCTION:
            self.into(call, depth + 1)
        self.notes.append(text("object of %s.%s" % (kind.__module__, kind.__qualname__), MAX_NAME))
        held = _held(value)
        for name in _BEHIND:
            if callable(held.get(name)):
                self.into(held[name], depth + 1)


def _found(kind: type, name: str) -> Any:
    for one in kind.__mro__:
        if name in one.__dict__:
            return one.__dict__[name]
    return None


def _held(value: Any) -> dict[str, Any]:
    try:
        held = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return held if type(held) is dict else {}


def _inner(function: Any) -> list[Any]:
    """What a function may call that it was given: in its cells, as defaults, as the function that it wraps."""
    found = [_content(cell) for cell in function.__closure__ or ()]
    found.extend(function.__defaults__ or ())
    found.extend((function.__kwdefaults__ or {}).values())
    found.extend(function.__dict__.get(name) for name in _BEHIND[:2])
    return [one for one in found if _leads_on(one)]


def _leads_on(value: Any) -> bool:
    return type(value) is _FUNCTION or (type(value) in _DESCRIPTORS) or type(value).__name__ == "_lru_cache_wrapper"


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _piece(function: Any) -> Piece:
    code = function.__code__
    name = getattr(code, "co_qualname", None) or code.co_name
    return Piece(
        file=file_of(code),
        name=text(name, MAX_NAME),
        line=min(max(0, code.co_firstlineno), 2**31),
        code=digest_of(code),
        defaults=_defaults(function),
        closure={text(k, 64): _word(_content(cell)) for k, cell in _cells(function)[:MAX_WORDS]},
    )


def file_of(code: Any) -> Optional[str]:
    """The file that code says it comes from; None where that is no file (`<string>`)."""
    name = code.co_filename
    if not name or name.startswith("<"):
        return None
    return text(os.path.abspath(name))  # noqa: PTH100  (plain os: light, and also what old interpreters know)


def digest_of(code: Any) -> str:
    """The digest of a code object, worked out once; zeros for what no compiler makes."""
    known = _digests.get(id(code))
    if known is not None:
        return known[1]
    try:
        digest = code_digest(code)
    except (ValueError, RecursionError):
        digest = "0" * 32
    if len(_digests) >= MAX_KEPT:
        _digests.clear()
    _digests[id(code)] = code, digest
    return digest


def _cells(function: Any) -> list[tuple[str, Any]]:
    return list(zip(function.__code__.co_freevars, function.__closure__ or ()))  # noqa: B905  (newer than Python 3.9)


def _defaults(function: Any) -> dict[str, str]:
    code, values = function.__code__, function.__defaults__ or ()
    named = code.co_varnames[: code.co_argcount][-len(values) :] if values else ()
    out = {text(name, 64): _word(value) for name, value in zip(named, values)}  # noqa: B905
    out.update({text(name, 64): _word(value) for name, value in (function.__kwdefaults__ or {}).items()})
    return dict(list(out.items())[:MAX_WORDS])


def _word(value: Any) -> str:
    if type(value) is _FUNCTION:
        return text("function %s" % value.__code__.co_name, 80)
    return text(described(value), 80)


def functions_of(value: Any) -> list[Any]:
    """The functions that `pieces_of` speaks of, themselves."""
    out: list[Any] = []
    seen: set[int] = set()
    waiting = [value]
    while waiting and len(out) < MAX_PIECES:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        seen.add(id(one))
        if type(one) is _FUNCTION:
            out.append(one)
            waiting.extend(_inner(one))
        elif type(one) in _DESCRIPTORS:
            waiting.extend(getattr(one, name, None) for name in _DESCRIPTORS[type(one)])
    return out


def signature(value: Any) -> tuple[Any, ...]:
    """What changes if what `pieces_of` would say of a value has changed. Only code and literals are kept for it."""
    if type(value) is list:
        return tuple(value)
    out: list[Any] = [id(type(value))]
    if isinstance(value, _OF_C) or is_literal(value):
        _kept[id(value)] = value
        out.append(id(value))
    for function in functions_of(value):
        code = function.__code__
        _kept[id(code)] = code
        out.append((id(code), mark(function.__defaults__), given_to(function)))
    return tuple(out)


def given_to(function: Any) -> tuple[int, ...]:
    """Numbers for the keyword defaults of a function and the contents of its cells."""
    given = mark(function.__kwdefaults__.values()) if function.__kwdefaults__ else ()
    if function.__closure__:
        given += mark([_content(cell) for cell in function.__closure__])
    return given


def mark(values: Any) -> tuple[int, ...]:
    """A number for each value, another if what is said of it has changed: of most objects the class alone is said."""
    out = []
    for one in values or ():
        kind = type(one)
        if kind is _FUNCTION or kind in _DESCRIPTORS:
            out.append(id(one))
        elif is_literal(one):
            _kept[id(one)] = one
            out.append(id(one))
        else:  # it is not ours to keep alive
            out.append(id(kind))
    return tuple(out)


def forget_when_full() -> bool:
    """Let go of what is kept where that has become much; whether it was: then signatures before mean nothing."""
    if len(_kept) < MAX_KEPT:
        return False
    _kept.clear()
    return True
