"""One process that says which code it executes: what it began with, and what has become of that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from saksi.judgement.checks.live_flags import UNSET, FlagChange
from saksi.judgement.checks.live_places import Compiler, Place
from saksi.judgement.checks.live_said import Said, Since
from saksi.judgement.checks.spoken import ProcessKey
from saksi.words.frames import HelloFrame, LiveFrame
from saksi.words.limits import MAX_LIVE_SUBJECTS

__all__ = ["Baseline", "Context", "LiveProcess"]

_Key = tuple[str, str]


class Context(NamedTuple):
    """Who said it, after which Step, and in which entry."""

    rank: int
    step: int | None
    entry: int


class Baseline:
    """What a process began with; shared by all that began with the same. `waiting` is what is to be judged yet."""

    __slots__ = ("contexts", "identity", "owners", "places", "said", "waiting")

    def __init__(self, places: dict[_Key, Place]) -> None:
        self.places = places
        self.owners = frozenset(name.rpartition(".")[0] for _, name in places)
        self.identity = hash(frozenset(places.values()))
        self.waiting: list[Place] = []
        self.said: list[Said] = []
        self.contexts: list[Context] = []


class LiveProcess:
    """One process, over all of its connections.

    `fault` is why its recorder takes no inventories, if it said so. `whole` is whether all parts of what it began with
    were heard: what is in none of them may have been so from the start. `late`: the first one broke off with its
    connection, and another took its place.
    """

    __slots__ = (
        "_first_flags",
        "_flags",
        "_gathered",
        "_now",
        "_parts",
        "answers",
        "baseline",
        "compiler",
        "context",
        "fault",
        "first",
        "key",
        "late",
        "updates",
        "whole",
    )

    def __init__(self, key: ProcessKey, compiler: Compiler, hello: HelloFrame) -> None:
        self.key = key
        self.compiler = compiler
        self.answers = hello.answers
        self.fault: str | None = None
        self.whole = True
        self.late = False
        self.first: int | None = None  # the number of its first inventory
        self._parts: set[int] = set()  # of that, as far as they were heard
        self.updates = 0
        self.context: Context | None = None  # of its first update
        self.baseline: Baseline | None = None
        self._gathered: dict[_Key, Place] = {}
        self._now: dict[_Key, Place] = {}  # where it differs from what it began with
        self._first_flags: dict[str, str] = {}
        self._flags: dict[str, str] = {}

    def updated(self, context: Context) -> None:
        """It has made an Update."""
        self.updates += 1
        if self.context is None:
            self.context = context

    def silence(self, *, ended: bool) -> str | None:
        """Why nothing can be said of its code, if that is so."""
        if not self.updates or self.baseline is not None:
            return None
        if self.first is not None:
            return "The first inventory broke off, and none came after it." if ended else None
        if self.fault is not None:
            return f"The recorder of this process could not watch which code it executes: {self.fault}."
        if not self.answers:
            return "The recorder of this process does not tell which code it executes: another version, most likely."
        return "No inventory of the code came." if ended else None

    def begins_with(self, frame: LiveFrame) -> bool:
        """Whether a frame is a part of the first inventory that was heard of this process.

        One that broke off with its connection gives way to the one that the next connection begins with.
        """
        if self.first is None:
            self.first, self.whole = frame.number, frame.at == "first"
        elif self.baseline is None and frame.number != self.first and frame.at == "first":
            self.first, self.late = frame.number, True
            self._gathered, self._parts = {}, set()
        return self.baseline is None and frame.number == self.first

    def gather(self, frame: LiveFrame, places: tuple[Place, ...]) -> bool:
        """A part of what it began with; whether it was the last one."""
        self._parts.add(frame.part)
        for each in places:
            if len(self._gathered) < MAX_LIVE_SUBJECTS:
                self._gathered[each.key] = each
        last = frame.part + 1 >= frame.parts
        if last and len(self._parts) < frame.parts:
            self.whole = False
        return last

    def settle(self, *, last: bool = True) -> Baseline:
        """What it began with, as far as it was heard; not `last`: its last part did not come."""
        self.whole &= last
        self.baseline = Baseline(self._gathered)
        self._gathered, self._parts = {}, set()
        return self.baseline

    def change(self, place: Place, number: int) -> Since | None:
        """A place as inventory `number` says it; `None` if it was so before."""
        held = {} if self.baseline is None else self.baseline.places
        before = self._now.get(place.key, held.get(place.key))
        if before == place:
            return None
        if place.key in self._now or len(self._now) < MAX_LIVE_SUBJECTS:
            self._now[place.key] = place
        if place.place == "operator" and before is None and self.first is not None and number == self.first + 1:
            return Since(first=True)  # the first inventory asks for a part of them, the next one for all
        if before is None and not self.whole:
            return Since(first=True)  # it may stand in the part that was lost
        beside = self.baseline is not None and place.name.rpartition(".")[0] in self.baseline.owners
        return Since(first=False, before=before, beside=beside)

    def unheard(self) -> str | None:
        """What of its beginning was not heard, if that is so."""
        if not self.whole:
            return (
                "Parts of the first inventory did not come: frames were dropped. A place that appears later may have "
                "been so from the start, and is judged as if it had been."
            )
        if self.late:
            return "The first inventory broke off with its connection; what the next one began with is taken for it."
        return None

    def flags_changed(self, frame: LiveFrame) -> Iterator[FlagChange]:
        """Flags that are not as they were said last. Each change is told once."""
        if not frame.flags:
            return
        if not self._flags:
            self._flags = self._first_flags = dict(frame.flags)
            return
        for name in sorted({*self._flags, *frame.flags}):
            first, old, new = (each.get(name, UNSET) for each in (self._first_flags, self._flags, frame.flags))
            if old != new:
                yield FlagChange(name, first, old, new)
        self._flags = dict(frame.flags)
