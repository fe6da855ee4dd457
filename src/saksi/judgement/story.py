"""The story of a run over its attempts: which ranks ran when, how far they came, what they saved and loaded.

Rules: steps are those of one group of ranks, counted from 0 as the job does; nothing is judged here, and where a file
came from is asked elsewhere (`origins`). Memory grows with processes and model checkpoints, few beside frames.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import msgspec

from saksi.judgement.checks.watched import RankGroup, Watched
from saksi.judgement.items import Item
from saksi.words.codec import decode_frame
from saksi.words.errors import MalformedInput
from saksi.words.frames import CkptFrame, DetachFrame, HelloFrame, UpdateFrame
from saksi.words.records import (
    AttachRecord,
    AttemptKeyRecord,
    BlockRecord,
    CapsuleRecord,
    DetachRecord,
    FileRecord,
    ProcessRecord,
    SignalRecord,
)

__all__ = ["MAX_FILES", "Beginning", "CapsuleTold", "CkptUse", "GroupStory", "Story", "StoryBuilder", "Told", "use_of"]

MAX_FILES: Final = 4096
"""Saves and loads that are kept, each; a run that saves every minute for two days makes 2,880."""
MAX_SIGNALS: Final = 64

Beginning: TypeAlias = Literal["first", "restart", "beside", "other"]
"""How a group of ranks began: the first of its attempt; the same command again after the group before had ended;
while another one ran; or another command."""


class GroupStory(msgspec.Struct, frozen=True, kw_only=True):
    """Ranks that trained together. Steps are what was heard of any of them; `ended_ns` is null while one is there.

    `connections` are the entries at which their connections began, each with its rank.
    """

    attempt: int
    number: int
    beginning: Beginning
    entry: int
    began_ns: int
    ended_ns: int | None
    world_size: int
    ranks: tuple[int, ...]
    first_step: int | None
    last_step: int | None
    steps: int
    connections: tuple[tuple[int, int], ...] = ()


class CkptUse(msgspec.Struct, frozen=True, kw_only=True):
    """A model checkpoint saved or loaded. `group` is null if the process made no Step; `digest` null if not read.

    `observed` is whether the agent read the file itself. `ranks` are all that did the same with the same content.
    """

    action: Literal["saved", "loaded", "unread"]
    entry: int
    wall_ns: int
    attempt: int
    group: int | None
    ranks: tuple[int, ...]
    step: int
    path: str | None
    digest: str | None
    observed: bool
    reason: str | None


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A signal that reached the launcher."""

    attempt: int
    signal: str
    forwarded: bool
    sender: str | None


