"""What an audit is asked for, and what each of its replays goes through."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from saksi.doors.cli.audit_environment import Basis
from saksi.doors.cli.progress import counter
from saksi.doors.cli.reading import items_of, items_within
from saksi.edges.host.ending_signals import EndingSignals
from saksi.edges.runs import RunMaterials
from saksi.judgement.diff import Difference, diff
from saksi.judgement.replay.invocation import Invocation
from saksi.judgement.replay.recorded import Recorded
from saksi.judgement.seal import Seal
from saksi.processes.auditor.replaying import Replay, Replayed, TookTooMuch, replay
from saksi.words.records import BlockRecord

__all__ = ["AuditAsked", "Replays", "difference", "new_folder"]


class AuditAsked(msgspec.Struct, frozen=True, kw_only=True):
    """One audit, before anything is replayed. `invocation` is of the sealed program, `found` of the one that ran.

    `names`: with the function that is to be found in one of them alone, for one replay more. `memory` are the bytes
    that one replay may take; without it, what there is to be had. `threads`: where a difference proves nothing, it
    is replayed once more with so many; a part of it with so many at once.
    """

    reading: RunMaterials
    attempt: int
    seal: Seal
    recorded: Recorded
    basis: Basis | None
    invocation: Invocation
    found: Invocation | None
    limit_s: float
    memory: int | None
    data_unchanged: bool
    names: bool
    threads: int | None


def new_folder(place: Path, name: str) -> Path:
    """A private folder for one of the replays."""
    folder = place / name
    folder.mkdir(mode=0o700)
    return folder


class Replays(NamedTuple):
    """The replays of one audit: what is replayed, and where each has its folder."""

    asked: AuditAsked
    task: Replay
    place: Path
    signals: EndingSignals

    def once(self, name: str, what: str, task: Replay | None = None) -> Replayed:
        """One replay, with its progress on a terminal. Raises `TookTooMuch`, `NotReplayed`, `OSError`."""
        reading, scratch = self.asked.reading, new_folder(self.place, name)
        size = sum(len(entry) for entry in reading.entries) + sum(
            each.record.size for each in items_of(reading) if isinstance(each.record, BlockRecord)
        )
        with counter(max(1, size >> 10), what, shown=True) as hear:
            found = replay(
                task or self.task, scratch, said=lambda grown: hear(grown >> 10), waiting=self.signals.interruptible
            )
        if found.took_more is not None:
            raise TookTooMuch(found)
        return found


def difference(one: RunMaterials, attempt: int, other: RunMaterials, *, optimized: bool = False) -> Difference:
    """In what the other record, a replay, differs from this attempt; `optimized`: in what optimizers hold, of state."""
    return diff(
        a=one.run,
        b="replay",
        items_a=items_within(one, attempt),
        items_b=items_of(other),
        attempts=(attempt, 0),
        optimized=optimized,
    )
