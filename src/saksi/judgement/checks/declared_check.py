"""What the checks share that hold each process to what is declared for its attempt: the plan, and the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import UnionType
from typing import Generic, Protocol, TypeVar

from saksi.judgement.checks.declared import Declarations, Declared, HeldToApproved
from saksi.judgement.checks.fold import Noted
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.items import Item
from saksi.words.findings import Finding

__all__ = ["DeclaredCheck", "Following"]


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


class DeclaredCheck(HeldToApproved, ABC, Generic[K]):
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

    @abstractmethod
    def hold(self, state: Following[K], process: K, said: Spoken, declared: Declared) -> None:
        """Holds what a process said to what is declared for its attempt."""
