"""The functions that a call goes through: wrappers, what stands in their closures and behind `__wrapped__`, down to C.

Rules: nothing is called and nothing of the user is asked, compared or copied; depth and number are limited, and a cycle
ends; a wrapper is never left out for what it says of itself, so that whoever points to the original is still listed
first. Of a class, what makes its objects is followed; of an object, what its class does when it is called.
"""

from __future__ import annotations

import functools
import os
import sys
import types
from contextlib import suppress
from typing import Any, NamedTuple, Optional

import torch

from . import bare
from .code_digest import code_digest, described, is_literal
from .plain import text

MAX_PIECES = 16
MAX_DEPTH = 12
MAX_WORDS = 24  # defaults, and cells, that are said of one function
MAX_NAME = 200
MAX_NOTES = 4
MAX_LINES = 7  # of what is said in words alone: with two more, as many as frames hold
MAX_KEPT = 16_384
STRANGE_GLOBALS = "%s looks names up where no module keeps them"

_FUNCTION = types.FunctionType
_METHOD = types.MethodType
_CACHE = type(functools.lru_cache(abs))
_BEHIND = ("__wrapped__", "_torchdynamo_orig_callable", "func", "fn")
_DESCRIPTORS = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    functools.partial: ("func",),
    functools.partialmethod: ("func",),
    functools.cached_property: ("func",),
    _METHOD: ("__func__",),
    _CACHE: ("__wrapped__",),
}
_OBJECTS = (functools.partial, functools.partialmethod, _CACHE)
"""What makes something else of the function that it leads to: that it stands there is said as well."""
_LEADS = {id(kind): names for kind, names in _DESCRIPTORS.items()}  # a class itself is never looked up: see `bare`
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
_began = os.sep
with suppress(OSError):  # it may be gone
    _began = os.getcwd()  # noqa: PTH109  (plain os: light, and also what old interpreters know)


class Piece(NamedTuple):
    """One function: where its code says that it was written, what it is, its defaults and what its closure holds."""

    file: Optional[str]
    name: str
    line: int
    code: str
    defaults: dict[str, str]
    closure: dict[str, str]


class Words:
    """What the recorder itself says of a place instead of a value: no list of the program's is taken for that."""

    __slots__ = ("lines",)

    def __init__(self, *lines: str) -> None:
        self.lines = lines


GONE = Words("gone")
"""Nothing is found there any more."""


def pieces_of(value: Any) -> tuple[list[Piece], list[str]]:
    """The functions behind `value`, outermost first, and what there is to be said of what is no function."""
    if type(value) is Words:
        return [], list(value.lines[:MAX_LINES])
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
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        if depth > MAX_DEPTH or len(self.found) >= MAX_PIECES:
            if "more" not in self.notes:
                self.notes.insert(0, "more")  # before what may be cut
        elif kind is _FUNCTION:
            self.found.append(_piece(value))
            if not has_a_modules_globals(value):
                self.notes.insert(0, text(STRANGE_GLOBALS % bare.word(value.__code__.co_name), MAX_NAME))
            for inner in leads_to(value):
                self.into(inner, depth + 1)
        elif id(kind) in _LEADS:
            if depth == 0 and issubclass(kind, _OBJECTS):
                self.notes.append("object of " + bare.name_of(kind))
            for inner in leads_to(value):
                self.into(inner, depth + 1)
        elif issubclass(kind, _OF_C):
            self.notes.append(text("in C: %s" % getattr(value, "__qualname__", "a function"), MAX_NAME))
        else:
            self._into_other(value, depth)

    def _into_other(self, value: Any, depth: int) -> None:
        kind = type(value)
        if is_literal(value):
            if depth == 0:
                self.notes.append(described(value))
        else:
            what = "class %s" % bare.name_of(value) if issubclass(kind, type) else "object of " + bare.name_of(kind)
            if not self.found:  # what stands behind a function is said by its own functions, and in closures
                self.notes.append(text(what, MAX_NAME))
            for inner in leads_to(value):
                self.into(inner, depth + 1)


def leads_to(value: Any) -> list[Any]:
    """What is called, or may be, where `value` is called."""
    kind = type(value)
    if kind is _FUNCTION:
        found = [content_of(cell) for cell in value.__closure__ or ()]
        found.extend(bare.each(value.__defaults__))
        found.extend(bare.values(value.__kwdefaults__))
        found.extend(dict.get(value.__dict__, name) for name in _BEHIND[:2])  # it may be a dictionary of their own
        return [one for one in found if _leads_on(one)]
    if id(kind) in _LEADS:
        given = [one for one in _given(value) if _leads_on(one)]
        return [getattr(value, name, None) for name in _LEADS[id(kind)]] + given
    if issubclass(kind, type):
        makers = (bare.found(kind, "__call__"), bare.found(value, "__new__"), bare.found(value, "__init__"))
        return [one for one in makers if type(one) is _FUNCTION or type(one) is staticmethod]
    held = bare.held(value)
    behind = [one for one in (held.get(name) for name in _BEHIND) if callable(one)]
    call = bare.found(kind, "__call__")
    return [call, *behind] if type(call) is _FUNCTION else behind


