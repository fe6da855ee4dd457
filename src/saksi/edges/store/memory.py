"""The memory twin of the local store: same promises, and a place to break them on purpose.

A `MemoryDisk` is what outlives a writer: the durable bytes, and over them the writes nobody flushed. A
`MemoryStore` is one process that has the disk open. A test opens a store with a `faults` function that is
asked before every call and may answer with an `Outcome`; to kill the process it drops the store, to kill
the machine it calls `disk.crash`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from saksi.edges.store.names import checked_name, checked_partial, checked_prefix
from saksi.words.errors import Conflict, HeadConflict, LogBusy, NotStored, StoreError

__all__ = ["Call", "Fate", "Faults", "MemoryDisk", "MemoryStore", "Outcome"]


class Outcome(Enum):
    """How a call fails. Either way the caller sees a `StoreError` and cannot tell which it was."""

    LOST = "failed and did not persist"
    KEPT = "failed but did persist"
    TORN = "failed and persisted in part"  # only `append` tears; the other verbs are atomic and lose


class Fate(Enum):
    """What a crash of the machine makes of one write that was not durable."""

    KEPT = "kept"
    LOST = "lost"
    TORN = "torn"


class Call(NamedTuple):
    """One call on a store: its number since the store was made, its verb, and the name it was about."""

    number: int
    verb: str
    name: str


Faults = Callable[[Call], Outcome | None]
_READING: Final = frozenset({"read", "names", "journal", "load_head"})


@dataclass
class MemoryDisk:
    """What outlives a writer.

    `heads` is every head that was ever on it, for tests that ask for two of a size. `locking=False` is a
    file system whose locks do nothing: there only the compare-and-swap of the head stands between two
    writers.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    unflushed: dict[str, bytes | None] = field(default_factory=dict)  # None: a removal that was not flushed
    journal: bytearray = field(default_factory=bytearray)
    head: bytes | None = None
    heads: list[bytes] = field(default_factory=list)
    holder: MemoryStore | None = None
    locking: bool = True

    def crash(self, fate: Callable[[str], Fate] = lambda _name: Fate.LOST) -> None:
        """The machine dies: the lock is free, and each write that was not durable meets its fate."""
        for name, content in self.unflushed.items():
            chosen = fate(name)
            if chosen is Fate.LOST:
                continue
            if content is None:
                self.objects.pop(name, None)
            else:
                self.objects[name] = content if chosen is Fate.KEPT else content[: len(content) // 2]
        self.unflushed.clear()
        self.holder = None

    def visible(self, name: str) -> bytes | None:
        """The bytes a reader finds now, flushed or not."""
        return self.unflushed[name] if name in self.unflushed else self.objects.get(name)


class MemoryStore:
    """One process's view of a `MemoryDisk`. See `Store` for what each verb promises."""

    def __init__(self, disk: MemoryDisk | None = None, *, faults: Faults | None = None) -> None:
        self.disk = disk if disk is not None else MemoryDisk()
        self.calls: list[Call] = []
        self._faults = faults
        self._locked = False

    def _holds(self) -> bool:
        return self._locked and (self.disk.holder is self or not self.disk.locking)

    def _perform(self, verb: str, name: str, act: Callable[[], None], torn: Callable[[], None] | None = None) -> None:
        call = Call(len(self.calls), verb, name)
        self.calls.append(call)
        if verb not in _READING and verb != "lock" and not self._holds():
            raise StoreError(f"{verb} {name}: this store is not locked for writing", remedy="call lock first")
        outcome = self._faults(call) if self._faults is not None else None
        if outcome is None or outcome is Outcome.KEPT:
            act()
        elif outcome is Outcome.TORN and torn is not None:
            torn()
        if outcome is not None:
            raise StoreError(f"{verb} {name}: simulated fault, {outcome.value}")

    def read(self, name: str) -> bytes:
        """See `Store.read`."""
        checked_name(name)
        self._perform("read", name, lambda: None)
        content = self.disk.visible(name)
        if content is None:
            raise NotStored(f"no object {name}")
        return content

    def write_once(self, name: str, content: bytes, *, durable: bool = True) -> None:
        """See `Store.write_once`."""
        checked_name(name)

        def act() -> None:
            there = self.disk.visible(name)
            if there is not None and there != content:
                raise Conflict(f"{name} already holds other bytes")
            if durable:
                self.disk.unflushed.pop(name, None)
                self.disk.objects[name] = bytes(content)
            elif there is None:
                self.disk.unflushed[name] = bytes(content)

        self._perform("write_once", name, act)

    def replace(self, name: str, content: bytes) -> None:
        """See `Store.replace`."""
        checked_name(name)

        def act() -> None:
            self.disk.unflushed.pop(name, None)
            self.disk.objects[name] = bytes(content)

        self._perform("replace", name, act)

    def discard(self, name: str) -> None:
        """See `Store.discard`."""
        checked_partial(name)

        def act() -> None:
            if self.disk.visible(name) is not None:
                self.disk.unflushed[name] = None

        self._perform("discard", name, act)

    def names(self, prefix: str) -> Iterator[str]:
        """See `Store.names`."""
        checked_prefix(prefix)
        self._perform("names", prefix, lambda: None)
        every = {*self.disk.objects, *self.disk.unflushed}
        return iter(sorted(n for n in every if n.startswith(prefix) and self.disk.visible(n) is not None))

    def append(self, frame: bytes) -> None:
        """See `Store.append`."""
        self._perform(
            "append",
            "journal",
            lambda: self.disk.journal.extend(frame),
            torn=lambda: self.disk.journal.extend(frame[: len(frame) // 2]),
        )

    def journal(self, offset: int = 0, limit: int | None = None) -> bytes:
        """See `Store.journal`."""
        self._perform("journal", "journal", lambda: None)
        return bytes(self.disk.journal[offset : None if limit is None else offset + limit])

    def cut_journal(self, length: int) -> None:
        """See `Store.cut_journal`."""

        def act() -> None:
            del self.disk.journal[length:]

        self._perform("cut_journal", "journal", act)

    def load_head(self) -> bytes | None:
        """See `Store.load_head`."""
        self._perform("load_head", "head", lambda: None)
        return self.disk.head

    def swap_head(self, expected: bytes | None, replacement: bytes) -> None:
        """See `Store.swap_head`."""

        def act() -> None:
            if self.disk.head != expected:
                raise HeadConflict("head: it is not the one this writer expected to replace")
            self.disk.head = bytes(replacement)
            self.disk.heads.append(self.disk.head)

        self._perform("swap_head", "head", act)

    def lock(self) -> None:
        """See `Store.lock`."""

        def act() -> None:
            if self.disk.locking and self.disk.holder not in (None, self):
                raise LogBusy("lock: the log is being written by another store of this process")
            self.disk.holder = self
            self._locked = True

        self._perform("lock", "lock", act)

    def close(self) -> None:
        """See `Store.close`."""
        self._locked = False
        if self.disk.holder is self:
            self.disk.holder = None
