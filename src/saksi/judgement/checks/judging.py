"""Several checks over one pass: the agent drives them as the log is written, a report over the stored log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from saksi.judgement.checks.fold import Check, Noted, merge
from saksi.judgement.checks.spoken import Speakers
from saksi.judgement.items import Item
from saksi.words.findings import Finding

__all__ = ["Judging"]

State = TypeVar("State")


class Judging:
    """Drives several checks over one pass. Those that follow processes hear them with the same ears.

    `weigh` is what a reader makes of each finding as it is noted, where there is one who knows more than the log.
    """

    def __init__(self, checks: Sequence[Check[Any]], *, weigh: Callable[[Finding], Finding] | None = None) -> None:
        self._checks = tuple(checks)
        self._states = [check.start() for check in self._checks]
        speakers = Speakers()
        for state in self._states:
            listener = getattr(state, "followed", state)
            if isinstance(getattr(listener, "speakers", None), Speakers):
                listener.speakers = speakers
            for noted in (getattr(state, "noted", None), getattr(state, "unjudged", None)):
                if isinstance(noted, Noted):
                    noted.weigh = weigh

    def take(self, item: Item) -> tuple[Finding, ...]:
        """Takes one item in and returns what is new."""
        news: tuple[Finding, ...] = ()
        for at, check in enumerate(self._checks):
            self._states[at], found = check.step(self._states[at], item)
            news += found
        return news

    def findings(self, *, ended: bool) -> tuple[Finding, ...]:
        """All findings so far, merged and in order."""
        return merge(
            finding
            for check, state in zip(self._checks, self._states, strict=True)
            for finding in check.finish(state, ended=ended)
        )

    def state_of(self, check: Check[State]) -> State:
        """The state of one of the checks. Raises `ValueError` if it is not among them."""
        state: State = self._states[self._checks.index(check)]
        return state
