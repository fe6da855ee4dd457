"""Weighs findings by what is declared to be expected, for a reader who knows which attempts were approved.

Rules: only what stands in a seal file that an approver signed takes weight from a finding, and only from one that it
covers whole, in every attempt that the finding is about; a finding is never dropped, and says who expected it. What
nobody approved is told beside the finding, which keeps its weight.

A declaration comes from a project's file, which may be what was attacked: as of a plan, the seal file that an attempt
was launched under has the say, also if it expects nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

import msgspec

from saksi.judgement.checks.fold import MAX_EVIDENCE
from saksi.judgement.checks.seal import file_in, seal_in
from saksi.judgement.expect.values import Expectation, covers
from saksi.judgement.items import Item
from saksi.judgement.seal import Sealed, expectations_of
from saksi.words.findings import Finding
from saksi.words.records import ApprovalRecord, SealRecord

__all__ = ["Expected"]

_APPROVED: Final = " Expected by the approved seal file: "
_UNAPPROVED: Final = " The launch declares this as expected, and no approver whose key is trusted here signed that: "


class Expected:
    """What the attempts of one log declare. Items are taken in order, findings may be weighed at any time."""

    def __init__(self, approved: frozenset[int] = frozenset()) -> None:
        self._approved = approved
        self._files: dict[int, tuple[Expectation, ...]] = {}
        self._seals: dict[int, tuple[Expectation, ...]] = {}
        self._codes: set[str] = set()
        self._begins: list[int] = []  # entries with which another attempt begins to write
        self._writes: list[int] = []  # which one, by the same place

    def take(self, item: Item) -> None:
        """One entry of the log: whose it is, and what a seal or a seal file in it declares."""
        record = item.record
        if not self._writes or self._writes[-1] != record.attempt:
            self._begins.append(item.index)
            self._writes.append(record.attempt)
        if isinstance(record, SealRecord):
            self._declare(self._seals, record.attempt, seal_in(item))
        elif isinstance(record, ApprovalRecord):
            self._declare(self._files, record.attempt, file_in(item))

    def _declare(self, to: dict[int, tuple[Expectation, ...]], attempt: int, sealed: Sealed | None) -> None:
        if attempt not in to:
            to[attempt] = () if sealed is None else expectations_of(sealed)
            self._codes.update(each.code for each in to[attempt])

    def weigh(self, finding: Finding) -> Finding:
        """The finding, with the weight it has under what was approved; itself if nobody expected all of it."""
        by = self._covering(finding, approved=True)
        if by is None or _APPROVED in finding.message:
            return finding
        return msgspec.structs.replace(
            finding, severity="info", alleges="unknown", message=finding.message + _APPROVED + by
        )

    def judge(self, finding: Finding) -> Finding:
        """As `weigh`; where it stays what it is, and a launch declared it without an approval, that is said."""
        weighed = self.weigh(finding)
        if weighed is not finding or _UNAPPROVED in finding.message:
            return weighed
        by = None if _APPROVED in finding.message else self._covering(finding, approved=False)
        return finding if by is None else msgspec.structs.replace(finding, message=finding.message + _UNAPPROVED + by)

    def _covering(self, finding: Finding, *, approved: bool) -> str | None:
        """Why the finding is expected in all of its attempts, in the words of who declared it; else `None`."""
        if finding.code not in self._codes:
            return None
        reasons: dict[str, None] = {}
        for attempt in sorted(self._attempts(finding.evidence)):
            if approved and attempt not in self._approved:
                return None
            declared = self._files.get(attempt, () if approved else self._seals.get(attempt, ()))
            by = next((each for each in declared if covers(each, finding)), None)
            if by is None:
                return None
            reasons[by.why] = None
        return "; ".join(reasons) if reasons else None

    def _attempts(self, evidence: tuple[int, ...]) -> set[int]:
        """Whose entries these are. Where none are named, or some may have been cut, any attempt may be meant."""
        if not evidence or len(evidence) >= MAX_EVIDENCE:
            return set(self._writes)
        return {self._writes[max(0, bisect_right(self._begins, each) - 1)] for each in evidence}
