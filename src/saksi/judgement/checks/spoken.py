"""What recorders say, frame by frame, with who speaks: for checks that follow a process over its connections.

Rules: values that a device delivers later are joined to their Update first (`deferral`); a process is known by its pid
and the key in its `hello`, and goes on over several connections; memory is bounded, and who comes when there is no room
is not followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from saksi.judgement.deferral import Deferral
from saksi.judgement.items import Item
from saksi.words.frames import AnyFrame, DetachFrame, HelloFrame
from saksi.words.records import AttachRecord, BlockRecord, DetachRecord

__all__ = ["ProcessKey", "Speakers", "Spoken"]

MAX_OPEN: Final = 16_384
"""Connections at a time; an agent lets in a quarter of that."""


class ProcessKey(NamedTuple):
    """One process of one attempt: a pid may be given to another, a key is new in each."""

    attempt: int
    pid: int
    key: str


class Spoken(NamedTuple):
    """One frame: the process that said it, as which rank, and the entry that holds it."""

    process: ProcessKey
    hello: HelloFrame
    rank: int
    frame: AnyFrame
    entry: int


class _Speaker:
    __slots__ = ("deferral", "goodbye", "hello", "number", "process", "rank")

    def __init__(self, number: int, rank: int) -> None:
        self.number = number
        self.goodbye: tuple[DetachFrame, int] | None = None
        self.rank = rank
        self.hello: HelloFrame | None = None
        self.process: ProcessKey | None = None
        self.deferral: Deferral[int] = Deferral()


class Speakers:
    """The open connections of a log, as it is read. `closed`: whose last open connection ended with the last item.

    Several checks may share one: for an item that is taken again the answer is the same.
    """

    __slots__ = ("_heard", "_item", "_latest", "_open", "closed")

    def __init__(self) -> None:
        self.closed: ProcessKey | None = None
        self._item: Item | None = None
        self._heard: tuple[Spoken, ...] = ()
        self._open: dict[tuple[int, int], _Speaker] = {}
        self._latest: dict[ProcessKey, _Speaker] = {}  # of each process: an old connection may end after it

    def take(self, item: Item) -> tuple[Spoken, ...]:
        """The frames that can be read now, `hello` left out; a `detach` as the connection has ended."""
        if item is not self._item:
            self._item, self._heard = item, tuple(self._take(item))
        return self._heard

    def _take(self, item: Item) -> Iterator[Spoken]:
        record = item.record
        self.closed = None
        if isinstance(record, AttachRecord):
            self._open.pop((record.attempt, record.connection), None)
        elif isinstance(record, DetachRecord):
            speaker = self._open.pop((record.attempt, record.connection), None)
            if speaker is not None:
                yield from self._spoken(record.attempt, speaker, speaker.deferral.rest())
                yield from self._close(speaker)
        elif isinstance(record, BlockRecord):
            place = (record.attempt, record.connection)
            speaker = self._open.get(place)
            if speaker is None:
                if len(self._open) >= MAX_OPEN:
                    return
                speaker = self._open[place] = _Speaker(record.connection, record.rank)
            for line in item.lines:
                settled = speaker.deferral.take(line.frame, item.index, len(line.raw))
                yield from self._spoken(record.attempt, speaker, settled)

    def _spoken(self, attempt: int, speaker: _Speaker, frames: Iterator[tuple[AnyFrame, int]]) -> Iterator[Spoken]:
        for frame, entry in frames:
            if isinstance(frame, HelloFrame):
                speaker.hello = frame
                speaker.process = ProcessKey(attempt, frame.pid, frame.fingerprint_key)
                latest = self._latest.get(speaker.process)
                if latest is None or latest.number < speaker.number:
                    self._latest[speaker.process] = speaker
            elif isinstance(frame, DetachFrame):
                speaker.goodbye = frame, entry  # whoever goes on speaking has not gone
            elif speaker.hello is not None and speaker.process is not None:
                yield Spoken(speaker.process, speaker.hello, speaker.rank, frame, entry)

    def _close(self, speaker: _Speaker) -> Iterator[Spoken]:
        if speaker.process is None or self._latest.get(speaker.process) is not speaker:
            return
        del self._latest[speaker.process]
        self.closed = speaker.process
        if speaker.hello is not None and speaker.goodbye is not None:
            yield Spoken(speaker.process, speaker.hello, speaker.rank, *speaker.goodbye)
