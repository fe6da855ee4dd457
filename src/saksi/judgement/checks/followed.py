"""What a check keeps of each process that speaks, in bounded memory.

Rules: whoever is connected keeps what it has; who said goodbye is let go at once; of those that left without one the
last are kept, since a process may go on over another connection (Connecting in `spec/frames.md`). Where there is no
room those that rest go first, the oldest first; after that nobody new is followed, and that is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import UnionType
from typing import Final, Generic, Protocol, TypeVar

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.spoken import ProcessKey, Speakers, Spoken
from saksi.judgement.items import Item
from saksi.words.findings import Finding
from saksi.words.frames import DetachFrame

__all__ = ["MAX_PROCESSES", "MAX_RESTING", "Followed"]

MAX_PROCESSES: Final = 16_384
"""At a time; an agent remembers as many of an attempt."""
MAX_RESTING: Final = 256
"""Processes that left without a goodbye. One that comes back later than so many others begins anew."""
NOT_FOLLOWED: Final = "coverage.not_followed"


class Kept(Protocol):
    """What is kept of one process."""

    @property
    def size(self) -> int:
        """In whatever the check keeps many of."""


T = TypeVar("T", bound=Kept)


class _Slot(Generic[T]):
    __slots__ = ("kept", "size")

    def __init__(self, kept: T) -> None:
        self.kept = kept
        self.size = 0


class Followed(Generic[T]):
    """The processes that one check follows. `make` is what is kept of a new one, `gone` hears what is let go."""

    __slots__ = ("_gone", "_make", "_noted", "_resting", "_slots", "_used", "_what", "max_resting", "size", "speakers")

    def __init__(
        self,
        make: Callable[[], T],
        *,
        size: int,
        noted: Noted,
        what: str,
        gone: Callable[[T], None] = lambda _: None,
        max_resting: int = MAX_RESTING,
    ) -> None:
        self._make = make
        self.size = size
        self._noted = noted
        self._what = what  # is not judged of whom nobody follows
        self._gone = gone
        self.max_resting = max_resting
        self.speakers = Speakers()
        self._slots: dict[ProcessKey, _Slot[T]] = {}
        self._resting: dict[ProcessKey, None] = {}
        self._used = 0

    @property
    def room(self) -> int:
        """How much more may be kept."""
        return max(0, self.size - self._used)

    def kept(self) -> Iterator[T]:
        """What is kept of each process that is followed."""
        return (slot.kept for slot in self._slots.values())

    def take(self, item: Item, kinds: type | UnionType) -> Iterator[tuple[Spoken, T]]:
        """The frames of these kinds that can be read now, and what is kept of who said them."""
        for said in self.speakers.take(item):
            if isinstance(said.frame, kinds):
                slot = self._slot(said.process)
                if slot is None:
                    self._noted.note(self._not_followed(said))
                    continue
                yield said, slot.kept
                self._used += slot.kept.size - slot.size
                slot.size = slot.kept.size
                self._make_room()
            elif isinstance(said.frame, DetachFrame):
                self._let_go(said.process)
        if self.speakers.closed in self._slots:
            self._resting[self.speakers.closed] = None
            if len(self._resting) > self.max_resting:
                self._let_go(next(iter(self._resting)))

    def _slot(self, process: ProcessKey) -> _Slot[T] | None:
        slot = self._slots.get(process)
        if slot is not None:
            self._resting.pop(process, None)
            return slot
        if len(self._slots) >= MAX_PROCESSES:
            if not self._resting:
                return None
            self._let_go(next(iter(self._resting)))
        slot = self._slots[process] = _Slot(self._make())
        return slot

    def _make_room(self) -> None:
        while self._used > self.size and self._resting:
            self._let_go(next(iter(self._resting)))

    def _let_go(self, process: ProcessKey) -> None:
        self._resting.pop(process, None)
        slot = self._slots.pop(process, None)
        if slot is not None:
            self._used -= slot.size
            self._gone(slot.kept)

    def _not_followed(self, said: Spoken) -> Finding:
        message = f"More processes speak at a time than are followed ({MAX_PROCESSES:,}); of the others {self._what}."
        return observation(
            check="witness", code=NOT_FOLLOWED, subject="processes", message=message,
            ranks=(said.rank,), evidence=(said.entry,),
        )  # fmt: skip