def _given(value: Any) -> list[Any]:
    """What a bound method is bound to, and what a partial passes on."""
    if type(value) is _METHOD:
        return [value.__self__]
    if type(value) is functools.partial:
        return [*value.args, *bare.values(value.keywords)]
    return []


def _leads_on(value: Any) -> bool:
    kind = type(value)
    return kind is _FUNCTION or id(kind) in _LEADS or is_called(kind)


def is_followed(value: Any) -> bool:
    """Whether a value is a function, or one of Python's own ways to make something else of one."""
    return type(value) is _FUNCTION or id(type(value)) in _LEADS


def is_called(kind: type) -> bool:
    """Whether objects of a class are called for code in Python. Modules and tensors are looked at for themselves."""
    if issubclass(kind, (type, torch.nn.Module, torch.Tensor)):
        return False
    return type(bare.found(kind, "__call__")) is _FUNCTION


def has_a_modules_globals(function: Any) -> bool:
    """Whether a function looks up names where a module keeps them: the one that is loaded under the name they bear.

    What code without a file looks up (a named tuple's, say) is not asked: `dataclasses` and the like make it so.
    """
    held = function.__globals__
    if file_of(function.__code__) is None:
        return True
    return bare.held(sys.modules.get(bare.word(dict.get(held, "__name__")))) is held


def content_of(cell: Any) -> Any:
    """What a cell holds; None as long as it is not filled."""
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
        closure={text(k, 64): _cell(cell) for k, cell in _cells(function)[:MAX_WORDS]},
    )


def file_of(code: Any) -> Optional[str]:
    """The file that code says it comes from; None where that is no file (`<string>`)."""
    name = bare.word(code.co_filename)
    if not name or name.startswith("<"):
        return None
    return absolute(name)


@functools.lru_cache(maxsize=1024)
def absolute(path: str) -> str:
    """A path as it was meant where the program began, whatever folder it has gone to since."""
    return text(os.path.normpath(os.path.join(_began, path)))  # noqa: PTH118  (plain os: light, and also what old interpreters know)


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
    code, values = function.__code__, bare.each(function.__defaults__)
    named = code.co_varnames[: code.co_argcount][-len(values) :] if values else ()
    out = {text(name, 64): _word(value) for name, value in zip(named, values)}  # noqa: B905
    out.update({text(name, 64): _word(value) for name, value in bare.items(function.__kwdefaults__)})
    return dict(list(out.items())[:MAX_WORDS])


def _cell(cell: Any) -> str:
    try:
        return _word(cell.cell_contents)
    except ValueError:
        return "<unfilled>"


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
        if id(one) in seen:
            continue
        seen.add(id(one))
        if type(one) is _FUNCTION:
            out.append(one)
        if not issubclass(type(one), _OF_C) and not is_literal(one):
            waiting.extend(leads_to(one))
    return out


def code_of(value: Any) -> int:
    """A number for the code of the first function behind a value; another for other code, as long as it is known."""
    for function in functions_of(value)[:1]:
        _kept[id(function.__code__)] = function.__code__
        return id(function.__code__)
    return id(type(value))


def signature(value: Any) -> tuple[Any, ...]:
    """What changes if what `pieces_of` would say of a value has changed. Only code and literals are kept for it."""
    if type(value) is Words:
        return value.lines
    out: list[Any] = [id(type(value))]
    if issubclass(type(value), _OF_C) or is_literal(value):
        _kept[id(value)] = value
        out.append(id(value))
    for function in functions_of(value):
        code = function.__code__
        _kept[id(code)] = code
        out.append((id(code), mark(bare.each(function.__defaults__)), given_to(function)))
    return tuple(out)


def given_to(function: Any) -> tuple[int, ...]:
    """Numbers for the keyword defaults of a function and the contents of its cells."""
    given = mark(bare.values(function.__kwdefaults__))
    if function.__closure__:
        given += mark([content_of(cell) for cell in function.__closure__])
    return given


def mark(values: Any) -> tuple[int, ...]:
    """A number for each value, another if what is said of it has changed: of most objects the class alone is said."""
    out = []
    for one in values:
        kind = type(one)
        if kind is _FUNCTION or id(kind) in _LEADS:
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