class CapsuleTold(msgspec.Struct, frozen=True, kw_only=True):
    """A capsule: `read` is whether the agent could. Without a `path`, that none was written any more, and why."""

    attempt: int
    step: int
    path: str | None
    size: int | None
    read: bool
    reason: str | None


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Everything in the order of the log. What was beyond the limits is counted in `files_omitted`.

    Of capsules those that came last are there, and of each attempt how many were written.
    """

    groups: tuple[GroupStory, ...] = ()
    files: tuple[CkptUse, ...] = ()
    files_omitted: int = 0
    signals: tuple[Told, ...] = ()
    capsules: tuple[CapsuleTold, ...] = ()
    capsules_written: tuple[tuple[int, int], ...] = ()


class _File(msgspec.Struct, kw_only=True):
    """A use as it is gathered, and the identities of the trainees whose it was: their group is known at the end."""

    use: CkptUse
    trainees: set[int]


class StoryBuilder:
    """Folds items into a `Story`; `build` may be asked for at any time."""

    def __init__(self) -> None:
        self._watched = Watched()
        self._walls: dict[int, int] = {}
        self._files: list[_File] = []
        self._known: dict[tuple[object, ...], _File] = {}
        self._kept = {"saved": 0, "loaded": 0, "unread": 0}
        self._omitted = 0
        self._signals: list[Told] = []
        self._capsules: deque[CapsuleTold] = deque(maxlen=MAX_FILES)
        self._written: Counter[int] = Counter()

    def take(self, item: Item) -> None:
        """Takes one item in."""
        record = item.record
        match record:
            case BlockRecord():
                self._block(item, record)
            case AttachRecord():
                self._walls[item.index] = record.wall_ns
                self._watched.attach(item.index, record, _hello(record))
            case DetachRecord():
                heard = self._watched.open.get((record.attempt, record.connection))
                if heard is not None:
                    heard.left, heard.ended = record.clean, item.index
                    self._walls[item.index] = record.wall_ns
            case ProcessRecord():
                self._watched.observe(record)
            case FileRecord():
                self._file(item.index, record)
            case CapsuleRecord():
                self._capsule(record)
            case SignalRecord():
                self._signal(record)
            case AttemptKeyRecord():
                self._known.clear()
            case _:
                pass

    def _block(self, item: Item, record: BlockRecord) -> None:
        heard = self._watched.open.get((record.attempt, record.connection))
        if heard is None:
            self._walls[item.index] = record.wall_ns
            heard = self._watched.unannounced(item.index, record.attempt, record.connection, record.rank)
        for line in item.lines:
            frame = line.frame
            if isinstance(frame, UpdateFrame):
                counter = heard.counter(frame.optimizer, item.index)
                if counter is not None:
                    counter.take(frame.update, item.index)
            elif isinstance(frame, DetachFrame):
                heard.told = tuple(frame.updates)
            elif isinstance(frame, CkptFrame) and frame.path is None:
                self._use(id(heard.trainee), item.index, _through_a_stream(item.index, record, frame))

    def _file(self, entry: int, record: FileRecord) -> None:
        heard = self._watched.open.get((record.attempt, record.connection))
        self._use(None if heard is None else id(heard.trainee), entry, use_of(entry, record))

    def _use(self, trainee: int | None, entry: int, use: CkptUse) -> None:
        """Keeps a use; the same content at the same step by another rank is the same use."""
        same = (use.action, use.attempt, use.step, use.path, use.digest, None if use.digest else entry)
        found = self._known.get(same)
        if found is not None and use.ranks[0] not in found.use.ranks:
            found.use = msgspec.structs.replace(found.use, ranks=(*found.use.ranks, *use.ranks))
        elif self._kept[use.action] >= MAX_FILES:
            self._omitted += 1
            return
        else:
            found = self._known[same] = _File(use=use, trainees=set())
            self._files.append(found)
            self._kept[use.action] += 1
        if trainee is not None:
            found.trainees.add(trainee)

    def _capsule(self, record: CapsuleRecord) -> None:
        self._written[record.attempt] += record.path is not None
        if record.path is None and record.reason is None:
            return
        told = CapsuleTold(
            attempt=record.attempt,
            step=record.step,
            path=record.path,
            size=record.size,
            read=record.digest is not None,
            reason=record.reason,
        )
        self._capsules.append(told)

    def _signal(self, record: SignalRecord) -> None:
        if len(self._signals) < MAX_SIGNALS:
            sender = record.sender
            who = None if sender is None else f"process {sender.pid}, uid {sender.uid}"
            told = Told(attempt=record.attempt, signal=record.signal, forwarded=record.forwarded, sender=who)
            self._signals.append(told)

    def build(self) -> Story:
        """The story of what was taken in so far."""
        groups = self._watched.rank_groups()
        place = {id(trainee): group.number for group in groups for trainee in group.trainees}
        return Story(
            groups=tuple(self._groups(groups)),
            files=tuple(
                msgspec.structs.replace(
                    each.use,
                    ranks=tuple(sorted(each.use.ranks)),
                    group=min((place[one] for one in each.trainees if one in place), default=None),
                )
                for each in self._files
            ),
            files_omitted=self._omitted,
            signals=tuple(self._signals),
            capsules=tuple(self._capsules),
            capsules_written=tuple(sorted(self._written.items())),
        )

    def _groups(self, groups: list[RankGroup]) -> Iterator[GroupStory]:
        before: RankGroup | None = None
        for group in groups:
            counted = [each.counted(0) for each in group.trainees]
            counters = [one.counters.get(0) for each in group.trainees for one in each.connections]
            firsts = [one.first for one in counters if one is not None and one.first is not None]
            reached = max(max(each.told_of(0), one.next) for each, one in zip(group.trainees, counted, strict=True))
            entry = min(each.connections[0].entry for each in group.trainees)
            ended = _ended(group)
            earlier = before if before is not None and before.attempt == group.attempt else None
            yield GroupStory(
                attempt=group.attempt,
                number=group.number,
                beginning=self._beginning(earlier, group, entry),
                entry=entry,
                began_ns=self._walls[entry],
                ended_ns=None if ended is None else self._walls[ended],
                world_size=max(group.world_size, len(group.trainees)),
                ranks=tuple(sorted(each.rank for each in group.trainees)),
                first_step=min(firsts, default=None),
                last_step=reached - 1 if reached else None,
                steps=reached,
                connections=tuple((one.entry, each.rank) for each in group.trainees for one in each.connections),
            )
            before = group

    def _beginning(self, before: RankGroup | None, group: RankGroup, entry: int) -> Beginning:
        if before is None:
            return "first"
        ended = _ended(before)
        if ended is None or ended > entry:
            return "beside"
        commands = [self._command(each) for each in (before, group)]
        return "restart" if None in commands or commands[0] == commands[1] else "other"

    def _command(self, group: RankGroup) -> bytes | None:
        """The digest of the lowest rank's command, as the kernel showed it."""
        first = min(group.trainees, key=lambda each: each.rank)
        seen = self._watched.processes.get((first.attempt, first.pid))
        return None if seen is None else seen.command


def _hello(record: AttachRecord) -> HelloFrame | None:
    try:
        frame = decode_frame(record.claimed)
    except MalformedInput:
        return None
    return frame if isinstance(frame, HelloFrame) else None


def use_of(entry: int, record: FileRecord) -> CkptUse:
    """What one record says of a save or a load; whose group it was is not known from it alone."""
    return CkptUse(
        action=record.action,
        entry=entry,
        wall_ns=record.wall_ns,
        attempt=record.attempt,
        group=None,
        ranks=(record.rank,),
        step=record.step,
        path=record.path,
        digest=record.digest or record.claimed_digest,
        observed=record.digest is not None,
        reason=record.reason,
    )


def _through_a_stream(entry: int, record: BlockRecord, frame: CkptFrame) -> CkptUse:
    return CkptUse(
        action=frame.action,
        entry=entry,
        wall_ns=record.wall_ns,
        attempt=record.attempt,
        group=None,
        ranks=(record.rank,),
        step=frame.step,
        path=None,
        digest=frame.digest,
        observed=False,
        reason=None if frame.digest else "it passed through a file object, and its bytes were not seen",
    )


def _ended(group: RankGroup) -> int | None:
    ends = [each.last.ended for each in group.trainees]
    return None if None in ends else max(end for end in ends if end is not None)
