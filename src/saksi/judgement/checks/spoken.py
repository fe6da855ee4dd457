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
    __slots__ = ("deferral", "goodbye", "hello", "rank")

    def __init__(self, rank: int) -> None:
        self.goodbye: tuple[DetachFrame, int] | None = None
        self.rank = rank
        self.hello: HelloFrame | None = None
        self.deferral: Deferral[int] = Deferral()


class Speakers:
    """The open connections of a log, as it is read."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], _Speaker] = {}

    def take(self, item: Item) -> Iterator[Spoken]:
        """The frames that can be read now, `hello` left out; a `detach` as the connection has ended."""
        record = item.record
        if isinstance(record, AttachRecord):
            self._open.pop((record.attempt, record.connection), None)
        elif isinstance(record, DetachRecord):
            speaker = self._open.pop((record.attempt, record.connection), None)
            if speaker is not None:
                yield from _spoken(record.attempt, speaker, speaker.deferral.rest())
                if speaker.hello is not None and speaker.goodbye is not None:
                    process = ProcessKey(record.attempt, speaker.hello.pid, speaker.hello.fingerprint_key)
                    yield Spoken(process, speaker.hello, speaker.rank, *speaker.goodbye)
        elif isinstance(record, BlockRecord):
            place = (record.attempt, record.connection)
            speaker = self._open.get(place)
            if speaker is None:
                if len(self._open) >= MAX_OPEN:
                    return
                speaker = self._open[place] = _Speaker(record.rank)
            for line in item.lines:
                yield from _spoken(
                    record.attempt, speaker, speaker.deferral.take(line.frame, item.index, len(line.raw))
                )


def _spoken(attempt: int, speaker: _Speaker, frames: Iterator[tuple[AnyFrame, int]]) -> Iterator[Spoken]:
    for frame, entry in frames:
        if isinstance(frame, HelloFrame):
            speaker.hello = frame
        elif isinstance(frame, DetachFrame):
            speaker.goodbye = frame, entry  # whoever goes on speaking has not gone
        elif speaker.hello is not None:
            hello = speaker.hello
            process = ProcessKey(attempt, hello.pid, hello.fingerprint_key)
            yield Spoken(process, hello, speaker.rank, frame, entry)
