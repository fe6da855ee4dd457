"""Connections to the agent that were closed from inside a process that went on.

The recorder closes none of its own accord but with a goodbye, and at the first Update where the rank became known only
then, which the next hello shows. So what ended without a goodbye, at no doing of the agent's, and was opened anew by
the same recorder was closed by other code in its process. A process that trained by then is told with severity
`warning`: programs that close all descriptors do it as they start.

Known weakness: what is closed for good looks like a process that fell silent, which `coverage` tells of.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple, TypeVar

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.items import Item
from saksi.words.findings import Finding
from saksi.words.frames import HelloFrame
from saksi.words.records import (
    AGENT_FAILED,
    AttachRecord,
    AttemptKeyRecord,
    BlockRecord,
    DetachRecord,
    RefusedRecord,
)

__all__ = ["RECONNECTIONS", "ReconnectionCheck"]

MAX_RECORDERS: Final = 16_384
"""Recorders and connections that are kept; the oldest are forgotten first."""
_MESSAGE: Final = (
    "The recorder's connection was closed inside the process, which went on: the recorder opened another, and counted "
    "what did not get through. A program that closes all descriptors that it did not open does this."
)
_finding = partial(observation, check="reconnections", code="witness.connection_closed", message=_MESSAGE)
_Key = tuple[int, int]
"""Attempt and connection."""
_K = TypeVar("_K")
_V = TypeVar("_V")


class _Recorder:
    """One recorder: the connection it is on, and how the one before ended, once that is known."""

    __slots__ = ("connection", "ended", "key", "world")

    def __init__(self, key: tuple[int, int, str], connection: int, world: tuple[int, int, int]) -> None:
        self.key = key
        self.connection = connection
        self.world = world
        self.ended: DetachRecord | None = None


class _Left(NamedTuple):
    """A connection that was left for another: the entry with the hello there, and whether that names another rank."""

    entry: int
    renamed: bool


class _State:
    __slots__ = ("left", "noted", "of", "pids", "recorders", "refused")

    def __init__(self) -> None:
        self.noted = Noted()
        self.pids: dict[_Key, int] = {}  # of connections whose hello was not read yet
        self.recorders: dict[tuple[int, int, str], _Recorder] = {}
        self.of: dict[_Key, _Recorder] = {}
        self.left: dict[_Key, _Left] = {}  # that have not ended yet
        self.refused: dict[_Key, None] = {}


class ReconnectionCheck:
    """How the connections of one recorder follow one another."""

    name = "reconnections"

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        match item.record:
            case AttemptKeyRecord():  # another agent, or attempt: connections are numbered anew
                for each in (state.pids, state.recorders, state.of, state.left, state.refused):
                    each.clear()
            case AttachRecord(attempt=attempt, connection=connection, peer=peer):
                _keep(state.pids, (attempt, connection), peer.pid)
            case RefusedRecord(attempt=attempt, connection=int(connection), reason=reason):
                if reason.startswith(AGENT_FAILED):
                    _keep(state.refused, (attempt, connection), None)
            case BlockRecord() as record:
                for line in item.lines:
                    if isinstance(line.frame, HelloFrame):
                        self._greet(state, item.index, record, line.frame)
            case DetachRecord() as record:
                self._end(state, record)
            case _:
                pass
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return tuple(state.noted.kept())

    def _greet(self, state: _State, entry: int, record: BlockRecord, hello: HelloFrame) -> None:
        key = record.attempt, record.connection
        pid = state.pids.pop(key, None)
        if pid is None:
            return
        world = hello.rank, hello.local_rank, hello.world_size
        of = record.attempt, pid, hello.fingerprint_key
        known, now = state.recorders.get(of), _Recorder(of, record.connection, world)
        _keep(state.recorders, of, now)
        _keep(state.of, key, now)
        if known is None:
            return
        left = _Left(entry, known.world != world)
        if known.ended is not None:
            _note(state, left, known.ended)
        else:
            _keep(state.left, (record.attempt, known.connection), left)

    def _end(self, state: _State, record: DetachRecord) -> None:
        key = record.attempt, record.connection
        state.pids.pop(key, None)
        recorder, left = state.of.pop(key, None), state.left.pop(key, None)
        if recorder is None:
            return
        if record.clean or key in state.refused:
            state.refused.pop(key, None)
            if state.recorders.get(recorder.key) is recorder:
                del state.recorders[recorder.key]
        elif left is not None:
            _note(state, left, record)
        else:
            recorder.ended = record


def _keep(kept: dict[_K, _V], key: _K, value: _V) -> None:
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > MAX_RECORDERS:
        del kept[next(iter(kept))]


def _note(state: _State, left: _Left, closed: DetachRecord) -> None:
    if left.renamed and closed.last_step is None:
        return  # its rank became known
    step = None if closed.last_step is None else closed.last_step + 1  # the one that was under way
    state.noted.note(
        _finding(
            severity="info" if step is None else "warning",
            subject=f"rank {closed.rank}",
            steps=(step, step),
            ranks=(closed.rank,),
            evidence=(left.entry,),
        )
    )


RECONNECTIONS: Final = ReconnectionCheck()
