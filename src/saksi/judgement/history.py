"""What happened, in the order of the log: the summary that `show` draws and verdicts speak about.

A `History` holds no judgement: those are the checks'. `history_builder.py` makes it.
"""

from __future__ import annotations

import msgspec

from saksi.judgement.series import Series
from saksi.judgement.story import Story
from saksi.judgement.timeline import Event
from saksi.words.findings import Finding
from saksi.words.frames import HelloFrame
from saksi.words.records import AgentFacts, AnchorRecord, ExitRecord, Peer

__all__ = ["Attempt", "Connection", "History", "Recorded"]


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """One recorder, from attach to detach. `updates` counts what was heard of each optimizer, by ordinal.

    `clean` is `None` while it is attached; `claimed_updates` is what the recorder said when it left.
    """

    attempt: int
    connection: int
    rank: int
    entry: int
    wall_ns: int
    peer: Peer
    hello: HelloFrame | None
    updates: tuple[int, ...] = ()
    skipped: int = 0
    first_step: int | None = None
    last_step: int | None = None
    frames: int = 0
    roots: int = 0
    lost: int = 0
    self_ns: int = 0
    clean: bool | None = None
    detached_entry: int | None = None
    claimed_updates: tuple[int, ...] | None = None
    exception: str | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One launch: the entries that admit its keys, who wrote each, when it began, and how it ended if that is known."""

    number: int
    keys: tuple[int, ...]
    entry: int
    wall_ns: int
    mono_ns: int
    exit: ExitRecord | None = None
    exit_entry: int | None = None
    recorders: tuple[AgentFacts | None, ...] = ()


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A finding that the agent wrote into the log as the run went on."""

    entry: int
    finding: Finding


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The whole run so far. `seal` is the digest of the seal's envelope; `unread` counts blocks without frames."""

    run: str | None
    seal: str | None
    entries: int
    blocks: int
    frames: int
    unread: int
    first_wall_ns: int | None
    last_wall_ns: int | None
    attempts: tuple[Attempt, ...]
    connections: tuple[Connection, ...]
    series: tuple[Series, ...]
    events: tuple[Event, ...]
    events_omitted: int
    findings: tuple[Recorded, ...]
    anchors: tuple[AnchorRecord, ...] = ()
    story: Story = Story()

    @property
    def ended(self) -> bool:
        """Whether the last attempt has an exit record."""
        return bool(self.attempts) and self.attempts[-1].exit is not None

    @property
    def training(self) -> tuple[Connection, ...]:
        """The connections that made at least one update."""
        return tuple(each for each in self.connections if any(each.updates))

    def series_of(self, name: str, rank: int) -> Series | None:
        """The series called `name` of `rank`, or `None`."""
        return next((each for each in self.series if each.name == name and each.rank == rank), None)
