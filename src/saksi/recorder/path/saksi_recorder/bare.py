"""What an object is and holds, read as the interpreter keeps it: no code that its class brings is run for it.

Rules: `type()` and never `isinstance`, which asks the object for its `__class__`; dictionaries as they lie, whatever a
class puts in front of them; classes are told apart by identity and never hashed, which asks their metaclass.
"""

from __future__ import annotations

import os
import types
from collections import OrderedDict
from typing import Any, Callable, Iterable, Union

_MRO: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
_DICT: Callable[[type], Any] = type.__dict__["__dict__"].__get__
_MODULE: Callable[[type], Any] = type.__dict__["__module__"].__get__
_QUALNAME: Callable[[type], Any] = type.__dict__["__qualname__"].__get__
_FLAGS: Callable[[type], int] = type.__dict__["__flags__"].__get__
_HEAP = 1 << 9  # CPython's Py_TPFLAGS_HEAPTYPE
_GETSET, _MEMBER = types.GetSetDescriptorType, types.MemberDescriptorType
_LIBRARY = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120  (plain os: light, and also what old interpreters know)


def is_a(value: Any, kinds: Union[type, tuple[type, ...]]) -> bool:
    """Whether the class of `value` is one of `kinds` or below it, whatever it says of itself."""
    return issubclass(type(value), kinds)


def mro(kind: type) -> tuple[type, ...]:
    """A class and those above it."""
    return _MRO(kind)


def attributes(kind: type) -> Any:
    """What a class itself holds, by name."""
    return _DICT(kind)


def is_fixed(kind: type) -> bool:
    """Whether it is a class in C of which nothing can be replaced."""
    return not _FLAGS(kind) & _HEAP


def found(kind: type, name: str) -> Any:
    """What a class holds or inherits under a name, as it lies there; None where there is nothing."""
    for one in _MRO(kind):
        held_there = _DICT(one)
        if name in held_there:
            return held_there[name]
    return None


def held(value: Any) -> dict[str, Any]:
    """The attributes that an object holds itself; nothing of one that keeps them elsewhere."""
    for kind in _MRO(type(value)):
        slot = _DICT(kind).get("__dict__")
        if type(slot) is _GETSET or type(slot) is _MEMBER:
            try:
                kept = slot.__get__(value)
            except TypeError:  # of another class
                continue
            return kept if type(kept) is dict else dict(items(kept))
    return {}


def keeper(kind: type) -> Union[Callable[[Any], Any], None]:
    """What gives the dictionary of an object of that class as it lies there; None where it has none."""
    for one in _MRO(kind):
        slot = _DICT(one).get("__dict__")
        if type(slot) is _GETSET or type(slot) is _MEMBER:
            return slot.__get__  # type: ignore[no-any-return]
    return None


def items(table: Any) -> list[tuple[Any, Any]]:
    """What a dictionary holds, in its order; nothing of what is no dictionary."""
    kind = type(table)
    if kind is dict or kind is OrderedDict:  # most are
        return list(table.items()) if table else []
    if issubclass(kind, OrderedDict):
        return list(OrderedDict.items(table))
    return list(dict.items(table)) if issubclass(kind, dict) else []


def values(table: Any) -> list[Any]:
    """What `items` has, without the names."""
    return [value for _, value in items(table)] if table is not None else []


def each(value: Any) -> list[Any]:
    """What a list or tuple holds; nothing of what is neither."""
    kind = type(value)
    if issubclass(kind, list):
        return list(list.__iter__(value))
    return list(tuple.__iter__(value)) if issubclass(kind, tuple) else []


def once(many: Iterable[Any]) -> list[Any]:
    """Each object once, in the order in which it first comes."""
    return list({id(one): one for one in many}.values())


def word(value: Any) -> str:
    """A text as it is, without what a class of its own says instead; of anything else nothing."""
    return str.__str__(value) if issubclass(type(value), str) else ""


def module_of(kind: type) -> str:
    """The name of the module that a class says it belongs to."""
    return word(_MODULE(kind))


def qualname_of(kind: type) -> str:
    """The qualified name of a class."""
    return word(_QUALNAME(kind))


def name_of(kind: type) -> str:
    """Both together."""
    return "%s.%s" % (module_of(kind), qualname_of(kind))


def is_pythons(function: Any) -> bool:
    """Whether what a class has for `__repr__` and the like runs no code but C and Python's own library."""
    if type(function) is not types.FunctionType:
        return type(function) is types.WrapperDescriptorType
    file = function.__code__.co_filename
    return function.__closure__ is None and file.startswith(_LIBRARY) and "-packages" not in file
