"""Values of the user as JSON can say them: short, finite, and never evaluated for more than a line of text."""

from __future__ import annotations

import math
from typing import Any, Union

MAX_TEXT = 4096
MAX_REPR = 200
MAX_ITEMS = 32
MAX_DEPTH = 3


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
    """`value` for a frame: numbers and text as they are, `scalar(value)` where that knows, else a short repr."""
    if value is None or value is True or value is False:
        return value
    kind = type(value)
    if kind is int:
        return value if -(2**63) <= value < 2**63 else text(value, MAX_REPR)
    if kind is float:
        return number(value)
    if kind is str:
        return text(value)
    if kind in (list, tuple) and depth < MAX_DEPTH and len(value) <= MAX_ITEMS:
        return [plain(item, scalar, depth + 1) for item in value]
    if kind is dict and depth < MAX_DEPTH and len(value) <= MAX_ITEMS:
        return {text(key, MAX_REPR): plain(item, scalar, depth + 1) for key, item in value.items()}
    known = None if scalar is None else scalar(value)
    return text(repr(value), MAX_REPR) if known is None else known
