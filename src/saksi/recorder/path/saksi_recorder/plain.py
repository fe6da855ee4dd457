"""Values of the user as JSON can say them: short, finite, the same in every process.

Rules: a repr is asked for only where it is Python's, torch's or numpy's own word for a value; not of what may hold
tensors, which would read them, and not of what would say an address. Those are named by their type.
"""

from __future__ import annotations

import math
import re
import types
from enum import Enum
from itertools import islice
from typing import Any, Union

MAX_TEXT = 4096
MAX_REPR = 200
MAX_ITEMS = 32
MAX_DEPTH = 3

_CALLABLE = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6}")


def text(value: Any, limit: int = MAX_TEXT) -> str:
    """`str(value)`, cut, without what UTF-8 cannot carry."""
    return str(value)[:limit].encode("utf-8", "replace").decode("utf-8")


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
    if isinstance(value, Enum):
        return text(_name(type(value)) + "." + str(value._name_), MAX_REPR)
    if isinstance(value, int):
        whole = int.__index__(value)
        return whole if -(2**63) <= whole < 2**63 else text(whole, MAX_REPR)
    if isinstance(value, float):
        return number(float.__float__(value))
    if isinstance(value, str):
        return text(str.__str__(value))
    if isinstance(value, (list, tuple, dict)):
        return _of_container(value, scalar, depth)
    known = None if scalar is None else scalar(value)
    return text(_in_words(value), MAX_REPR) if known is None else known


def _of_container(value: Any, scalar: Any, depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return text("%s of %d" % (_name(type(value)), len(value)), MAX_REPR)
    more = len(value) - MAX_ITEMS
    if isinstance(value, dict):
        named = {
            text(plain(key), MAX_REPR): plain(item, scalar, depth + 1) for key, item in islice(value.items(), MAX_ITEMS)
        }
        return dict(named, **{"...": "and %d more" % more}) if more > 0 else named
    out = [plain(item, scalar, depth + 1) for item in islice(value, MAX_ITEMS)]
    return [*out, "and %d more" % more] if more > 0 else out


def _in_words(value: Any) -> str:
    if isinstance(value, _CALLABLE):
        return _name(value)
    kind = type(value)
    # With attributes or items of its own it may hold tensors.
    if not _holds_bytes(value) and (
        kind.__repr__ is object.__repr__ or kind.__dictoffset__ or hasattr(kind, "__len__")
    ):
        return _name(kind)
    said = repr(value)
    return _name(kind) if _ADDRESS.search(said) else said


def _holds_bytes(value: Any) -> bool:
    if type(value).__module__ == "numpy":
        return not getattr(getattr(value, "dtype", None), "hasobject", False)
    return isinstance(value, (bytes, bytearray, range))


def _name(one: Any) -> str:
    return "%s.%s" % (getattr(one, "__module__", None), getattr(one, "__qualname__", type(one).__qualname__))
