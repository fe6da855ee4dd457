"""Live code under watch: the recorders are asked, what they name is compiled, and both are written down."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from saksi.edges.clock import Clock
from saksi.edges.environment.source_places import OwnCode
from saksi.edges.files import OnBehalf
from saksi.processes.agent.challenges import Challenges
from saksi.processes.agent.connection import Connection
from saksi.processes.agent.observations import source_records
from saksi.processes.agent.scribe import Scribe
from saksi.processes.agent.sources import LiveSources
from saksi.words.frames import AnyFrame, CkptFrame, DetachFrame, LiveFrame, UpdateFrame
from saksi.words.records import ChallengeRecord

__all__ = ["LiveWatch"]

LAST_NS: Final = 20_000_000_000
"""How long sources may still be compiled as the attempt closes: a second or two is what torch's own take."""


class LiveWatch:
    """The live code of one attempt. Owned by the agent's one thread; `wake` rings when there is something to write."""

    def __init__(
        self,
        *,
        clock: Clock,
        scribe: Scribe,
        wake: Callable[[], None],
        own: OwnCode,
        draw: Callable[[int], bytes],
        on_behalf_of: OnBehalf | None = None,
    ) -> None:
        self._clock = clock
        self._scribe = scribe
        self._challenges = Challenges(draw)
        self._sources = LiveSources(wake, own=own, began_wall_ns=clock.wall_ns(), on_behalf_of=on_behalf_of)

    @property
    def pending(self) -> int:
        """How many inventories are being looked into."""
        return self._sources.pending

    def heard(self, connection: Connection, frame: AnyFrame) -> None:
        """A frame came in."""
        if isinstance(frame, UpdateFrame | LiveFrame | CkptFrame | DetachFrame):
            self._challenges.heard(connection, frame, self._clock.mono_ns())
        if isinstance(frame, LiveFrame):
            self._sources.heard(connection, frame)

    def ask(self) -> None:
        """Ask whoever is due, and write down what was asked."""
        for connection, nonce in self._challenges.ask(self._clock.mono_ns()):
            stamp = self._scribe.stamp()
            self._scribe.write(
                ChallengeRecord(connection=connection.number, rank=connection.rank, nonce=nonce, **stamp)
            )

    def write(self) -> None:
        """Write down what has been compiled."""
        for each in self._sources.collect():
            for record in source_records(each, self._scribe.stamp()):
                self._scribe.write(record)

    def finish(self) -> None:
        """The attempt closes: what is being compiled is waited for, within bounds; what is not done is not judged."""
        until = self._clock.mono_ns() + LAST_NS
        while self._sources.pending and self._clock.mono_ns() < until:
            time.sleep(0.01)
            self.write()
        self.write()

    def close(self) -> None:
        """Let the worker go."""
        self._sources.close()
