"""The tables `[[expect]]` of a project's configuration: what somebody writes by hand, strictly read.

Rules: an unknown key is refused, and so is a code that does not exist or may not be expected, since whoever wrote it
wanted it to have an effect; what comes out is one form for one meaning, whatever the order it was written in.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from saksi.judgement.expect.values import MAX_EXPECTATIONS, MAX_SPANS, MAX_STEP, MAX_TEXT, Expectation, why_never
from saksi.words.errors import UsageError
from saksi.words.findings import CODES

__all__ = ["EXPECT_KEYS", "MAX_EXPECT_BYTES", "expectations_in"]

MAX_EXPECT_BYTES: Final = 65_536
"""A seal goes into the record with each launch; as of a plan."""
EXPECT_KEYS: Final = ("code", "every", "offset", "rank", "steps", "subject", "why")
_SPAN: Final = re.compile(r"([0-9]{1,16})(?:-([0-9]{1,16}))?", re.ASCII)
_EXAMPLE: Final = "docs/checks/expect.md has an example"


def expectations_in(found: object, where: str) -> tuple[Expectation, ...]:
    """The expectations in an array of tables, in their one order; none where there is none.

    Raises `UsageError` that names `where`, the table by its number and the key.
    """
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise UsageError(f"{where}: expect is not a list of tables", remedy="[[expect]] stands above the keys of each")
    if len(found) > MAX_EXPECTATIONS:
        raise UsageError(f"{where}: expect has more than {MAX_EXPECTATIONS} tables", remedy="a subject may have a *")
    expectations = [_expectation(each, f"{where}: expect[{at}]") for at, each in enumerate(found)]
    for at, each in enumerate(expectations):
        if each in expectations[:at]:
            raise UsageError(f"{where}: expect[{at}] is there twice", remedy="take one of them out")
    spelled = sorted(map(msgspec.json.encode, expectations))
    if sum(map(len, spelled)) > MAX_EXPECT_BYTES:
        raise UsageError(f"{where}: expect is longer than {MAX_EXPECT_BYTES} bytes", remedy="a subject may have a *")
    return tuple(msgspec.json.decode(each, type=Expectation) for each in spelled)


def _expectation(found: dict[str, Any], place: str) -> Expectation:
    for key in sorted(found):
        if key not in EXPECT_KEYS:
            raise UsageError(f"{place}: unknown key {key[:80]!r}", remedy=f"known keys: {', '.join(EXPECT_KEYS)}")
    every = _number(found, "every", place, least=1)
    if every is None and "offset" in found:
        raise UsageError(f"{place}.offset stands without every", remedy="every = N says which steps, offset the first")
    expectation = Expectation(
        code=_code(found.get("code"), place),
        subject=_text(found, "subject", place),
        steps=_spans(found.get("steps"), f"{place}.steps"),
        every=every,
        offset=_number(found, "offset", place, least=0) or 0,
        rank=_number(found, "rank", place, least=0),
        why=_why(found, place),
    )
    try:
        return msgspec.convert(msgspec.to_builtins(expectation), Expectation)  # its other limits are those of the type
    except msgspec.ValidationError as error:
        raise UsageError(f"{place}: {error}", remedy=_EXAMPLE) from None


def _code(found: object, place: str) -> str:
    if not isinstance(found, str) or found not in CODES:
        raise UsageError(f"{place}.code is no code of a finding: {_shown(found)}", remedy="docs/checks/ has them all")
    never = why_never(found)
    if never is not None:
        raise UsageError(f"{place}.code: {found} is never expected", remedy=never)
    return found


def _text(found: dict[str, Any], key: str, place: str) -> str | None:
    value = found.get(key)
    if value is not None and not (isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable()):
        raise UsageError(f"{place}.{key} is not a text of 1 to {MAX_TEXT} printable characters", remedy=_EXAMPLE)
    return value


def _why(found: dict[str, Any], place: str) -> str:
    why = _text(found, "why", place)
    if why is None or not why.strip():
        raise UsageError(f"{place}.why is missing", remedy="say in a sentence why the program does this")
    return why


def _number(found: dict[str, Any], key: str, place: str, *, least: int) -> int | None:
    value = found.get(key)
    if value is not None and (type(value) is not int or not least <= value <= MAX_STEP):
        raise UsageError(f"{place}.{key} is not a number from {least} on", remedy=_EXAMPLE)
    return value


def _spans(found: object, place: str) -> tuple[tuple[int, int], ...]:
    """Spans in order, those that touch made one."""
    if found is None:
        return ()
    listed = found if isinstance(found, list) else [found]
    if not 0 < len(listed) <= MAX_SPANS:
        raise UsageError(f"{place} is not 1 to {MAX_SPANS} spans", remedy="every = N says what comes back")
    spans: list[tuple[int, int]] = []
    for first, last in sorted(_span(each, place) for each in listed):
        if spans and first <= spans[-1][1] + 1:
            spans[-1] = spans[-1][0], max(spans[-1][1], last)
        else:
            spans.append((first, last))
    return tuple(spans)


def _span(found: object, place: str) -> tuple[int, int]:
    if type(found) is int and 0 <= found <= MAX_STEP:
        return found, found
    match = _SPAN.fullmatch(found) if isinstance(found, str) else None
    if match is None:
        raise UsageError(f"{place}: {_shown(found)} is no span of steps", remedy='steps = "100-199", both included')
    first, last = int(match[1]), int(match[2] or match[1])
    if not first <= last <= MAX_STEP:
        raise UsageError(f"{place}: {_shown(found)} ends before it begins, or beyond step {MAX_STEP}")
    return first, last


def _shown(found: object) -> str:
    """What was written there, for a line that somebody reads."""
    return "nothing" if found is None else repr(found[:80]) if isinstance(found, str) else f"a {type(found).__name__}"
