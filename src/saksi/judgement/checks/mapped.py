"""What the processes that train have mapped as code, the variables that they began with, and what they imported.

The agent looked from outside: what the kernel says of a process is no testimony of it. Which modules were imported is
claimed by the job; where else a module of the name lies, the agent looked up.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec

from saksi.judgement.checks.environment import tree_in
from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.mapped_objects import Held, held_of
from saksi.judgement.checks.mapped_variables import held_of_variables, launched_with, prefixes_of
from saksi.judgement.checks.seal import seal_in_envelope
from saksi.judgement.checks.shadowed import held_of_import
from saksi.judgement.items import Item
from saksi.words.findings import Finding
from saksi.words.records import ApprovalRecord, AttemptKeyRecord, ImportsRecord, MappedObject, MappedRecord, SealRecord

__all__ = ["CHECK_NAME", "MAPPED", "MappedCheck"]

CHECK_NAME: Final = "mapped"
MAX_PATHS: Final = 65_536
"""Objects of all attempts together; the agent tells at most 16,384 of one."""
_finding = partial(observation, check=CHECK_NAME)


class _Attempt(msgspec.Struct):
    variables: dict[str, str] | None = None
    prefixes: tuple[str, ...] = ()
    sealed: bool = False
    hidden: bool = False
    first: dict[str, MappedObject] = {}


class _State:
    __slots__ = ("attempts", "noted", "paths")

    def __init__(self) -> None:
        self.attempts: dict[int, _Attempt] = {}
        self.noted = Noted()
        self.paths = 0


class MappedCheck:
    """Judges `mapped` and `imports` records."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        record = item.record
        if isinstance(record, AttemptKeyRecord):
            # Its own facts say what the agent may not look at, and whoever reads the record is told so once.
            hidden = record.agent is not None and {"environ", "maps"} <= set(record.agent.not_checkable)
            state.attempts.setdefault(record.attempt, _Attempt()).hidden = hidden
        elif isinstance(record, SealRecord):
            seal = None if item.content is None else seal_in_envelope(item.content)
            attempt = state.attempts.setdefault(record.attempt, _Attempt())
            attempt.variables, attempt.prefixes = launched_with(seal), prefixes_of(seal)
        elif isinstance(record, ApprovalRecord):
            state.attempts.setdefault(record.attempt, _Attempt()).sealed = tree_in(item.content) is not None
        elif isinstance(record, MappedRecord):
            self._mapped(state, state.attempts.setdefault(record.attempt, _Attempt()), item.index, record)
        elif isinstance(record, ImportsRecord):
            if record.reason is not None:
                what = _unseen(f"Where a process imported its modules from was not looked up: {record.reason}.")
                self._note(state, item.index, record.rank, None, what)
            for each in record.shadowed:
                self._note(state, item.index, record.rank, None, held_of_import(each))
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return state.noted.kept()

    def _mapped(self, state: _State, attempt: _Attempt, entry: int, record: MappedRecord) -> None:
        # What is there at the first look may have been there from the start: no step is named for it.
        step = None if record.moment == "begin" else record.step
        note = partial(self._note, state, entry, record.rank, step)
        if record.reason is not None and not attempt.hidden:
            note(_unseen(f"What a process has mapped, or began with, is not known: {record.reason}."))
        if record.omitted:
            note(_unseen("More objects were mapped than are told: the rest was not looked at."))
        if attempt.sealed and not record.tree and record.objects:
            note(_unseen("The list of sealed files was not at hand, so that mapped objects were not compared with it."))
        for each in record.objects:
            before = attempt.first.get(each.path)
            note(held_of(each, before, tree=record.tree))
            if before is None and state.paths < MAX_PATHS:
                attempt.first[each.path] = each
                state.paths += 1
        if record.variables is not None and attempt.variables is not None:
            for held in held_of_variables(attempt.variables, record.variables, attempt.prefixes):
                note(held)

    def _note(self, state: _State, entry: int, rank: int, step: int | None, held: Held | None) -> None:
        if held is not None:
            finding = _finding(
                code=held.code,
                severity=held.severity,
                subject=held.subject,
                message=held.message,
                steps=(step, step),
                ranks=(rank,),
                evidence=(entry,),
            )
            state.noted.note(finding)


def _unseen(message: str) -> Held:
    return Held("environment.not_checkable", "info", "mapped objects", message)


MAPPED: Final = MappedCheck()
