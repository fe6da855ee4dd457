"""Whether the environment's files are those that were sealed, and stayed so while the command ran.

The seal file of an attempt names their tree; the agent looks at them at the start, each minute and at the end. What it
found is in `environment` records, so all this follows from the record. A launch whose seal file names no tree is not
judged here.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.environment.watched_files import matters, name_of
from saksi.judgement.items import Item
from saksi.judgement.seal_file import EnvironmentTree, parse_seal_file
from saksi.words.errors import SaksiError
from saksi.words.file_changes import FileChange
from saksi.words.findings import Finding, Severity
from saksi.words.records import ApprovalRecord, BlockRecord, EnvironmentRecord, ExitRecord

__all__ = ["CHECK_NAME", "ENVIRONMENTS", "EnvironmentCheck", "tree_in"]

CHECK_NAME: Final = "environment"
_NAMED: Final = 8
"""Files of one look with a finding of their own; the rest is counted."""
_finding = partial(observation, check=CHECK_NAME)
_CAUSES: Final = " An upgrade, or an edit while debugging, is the usual cause."
_SAID: Final = {
    "changed": "has other content",
    "removed": "is gone",
    "added": "is new",
    "rewritten": "was written or replaced, and has the same content again",
    "relinked": "has another owner, mode, number of links or place on its file system, and the same content",
}


def tree_in(content: bytes | None) -> EnvironmentTree | None:
    """The tree that a seal file names; `None` if it names none, or is none."""
    try:
        tree = None if content is None else parse_seal_file(content).file.environment_tree
    except SaksiError:
        return None
    return tree if isinstance(tree, EnvironmentTree) else None


class _Attempt(msgspec.Struct):
    sealed: EnvironmentTree
    entry: int
    tree: str | None = None
    last_step: int | None = None
    step_before: int | None = None
    started: bool = False
    ended: bool = False
    ran: bool = True


class _State:
    __slots__ = ("attempts", "noted")

    def __init__(self) -> None:
        self.attempts: dict[int, _Attempt] = {}
        self.noted = Noted()


class EnvironmentCheck:
    """Judges what the agent saw of the environment's files."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        record = item.record
        if isinstance(record, ApprovalRecord):
            sealed = tree_in(item.content)
            if sealed is not None:
                state.attempts.setdefault(record.attempt, _Attempt(sealed=sealed, entry=item.index))
            return state, ()
        attempt = state.attempts.get(record.attempt)
        if attempt is None:
            return state, ()
        if isinstance(record, BlockRecord):
            if record.last_step is not None:
                attempt.last_step = max(attempt.last_step or 0, record.last_step)
        elif isinstance(record, ExitRecord):
            attempt.ran = record.started_wall_ns > 0
        elif isinstance(record, EnvironmentRecord):
            self._look(state.noted, attempt, item.index, record)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        if not ended:
            return state.noted.kept()
        unseen = tuple(
            _not_checkable(number, (each.entry,), "they were not read again after the command ended")
            for number, each in state.attempts.items()
            if each.ran and not each.ended
        )
        return (*state.noted.kept(), *unseen)

    def _look(self, noted: Noted, attempt: _Attempt, index: int, record: EnvironmentRecord) -> None:
        evidence = (attempt.entry, index)
        if record.tree is None:
            noted.note(_not_checkable(record.attempt, evidence, record.reason or "not all of them were read"))
        first = record.moment == "start" and not attempt.started
        if first:
            _differing(noted, attempt, record, evidence)
        elif record.totals or (record.tree is not None and attempt.tree not in (None, record.tree)):
            _changed(noted, attempt, record, evidence)
        attempt.started = True
        attempt.ended |= record.moment == "end"
        attempt.tree = record.tree or attempt.tree
        attempt.step_before = attempt.last_step


def _differing(noted: Noted, attempt: _Attempt, record: EnvironmentRecord, evidence: tuple[int, ...]) -> None:
    if record.tree is None or record.tree == attempt.sealed.digest:
        return
    named = record.changed[:_NAMED]
    for each in named:
        message = f"It {_said(each)} since the seal file was made{_digests(each)}.{_CAUSES}"
        noted.note(_of_file(each, message, evidence))
    more = sum(record.totals.values()) - len(named)
    if named and more <= 0:
        return
    message = (
        f"{more} more files are not as they were sealed."
        if named
        else "The environment's files are not those that were sealed; which, is not known where the command ran."
    )
    severity: Severity = "warning" if not named or any(map(matters, record.changed[_NAMED:])) else "info"
    noted.note(
        _finding(
            code="environment.differs",
            severity=severity,
            subject=f"environment of attempt {record.attempt}",
            message=message + _CAUSES,
            evidence=evidence,
        )
    )


def _changed(noted: Noted, attempt: _Attempt, record: EnvironmentRecord, evidence: tuple[int, ...]) -> None:
    # An agent that was started again compares with the sealed tree: what it finds new may have been there all along.
    running = record.moment != "start"
    steps = (attempt.step_before, attempt.last_step)
    when = "before the first step" if steps[1] is None else f"by step {steps[1]}"
    named = record.changed[:_NAMED]
    for each in named:
        message = f"It {_said(each)} while the command ran, noticed {when}{_digests(each)}.{_CAUSES}"
        noted.note(_of_file(each, message, evidence, steps, running=running))
    more = sum(record.totals.values()) - len(named)
    if named and more <= 0:
        return
    rest = f"{more} more files" if named else "The environment's files"
    matter = not named or any(matters(each, running=running) for each in record.changed[_NAMED:])
    noted.note(
        _finding(
            code="environment.changed",
            severity="warning" if matter else "info",
            subject=f"environment of attempt {record.attempt}",
            message=f"{rest} changed while the command ran, noticed {when}.{_CAUSES}",
            steps=steps,
            evidence=evidence,
        )
    )


def _of_file(
    change: FileChange,
    message: str,
    evidence: tuple[int, ...],
    steps: tuple[int | None, int | None] | None = None,
    *,
    running: bool = False,
) -> Finding:
    """What is found about one file; `steps` are those between which it changed, if it did while the command ran."""
    return _finding(
        code="environment.differs" if steps is None else "environment.changed",
        severity="warning" if matters(change, running=running) else "info",
        subject=name_of(change),
        message=message,
        steps=steps or (None, None),
        evidence=evidence,
    )


def _said(change: FileChange) -> str:
    if change.path.endswith("/") and change.what == "rewritten":
        return "was written to, or was another folder for a while, and has the same names in it again"
    return _SAID[change.what]


def _digests(change: FileChange) -> str:
    if change.path.endswith("/"):
        return ""
    before, after = (each[:19] if each is not None else "nothing" for each in (change.before, change.after))
    return f": {before} before, {after} now" if before != after else f": {before}"


def _not_checkable(attempt: int, evidence: tuple[int, ...], reason: str) -> Finding:
    return _finding(
        code="environment.not_checkable",
        severity="info",
        subject=f"environment of attempt {attempt}",
        message=f"Whether the environment's files are those that were sealed is not known: {reason}.",
        evidence=evidence,
    )


ENVIRONMENTS: Final = EnvironmentCheck()
