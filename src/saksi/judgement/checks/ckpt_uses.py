"""Model checkpoints as they were saved and loaded: what a recorder said of each, and what the agent read of its file.

Rules: a save is given as it is said, with the digest that its recorder knew, and again once the agent's own reading is
there; a load is given once that is, since without it nobody knows what was loaded. Memory is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, TypeVar

from saksi.judgement.checks.spoken import ProcessKey, Spoken
from saksi.judgement.items import Item
from saksi.words.frames import CkptFrame, Holding
from saksi.words.records import BlockRecord, DetachRecord, FileRecord

__all__ = ["Use", "Uses", "is_before", "keep"]

MAX_WAITING: Final = 8_192
"""Saves and loads of which only the frame or only the record was read yet; an agent lets 1,024 files wait."""
SKEW_NS: Final = 5_000_000_000
"""How far what two processes of one machine say may be out of order."""

_Key = tuple[int, int, int]
K = TypeVar("K")
T = TypeVar("T")


class Use(NamedTuple):
    """One save or load.

    `digest` is that of the file: of a save to a path what its recorder read back at once, else what the agent read,
    else what was written to a stream. `file` is which file it was, and in which state; without it the file may have
    been written on since. `key` is the attempt, the connection and the number of the frame.
    """

    key: _Key
    process: ProcessKey
    rank: int
    world_size: int
    action: str
    path: str | None
    step: int
    wall_ns: int
    size: int | None
    digest: str | None
    file: tuple[int, int, int, int] | None
    holds: Holding | None
    entry: int

    @property
    def position(self) -> tuple[int, int]:
        """Attempt and Step: how far the training was."""
        return self.process.attempt, self.step


def is_before(a: Use, b: Use, *, slack_ns: int = 0) -> bool:
    """Whether `a` happened before `b`; of another process up to `slack_ns` later counts too."""
    if a.process == b.process:
        return a.key < b.key
    return a.wall_ns <= b.wall_ns + slack_ns


class Uses:
    """Joins frames and records, in whichever order they come."""

    __slots__ = ("_records", "_said", "lost")

    def __init__(self) -> None:
        self._said: dict[_Key, Use] = {}
        self._records: dict[_Key, tuple[FileRecord, int]] = {}
        self.lost = False
        """Whether something was let go because too much waited."""

    def take(self, item: Item, said: tuple[Spoken, ...]) -> Iterator[Use]:
        """What can be said now, from one item and the frames that were heard with it."""
        record = item.record
        if isinstance(record, FileRecord):
            yield from self._read((record.attempt, record.connection, record.seq), record, item.index)
        elif isinstance(record, BlockRecord | DetachRecord):
            for each in said:
                if isinstance(each.frame, CkptFrame):
                    key = (record.attempt, record.connection, each.frame.seq)
                    yield from self._heard(key, each, each.frame)

    def _read(self, key: _Key, record: FileRecord, entry: int) -> Iterator[Use]:
        use = self._said.pop(key, None)
        if use is None:
            self.lost = self.lost or keep(self._records, key, (record, entry), MAX_WAITING)
        else:
            yield _joined(use, record, entry)

    def _heard(self, key: _Key, said: Spoken, frame: CkptFrame) -> Iterator[Use]:
        use = _use(key, said, frame)
        found = self._records.pop(key, None)
        if found is not None:
            yield _joined(use, *found)
            return
        if frame.action == "saved" or frame.path is None:
            yield use
        if frame.path is not None:
            self.lost = self.lost or keep(self._said, key, use, MAX_WAITING)


def keep(kept: dict[K, T], key: K, value: T, limit: int) -> bool:
    """Keeps `value` as the newest; whether the oldest was let go for that."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) <= limit:
        return False
    del kept[next(iter(kept))]
    return True


def _use(key: _Key, said: Spoken, frame: CkptFrame) -> Use:
    known = None not in (frame.device, frame.inode, frame.size, frame.mtime_ns)
    return Use(
        key=key,
        process=said.process,
        rank=said.rank,
        world_size=said.hello.world_size,
        action=frame.action,
        path=frame.path,
        step=frame.step,
        wall_ns=frame.wall_ns,
        size=frame.size,
        digest=frame.digest,
        file=(frame.device or 0, frame.inode or 0, frame.size or 0, frame.mtime_ns or 0) if known else None,
        holds=frame.holds,
        entry=said.entry,
    )


def _joined(use: Use, record: FileRecord, entry: int) -> Use:
    read_back = use.digest if use.file is not None else None
    return use._replace(digest=read_back or record.digest or use.digest, entry=entry)
