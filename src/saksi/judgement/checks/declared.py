"""What each attempt is held to: the seal file that it was launched under has the say, else its seal.

A project's file may be what was attacked. So what an approver signed is held against a run, and any other declaration
is told of and no more: `under` says of which attempts the reader knows an approval.
"""

from __future__ import annotations

from collections.abc import Callable
from types import UnionType
from typing import Final, Generic, NamedTuple, Protocol, Self, TypeVar

from saksi.judgement.checks.fold import Noted
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.seal import file_in, seal_in
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.items import Item
from saksi.judgement.plan.data import DataPlan
from saksi.judgement.plan.values import Plan
from saksi.judgement.seal import Sealed
from saksi.words.findings import Finding, Severity
from saksi.words.records import ApprovalRecord, SealRecord

__all__ = ["Declarations", "Declared", "DeclaredCheck", "Following", "HeldToApproved"]

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


class _Kept(Protocol):
    """What is kept of one process. `last`: rank and entry of its last Update."""

    size: int
    last: tuple[int, int] | None


K = TypeVar("K", bound=_Kept)


class Following(Generic[K]):
    """What is declared, what was found, and the processes that are followed."""

    __slots__ = ("declarations", "followed", "not_seen", "noted")

    def __init__(self, make: Callable[[], K], not_seen: Callable[[K], list[Finding]], *, size: int, what: str) -> None:
        self.noted = Noted()
        self.declarations = Declarations()
        self.followed = Followed(make, size=size, noted=self.noted, what=what, gone=self._gone)
        self.not_seen = not_seen

    def _gone(self, process: K) -> None:
        for each in self.not_seen(process):
            self.noted.note(each)


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


class DeclaredCheck(HeldToApproved, Generic[K]):
    """A check that holds each process to what is declared: it says which frames it hears, and what it makes of them."""

    heard: type | UnionType

    def step(self, state: Following[K], item: Item) -> tuple[Following[K], tuple[Finding, ...]]:
        """See `Check.step`."""
        state.declarations.take(item)
        for said, process in state.followed.take(item, self.heard):
            declared = state.declarations.of(said.process.attempt)
            if declared is not None:
                self.hold(state, process, said, declared)
        return state, state.noted.news()

    def finish(self, state: Following[K], *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        found = [each for process in state.followed.kept() for each in state.not_seen(process)] if ended else []
        return (*state.noted.kept(), *found)

    def hold(self, state: Following[K], process: K, said: Spoken, declared: Declared) -> None:
        """Holds what a process said to what is declared for its attempt."""
        raise NotImplementedError


def _declared(sealed: Sealed | None, entry: int) -> Declared:
    if sealed is None:
        return Declared(None, None, entry)
    return Declared(sealed.plan, sealed.data if isinstance(sealed.data, DataPlan) else None, entry)
