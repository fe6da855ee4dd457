"""Values of the user as JSON can say them: short, finite, the same in every process.

Rules: a repr is asked for only where it is Python's, torch's or numpy's own word for a value, never one that a class of
the user brings; not of what may hold tensors, which would read them, and not of what would say an address. Those are
named by their type.
"""

from __future__ import annotations

import math
import re
import types
from enum import Enum
from itertools import islice
from typing import Any, Union

from . import bare

MAX_TEXT = 4096
MAX_REPR = 200
MAX_ITEMS = 32
MAX_DEPTH = 3

_CALLABLE = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_OFFSET: Any = type.__dict__["__dictoffset__"].__get__
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6}")


def text(value: Any, limit: int = MAX_TEXT) -> str:
    """`str(value)`, cut, without what UTF-8 cannot carry."""
    said = bare.word(value) if bare.is_a(value, str) else str(value)
    return said[:limit].encode("utf-8", "replace").decode("utf-8")


def number(value: float) -> Union[float, str]:
    """A float, or its name where JSON has no number for it."""
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def plain(value: Any, scalar: Any = None, depth: int = 0) -> Any:
    """`value` for a frame: numbers and text as they are, `scalar(value)` where that knows, else a few words."""
    if value is None or value is True or value is False:
        return value
    if bare.is_a(value, Enum):
        return text(bare.name_of(type(value)) + "." + bare.word(bare.held(value).get("_name_")), MAX_REPR)
    if bare.is_a(value, int):
        whole = int.__index__(value)
        return whole if -(2**63) <= whole < 2**63 else text(whole, MAX_REPR)
    if bare.is_a(value, float):
        return number(float.__float__(value))
    if bare.is_a(value, str):
        return text(value)
    if bare.is_a(value, (list, tuple, dict)):
        return _of_container(value, scalar, depth)
    known = None if scalar is None else scalar(value)
    return text(_in_words(value), MAX_REPR) if known is None else known


def _of_container(value: Any, scalar: Any, depth: int) -> Any:
    own: Any = next(kind for kind in (list, tuple, dict) if bare.is_a(value, kind))  # past what a subclass says
    count = own.__len__(value)
    if depth >= MAX_DEPTH:
        return text("%s of %d" % (bare.name_of(type(value)), count), MAX_REPR)
    more = count - MAX_ITEMS
    if own is dict:
        first = bare.items(value)[:MAX_ITEMS]
        named = {text(plain(key), MAX_REPR): plain(item, scalar, depth + 1) for key, item in first}
        return dict(named, **{"...": "and %d more" % more}) if more > 0 else named
    out = [plain(item, scalar, depth + 1) for item in islice(own.__iter__(value), MAX_ITEMS)]
    return [*out, "and %d more" % more] if more > 0 else out


def _in_words(value: Any) -> str:
    kind = type(value)
    if issubclass(kind, type):
        return bare.name_of(value)
    if issubclass(kind, _CALLABLE):
        return _name(value)
    own = bare.found(kind, "__repr__")
    # With attributes or items of its own it may hold tensors.
    if not _holds_bytes(value) and (
        own is object.__repr__ or _OFFSET(kind) or bare.found(kind, "__len__") is not None or not _is_its_word(own)
    ):
        return bare.name_of(kind)
    said = repr(value)
    return bare.name_of(kind) if _ADDRESS.search(said) else said


def _is_its_word(own: Any) -> bool:
    return bare.is_pythons(own) or bare.word(bare.held(own).get("__module__")).partition(".")[0] in ("torch", "numpy")


def _holds_bytes(value: Any) -> bool:
    kind = type(value)
    if bare.module_of(kind) == "numpy":
        return bare.is_pythons(bare.found(kind, "__repr__")) and not _holds_objects(value)
    return any(kind is one for one in (bytes, bytearray, range))


def _holds_objects(value: Any) -> bool:
    return bool(getattr(getattr(value, "dtype", None), "hasobject", False))


def _name(function: Any) -> str:
    while type(function) is types.MethodType:
        function = function.__func__
    if not issubclass(type(function), _CALLABLE):
        return bare.name_of(type(function))
    return "%s.%s" % (bare.word(function.__module__) or None, bare.word(function.__qualname__))
