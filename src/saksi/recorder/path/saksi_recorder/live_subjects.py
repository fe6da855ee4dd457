"""What training executes, place by place: of torch's modules and of the classes in use.

Rules: only what somebody else has loaded; nothing is imported, called, asked or kept for it; a place is named by where
it is looked up, and with the file of the module that it belongs to, so that a reader can tell what is not at home.
"""

from __future__ import annotations

import functools
import types
from typing import Any, Collection, Iterator, NamedTuple, Optional

from . import bare, live_tree, pieces, session
from .code_digest import is_literal
from .live_classes import (
    TORCH,
    WHOLE,
    classes_in_use,
    classes_of,
    file_of,
    is_of_a_framework,
    is_of_python,
    is_torchs,
    modules_of,
)
from .pieces import CALLED
from .plain import text

MAX_NAME = 200
MAX_HOMES = 6

OF_DYNAMO = ("__compiled_fn_", "__resume_at_")
"""What it puts into modules whose functions it compiles: no source looks them up."""
_STANDING = (
    staticmethod,
    classmethod,
    functools.partial,
    functools.partialmethod,
    types.MethodType,
    type(functools.lru_cache(abs)),
)
_SLOTS = (types.GetSetDescriptorType, types.MemberDescriptorType)


class Subject(NamedTuple):
    """One place. `homes` are where its function should have been written: a file, and a qualified name in it."""

    place: str
    name: str
    owner: Optional[str]
    homes: tuple[tuple[str, str], ...]
    value: Any


def owners() -> Iterator[tuple[str, Any, str]]:
    """The modules and classes of which everything counts: what it is, itself, and its name. Torch's own come first."""
    used = classes_in_use()
    names = [name for name in (*WHOLE, *modules_of(used)) if session.loaded(name) is not None]
    torchs = [name for name in names if is_torchs(name)]
    for name in torchs:
        yield "module", session.loaded(name), name
    found = [one for one in used if is_of_a_framework(one)]
    found += [one for name in torchs if name != "torch" for one in classes_of(name)]
    found += used
    others = [name for name in names if not is_torchs(name)]
    found += [one for name in others for one in classes_of(name)]
    found = bare.once(found)
    named = list(zip(_told_apart(found), found))  # noqa: B905  (strict= is newer than Python 3.9)
    for name, one in live_tree.walk().of_classes(named):
        yield "class", one, name
    for name in others:
        yield "module", session.loaded(name), name


def _told_apart(classes: list[Any]) -> Iterator[str]:
    met: dict[str, int] = {}
    for one in classes:
        name = bare.name_of(one)
        met[name] = met.get(name, 0) + 1
        yield name if met[name] == 1 else "%s #%d" % (name, met[name])


def held_by(place: str, one: Any) -> list[tuple[str, Any]]:
    """Everything that a module or class holds."""
    return list(bare.attributes(one).items() if place == "class" else bare.held(one).items())


def members(place: str, one: Any, name: str, listed: Collection[str]) -> Iterator[tuple[int, Subject]]:
    """What is called of a module or class, each with its number among everything that it holds.

    Under a name of those that were listed once whatever stands there is, since it is looked up like a function.
    """
    if place == "module":
        file, torchs = file_of(name), is_torchs(name)
        for number, (attribute, value) in enumerate(held_by(place, one)):
            is_one = type(value) is types.FunctionType or (torchs and _stands_for_one(value, name))
            if bare.word(attribute).startswith(OF_DYNAMO):
                continue
            if is_one or _stands_in(listed, name, attribute, value):
                homes = () if file is None else ((file, bare.word(attribute)),)
                yield number, Subject(place, _within(name, attribute), file, homes, value)
        return
    file = file_of(bare.module_of(one))
    above = [(file_of(bare.module_of(base)), bare.qualname_of(base)) for base in bare.mro(one)[:MAX_HOMES]]
    for number, (attribute, value) in enumerate(held_by(place, one)):
        is_one = bare.is_a(value, CALLED) and not bare.is_a(value, _SLOTS)
        if is_one or _stands_in(listed, name, attribute, value):
            word = bare.word(attribute)
            found = tuple((where, "%s.%s" % (within, word)) for where, within in above if where is not None)
            yield number, Subject(place, _within(name, attribute), file, found, value)


def lacking(place: str, one: Any, name: str, listed: Collection[str]) -> list[Subject]:
    """Places of a module or class that were listed once, and at which nothing is found any more."""
    held = {_within(name, attribute) for attribute, _ in held_by(place, one)} if listed else ()
    file = file_of(bare.module_of(one) if place == "class" else name)
    return [Subject(place, each, file, (), pieces.GONE) for each in listed if each not in held]


def _stands_in(listed: Collection[str], name: str, attribute: Any, value: Any) -> bool:
    """Whether a function stood there. A literal, which a script's own variable may well be, cannot be called."""
    return bool(listed) and not is_literal(value) and _within(name, attribute) in listed


def _within(name: str, attribute: Any) -> str:
    return text("%s.%s" % (name, bare.word(attribute)), MAX_NAME)


def _stands_for_one(value: Any, name: str) -> bool:
    """Whether it may stand in place of a function of torch's: a partial, an object that is called, a class.

    Modules of others are not asked: they import classes and make such objects for all kinds of ends.
    """
    kind = type(value)
    if issubclass(kind, type):
        home = bare.module_of(value)  # some of torch's name the package that exports them
        found = pieces.leads_to(value) if home != name else ()
        return any(_is_foreign(one) and not (name.startswith(home + ".") and _is_torchs_own(one)) for one in found)
    return issubclass(kind, _STANDING) or (pieces.is_called(kind) and _is_foreign(bare.found(kind, "__call__")))


def _is_torchs_own(function: Any) -> bool:
    function = function.__func__ if type(function) is staticmethod else function
    return (pieces.file_of(function.__code__) or "").startswith(TORCH)


def _is_foreign(function: Any) -> bool:
    function = function.__func__ if type(function) is staticmethod else function
    return type(function) is types.FunctionType and not is_of_python(pieces.file_of(function.__code__))
