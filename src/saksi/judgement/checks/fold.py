"""A check is a fold: state and one item in, state and findings out. The agent and the auditor drive the same code.

Rules: `step` returns news, once for each cause, so that a live view can speak early; `finish` returns everything the
state supports, so that a report is made from `finish` alone. `finish` changes nothing and may be asked at any time.
A state belongs to the driver that holds it; `step` may change it in place, since copying it for every frame is what
a long run cannot pay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeVar

import msgspec

from saksi.judgement.items import Item
from saksi.words.findings import SEVERITIES, Finding, Severity

__all__ = ["MAX_EVIDENCE", "MAX_TEXT", "Check", "Noted", "joined", "merge", "observation"]

MAX_EVIDENCE: Final = 64
"""Entries kept for one finding: the first ones lead a reader to the place, more would not fit a record."""

MAX_TEXT: Final = 1024
"""Bytes of a finding's subject, and of its message, as an entry spells them: a frame's text of 4,096 characters may
take 24,576, and a finding must always fit an entry."""

MAX_CAUSES: Final = 256
"""Different causes of one check and severity that are kept apart; a hostile run could make up more without end. Each
severity has room of its own: what is only told must not crowd out what matters."""

_ELLIPSIS: Final = "\u2026"

State = TypeVar("State")


class Check(Protocol[State]):
    """One question asked of a run."""

    @property
    def name(self) -> str:
        """How findings name this check."""

    def start(self) -> State:
        """The state before the first item."""

    def step(self, state: State, item: Item) -> tuple[State, tuple[Finding, ...]]:
        """The state after `item`, and what is new. Never raises for what a run did."""

    def finish(self, state: State, *, ended: bool) -> tuple[Finding, ...]:
        """All findings so far. While the run goes on (`ended` false), what may still come is not held against it."""


def merge(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding for each cause (code, check, subject, severity, message), the gravest first, then by step."""
    merged: dict[tuple[str, ...], Finding] = {}
    for each in findings:
        cause = (each.code, each.check, each.subject, each.severity, each.alleges, each.message)
        other = merged.get(cause)
        merged[cause] = each if other is None else joined(other, each)
    return tuple(sorted(merged.values(), key=_order))


def joined(a: Finding, b: Finding) -> Finding:
    """`a`, stretched over the steps, ranks and evidence of `b`."""
    firsts = [step for step in (a.first_step, b.first_step) if step is not None]
    lasts = [step for step in (a.last_step, b.last_step) if step is not None]
    return msgspec.structs.replace(
        a,
        first_step=min(firsts, default=None),
        last_step=max(lasts, default=None),
        ranks=tuple(sorted({*a.ranks, *b.ranks})),
        evidence=tuple(sorted({*a.evidence, *b.evidence}))[:MAX_EVIDENCE],
    )


def _order(finding: Finding) -> tuple[int, int, str, str, tuple[int, ...]]:
    step = -1 if finding.first_step is None else finding.first_step
    return (-SEVERITIES.index(finding.severity), step, finding.code, finding.subject, finding.ranks)


def observation(
    *,
    check: str,
    code: str,
    subject: str,
    message: str,
    severity: Severity = "warning",
    steps: tuple[int | None, int | None] = (None, None),
    ranks: tuple[int, ...] = (),
    evidence: tuple[int, ...] = (),
) -> Finding:
    """A finding that alleges nothing, with texts and evidence cut to what a record holds."""
    return Finding(
        code=code,
        severity=severity,
        first_step=steps[0],
        last_step=steps[1],
        ranks=ranks,
        subject=_cut(subject),
        check=check,
        message=_cut(message),
        evidence=evidence[:MAX_EVIDENCE],
    )


def _cut(text: str) -> str:
    """`text`, or as much of it as `MAX_TEXT` bytes of an entry hold, and an ellipsis."""
    if _spelled(text) <= MAX_TEXT:
        return text
    kept, room = 0, MAX_TEXT - _spelled(_ELLIPSIS)
    for character in text:
        room -= _spelled(character)
        if room < 0:
            break
        kept += 1
    return text[:kept] + _ELLIPSIS


def _spelled(text: str) -> int:
    """How many bytes an entry spends on `text`, quotes left out."""
    return len(msgspec.json.encode(text)) - 2


class Noted:
    """Findings collected by cause in bounded memory, and which of them are new.

    `weigh` is what a reader who knows what is expected makes of each as it comes (`expect.weigh`), before those of one
    cause become one with the steps of all.
    """

    __slots__ = ("_causes", "_kept", "_news", "weigh")

    def __init__(self) -> None:
        self.weigh: Callable[[Finding], Finding] | None = None
        self._kept: dict[tuple[str, str, str], Finding] = {}
        self._causes: Counter[Severity] = Counter()
        self._news: list[Finding] = []

    def note(self, finding: Finding) -> None:
        """Takes a finding in: stretched over an older one of the same cause, or as news."""
        if self.keep(finding):
            self._news.append(finding)

    def keeps_as_expected(self, finding: Finding) -> bool:
        """Whether somebody expects this finding, which is then kept here and counts for nothing elsewhere."""
        if self.weigh is None or self.weigh(finding) is finding:
            return False
        self.keep(finding)
        return True

    def keep(self, finding: Finding) -> bool:
        """Takes a finding in that was announced before; whether it is the first one of its cause that has room."""
        finding = finding if self.weigh is None else self.weigh(finding)
        cause = (finding.code, finding.subject, finding.message)
        old = self._kept.get(cause)
        if old is not None:
            self._kept[cause] = joined(old, finding)
            return False
        if self._causes[finding.severity] >= MAX_CAUSES:
            return False
        self._causes[finding.severity] += 1
        self._kept[cause] = finding
        return True

    def announce(self, finding: Finding) -> None:
        """Makes a finding news without keeping it: its state will yield it at the end."""
        self._news.append(finding)

    def kept(self) -> tuple[Finding, ...]:
        """Everything noted."""
        return tuple(self._kept.values())

    def news(self) -> tuple[Finding, ...]:
        """What is new since the last call."""
        news, self._news = tuple(self._news), []
        return news
