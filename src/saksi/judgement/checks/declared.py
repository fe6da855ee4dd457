"""What each attempt is held to: the seal file that it was launched under has the say, else its seal.

A project's file may be what was attacked. So what an approver signed is held against a run, and any other declaration
is told of and no more: `under` says of which attempts the reader knows an approval.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Self

from saksi.judgement.checks.seal import file_in, seal_in
from saksi.judgement.items import Item
from saksi.judgement.plan.data import DataPlan
from saksi.judgement.plan.values import Plan
from saksi.judgement.seal import Sealed
from saksi.words.findings import Severity
from saksi.words.records import ApprovalRecord, SealRecord

__all__ = ["Declarations", "Declared", "HeldToApproved"]

_USUAL: Final = " A plan that was not brought up to date is the usual cause."
_UNAPPROVED: Final = " No approver whose key is trusted here signed this plan, so it is told and no more."


class Declared(NamedTuple):
    """What is declared, and the entry that holds it."""

    plan: Plan | None
    data: DataPlan | None
    entry: int


class Declarations:
    """What is declared for each attempt, as a log is read."""

    __slots__ = ("_files", "_seals")

    def __init__(self) -> None:
        self._seals: dict[int, Declared] = {}
        self._files: dict[int, Declared] = {}

    def take(self, item: Item) -> None:
        """Takes an item in, if it is a seal or the seal file of a launch; the first of an attempt counts."""
        record = item.record
        if isinstance(record, SealRecord):
            self._seals.setdefault(record.attempt, _declared(seal_in(item), item.index))
        elif isinstance(record, ApprovalRecord):
            self._files.setdefault(record.attempt, _declared(file_in(item), item.index))

    def of(self, attempt: int) -> Declared | None:
        """What an attempt is held to: its seal file's, also if that declares nothing."""
        return self._files.get(attempt) or self._seals.get(attempt)


class HeldToApproved:
    """A check that weighs what is declared. `approved`: attempts launched under a file that is approved."""

    def __init__(self, approved: frozenset[int] = frozenset()) -> None:
        self._approved = approved

    def under(self, approved: frozenset[int]) -> Self:
        """The same check for a reader who knows of these approvals."""
        return type(self)(approved)

    def weight(self, attempt: int, *, excused: bool = False) -> Severity:
        """What a difference from what is declared is worth. `excused`: an honest cause was seen."""
        return "warning" if attempt in self._approved and not excused else "info"

    def in_words(self, attempt: int, *, excused: bool = False) -> str:
        """What is to be said of that weight, behind a message."""
        return "" if excused else _USUAL if attempt in self._approved else _UNAPPROVED


def _declared(sealed: Sealed | None, entry: int) -> Declared:
    if sealed is None:
        return Declared(None, None, entry)
    return Declared(sealed.plan, sealed.data if isinstance(sealed.data, DataPlan) else None, entry)
