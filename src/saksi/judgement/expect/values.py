"""An expectation, as it travels with a seal and a seal file. The format is `spec/seal.md`.

Rules: one form, so spans of steps are in order and apart, and what is not said is null or empty; which codes may be
expected is one list with reasons, which the parser of a project's file and the judgement of a record both ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from saksi.judgement.subjects import fits
from saksi.words.findings import COVERAGE_PREFIXES, Finding

__all__ = [
    "MAX_EXPECTATIONS",
    "MAX_SPANS",
    "MAX_STEP",
    "MAX_TEXT",
    "NEVER",
    "Expectation",
    "covers",
    "in_order",
    "in_words",
    "why_never",
]

MAX_EXPECTATIONS: Final = 64
"""In one seal: somebody has to read them before approving; a recipe has a handful."""
MAX_SPANS: Final = 64
"""Of one expectation; what happens more often has a period, which `every` says."""
MAX_TEXT: Final = 256
"""Characters of a subject's pattern, and of a reason."""
MAX_STEP: Final = 2**53
"""Beyond it a step has no float of its own; as of a plan."""
NEVER: Final[tuple[tuple[str, str], ...]] = (
    ("witness.", "it is about the witness itself"),
    ("seal.", "it is about what was approved, and by whom"),
    ("rehearsal.", "the same file has what was rehearsed: rehearse anew"),
    ("environment.", "files of an environment are sealed one by one: seal it anew"),
    ("live.", "it is about which code runs; a rehearsal approves a patch by its digest"),
    *((prefix, "it is about what was not watched") for prefix in COVERAGE_PREFIXES),
)
"""Prefixes of codes that no expectation covers, each with its reason: without these saksi would see nothing."""
_BUT: Final = frozenset({"live.flag_changed", "live.limit_changed", "live.stream_changed"})
"""Settings, not code: a program may turn one at a step."""

Step = Annotated[int, Meta(ge=0, le=MAX_STEP)]
Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
Spans = Annotated[tuple[tuple[Step, Step], ...], Meta(max_length=MAX_SPANS)]


class Expectation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What is expected: a code; where they are said a subject, steps and a rank; and `why`.

    `steps` are spans, both ends included; with `every` only each such step from `offset` on, within the spans if there
    are any.
    """

    code: Annotated[str, Meta(pattern=r"^[a-z]+(?:\.[a-z_]+)+\Z", max_length=100)]
    subject: Text | None
    steps: Spans
    every: Annotated[int, Meta(ge=1, le=MAX_STEP)] | None
    offset: Step
    rank: Step | None
    why: Text

    def __post_init__(self) -> None:
        if any(last < first for first, last in self.steps):
            raise ValueError("a span of steps that ends before it begins")
        if any(second[0] <= first[1] + 1 for first, second in pairwise(self.steps)):
            raise ValueError("spans of steps that are not in order and apart")
        if self.every is None and self.offset:
            raise ValueError("an offset without every")
        if any(not text.isprintable() for text in (self.subject or "", self.why)):
            raise ValueError("a text with characters that cannot be shown")
        if not self.why.strip():
            raise ValueError("why says nothing")


def why_never(code: str) -> str | None:
    """Why findings with this code may not be expected, or `None` if they may."""
    return next((reason for prefix, reason in NEVER if code.startswith(prefix) and code not in _BUT), None)


def in_order(expectations: Sequence[Expectation]) -> bool:
    """Whether there are some, no more than a seal holds, in their one order and none twice."""
    spelled = [msgspec.json.encode(each) for each in expectations]
    return 0 < len(spelled) <= MAX_EXPECTATIONS and all(first < second for first, second in pairwise(spelled))


def covers(expectation: Expectation, finding: Finding) -> bool:
    """Whether all of a finding is expected: code, subject, ranks, and each step of its span.

    A finding without steps is covered only by an expectation that names none.
    """
    return (
        why_never(finding.code) is None
        and expectation.code == finding.code
        and (expectation.subject is None or fits(expectation.subject, finding.subject))
        and (expectation.rank is None or finding.ranks == (expectation.rank,))
        and _covers_steps(expectation, finding.first_step, finding.last_step)
    )


def _covers_steps(expectation: Expectation, first: int | None, last: int | None) -> bool:
    every, spans = expectation.every, expectation.steps
    if every is None and not spans:
        return True
    if first is None or last is None:
        return False
    if spans and not any(begin <= first and last <= end for begin, end in spans):
        return False
    if every is None:
        return True
    return first >= expectation.offset and (first - expectation.offset) % every == 0 and (every == 1 or first == last)


def in_words(expectation: Expectation) -> str:
    """What is expected, for a person: `state.changed_between_steps of parameters of optimizer 0, step 21`."""
    words = [expectation.code + ("" if expectation.subject is None else f" of {expectation.subject}")]
    if expectation.steps:
        spans = [str(first) if first == last else f"{first} to {last}" for first, last in expectation.steps]
        one = len(spans) == 1 and expectation.steps[0][0] == expectation.steps[0][1]
        words.append(f"{'step' if one else 'steps'} {', '.join(spans)}")
    if expectation.every is not None:
        words.append(f"every {expectation.every} steps from {expectation.offset} on")
    if expectation.rank is not None:
        words.append(f"rank {expectation.rank}")
    return ", ".join(words)
