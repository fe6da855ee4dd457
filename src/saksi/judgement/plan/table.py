"""The table `[plan]` of a project's configuration: what somebody writes by hand, strictly read.

Rules: an unknown key is refused, since whoever wrote it wanted it to have an effect; a number is a number and no text;
what comes out is one plan for one meaning.
"""

from __future__ import annotations

import math
from typing import Any, Final, get_args

import msgspec

from saksi.judgement.plan.values import MAX_STEP, Between, Plan, Value
from saksi.words.errors import UsageError

__all__ = ["MAX_PLAN_BYTES", "PLAN_KEYS", "plan_in"]

MAX_PLAN_BYTES: Final = 65_536
"""A seal goes into the record with each launch; a plan of a thousand groups has half of this."""
PLAN_KEYS: Final = (
    "accumulation", "between", "groups", "hyper_parameters", "longest_update", "lr", "max_norm", "optimizer",
    "reported", "steps", "trained", "warm_up", "warm_up_from",
)  # fmt: skip
_BETWEEN: Final[tuple[Between, ...]] = get_args(Between)
_POINT: Final = 2
ALL_TRAINED: Final = "all"
_EVERY_NAME: Final = "*"


def plan_in(found: object, where: str) -> Plan | None:
    """The plan in a table of TOML; `None` where there is none. Raises `UsageError` that names `where` and the key."""
    if found is None:
        return None
    place = f"{where}: plan"
    if not isinstance(found, dict):
        raise UsageError(f"{place} is not a table", remedy="[plan] stands above its keys")
    for key in sorted(found):
        if key not in PLAN_KEYS:
            raise UsageError(f"{place}: unknown key {key[:80]!r}", remedy=f"known keys: {', '.join(PLAN_KEYS)}")
    warm_up = _count(found, "warm_up", place, least=0) or 0
    try:
        plan = Plan(
            optimizer=_text(found, "optimizer", place),
            steps=_count(found, "steps", place, least=1),
            lr=_points(found.get("lr"), warm_up, place),
            between=_between(found, place),
            warm_up=warm_up,
            warm_up_from=_number(found.get("warm_up_from", 0.0), f"{place}.warm_up_from"),
            max_norm=None if "max_norm" not in found else _number(found["max_norm"], f"{place}.max_norm"),
            hyper_parameters=_values(found.get("hyper_parameters", {}), f"{place}.hyper_parameters"),
            groups=_groups(found.get("groups", []), place),
            accumulation=_accumulation(found, place),
            trained=_trained(found, place),
            longest_update=_seconds(found, "longest_update", place),
            reported=_reported(found, place),
        )
        content = msgspec.json.encode(plan)
        if len(content) > MAX_PLAN_BYTES:
            raise UsageError(f"{place}: longer than {MAX_PLAN_BYTES} bytes")
        return msgspec.json.decode(content, type=Plan)  # its other limits are those of the type
    except (ValueError, msgspec.ValidationError) as error:
        raise UsageError(f"{place}: {error}", remedy="docs/checks/plan.md has an example") from None


def _text(found: dict[str, Any], key: str, place: str) -> str | None:
    value = found.get(key)
    if value is not None and not (isinstance(value, str) and 0 < len(value) <= 256):  # noqa: PLR2004 - as in a frame
        raise UsageError(f"{place}.{key} is not a text of 1 to 256 characters")
    return value


def _count(found: dict[str, Any], key: str, place: str, *, least: int) -> int | None:
    value = found.get(key)
    if value is not None and (type(value) is not int or not least <= value <= MAX_STEP):
        raise UsageError(f"{place}.{key} is not a number of steps, at least {least}")
    return value


def _accumulation(found: dict[str, Any], place: str) -> int | msgspec.UnsetType:
    value = found.get("accumulation")
    if value is None:
        return msgspec.UNSET
    if type(value) is not int or not 1 <= value <= MAX_STEP:
        raise UsageError(f"{place}.accumulation is not a number of backwards, at least 1")
    return value


def _trained(found: dict[str, Any], place: str) -> tuple[str, ...] | msgspec.UnsetType:
    """Patterns of names; `all` is written as the one that every name fits."""
    value = found.get("trained")
    if value is None:
        return msgspec.UNSET
    if value == ALL_TRAINED:
        return (_EVERY_NAME,)
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise UsageError(f'{place}.trained is neither "all" nor a list of names', remedy='trained = ["encoder.*"]')
    return tuple(value)


def _seconds(found: dict[str, Any], key: str, place: str) -> float | msgspec.UnsetType:
    if key not in found:
        return msgspec.UNSET
    return _number(found[key], f"{place}.{key}")


def _reported(found: dict[str, Any], place: str) -> tuple[str, ...] | msgspec.UnsetType:
    value = found.get("reported")
    if value is None:
        return msgspec.UNSET
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise UsageError(f"{place}.reported is not a list of metrics' names", remedy='reported = ["train/loss"]')
    return tuple(value)


def _number(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{place} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UsageError(f"{place} is not a finite number")
    return number


def _between(found: dict[str, Any], place: str) -> Between:
    value = found.get("between", "linear")
    for each in _BETWEEN:
        if each == value:
            return each
    raise UsageError(f"{place}.between is not one of {', '.join(_BETWEEN)}")


def _points(found: object, warm_up: int, place: str) -> tuple[tuple[int, float], ...]:
    if found is None:
        return ()
    if not isinstance(found, list):
        return ((warm_up, _number(found, f"{place}.lr")),)
    points = []
    for at, each in enumerate(found):
        here = f"{place}.lr[{at}]"
        if not isinstance(each, list) or len(each) != _POINT or type(each[0]) is not int:
            raise UsageError(f"{here} is not a point", remedy="a point is [step, value]: lr = [[0, 0.1], [1000, 0.01]]")
        if not 0 <= each[0] <= MAX_STEP:
            raise UsageError(f"{here} has no step from 0 to {MAX_STEP}")
        points.append((each[0], _number(each[1], here)))
    if not points:
        raise UsageError(f"{place}.lr has no point")
    return tuple(points)


def _groups(found: object, place: str) -> tuple[dict[str, Value], ...]:
    if not isinstance(found, list):
        raise UsageError(f"{place}.groups is not a list of tables, one for each group")
    return tuple(_values(each, f"{place}.groups[{at}]") for at, each in enumerate(found))


def _values(found: object, place: str) -> dict[str, Value]:
    if not isinstance(found, dict):
        raise UsageError(f"{place} is not a table")
    return {name: _value(found[name], f"{place}.{name[:80]}") for name in sorted(found)}


def _value(found: object, place: str) -> Value:
    if isinstance(found, bool | str):
        return found
    if isinstance(found, int) and -(2**63) <= found < 2**63:
        return found
    if isinstance(found, float):
        return _number(found, place)
    if isinstance(found, list) and all(type(each) in {int, float} for each in found):
        return tuple(each if isinstance(each, int) else _number(each, place) for each in found)
    raise UsageError(f"{place} is not a number, a text, true or false, or a list of numbers")
