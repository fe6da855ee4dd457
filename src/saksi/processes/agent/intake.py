"""The agent's socket: accepts recorders, reads their packets, turns them into blocks and records.

Never blocks and never answers. A peer that floods, lies, stays silent or vanishes costs bounded memory and few records.
What is refused is written with whom it was refused; files are left over for the log, whoever connects.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import resource
import selectors
import socket
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from saksi.edges.clock import Clock
from saksi.processes.agent.connection import Connection, Refusal, peer_of
from saksi.processes.agent.scribe import Scribe
from saksi.words.frames import AnyFrame
from saksi.words.records import AGENT_FAILED, AttachRecord, DetachRecord, Peer, RefusedRecord

__all__ = ["Intake"]

_logger = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 4_096
MAX_REMEMBERED: Final = 16_384
"""Recorders of one attempt that leave something to remember: all but those that say goodbye and never trained."""
RESERVED_FILES: Final = 48
"""Open files of the process that are kept for its logs, whoever connects; a quarter where there are few."""
ACCEPTED_AT_ONCE: Final = 64
"""So that peers who connect without end cannot starve those who talk."""
MAX_REFUSALS: Final = 64
"""Refusals written down one by one; those after them are counted."""
MAX_REFUSALS_OF_ONE: Final = 16
"""Of them, how many one connection may have; those after them are one record, as it closes."""
GREETING_NS: Final = 10_000_000_000
"""How long a peer may take to say who it is: a recorder does it as it connects."""
PAUSE_NS: Final = 1_000_000_000
"""How long nobody is let in after there was no file, or no memory, to do it with."""
LAST_READ_NS: Final = 2_000_000_000
"""How long what waits in the sockets is read as the attempt closes."""
YOUNGEST_BLOCK_NS: Final = 1_000_000_000
OLDEST_BLOCK_NS: Final = 10_000_000_000


class Intake:
    """Every connection of one attempt. Owned by the agent's one thread."""

    def __init__(
        self,
        listener: socket.socket,
        *,
        token: str,
        account: int,
        clock: Clock,
        scribe: Scribe,
        selector: selectors.BaseSelector,
        heard: Callable[[Connection, AnyFrame], None],
    ) -> None:
        self._listener = listener
        self._token = token
        self._account = account
        self._clock = clock
        self._scribe = scribe
        self._selector = selector
        self._heard = heard
        self._started_ns = clock.mono_ns()
        self._connections: dict[int, Connection] = {}
        self._accepted = 0
        self._remembered = 0
        self._written = 0
        self._unwritten: Counter[str] = Counter()
        self._paused_ns: int | None = None
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, self.accept)

    @property
    def open_connections(self) -> int:
        """How many peers are connected."""
        return len(self._connections)

    def accept(self) -> None:
        """Take the peers that wait at the door, some at a time."""
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connected, _ = self._listener.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._pause(error)
                return
            try:
                account = peer_of(connected).uid
            except OSError as error:
                self._refuse_at_the_door(connected, f"who it is cannot be known: {error.strerror}")
                continue
            if account != self._account:  # at once: whoever may not speak takes up no place
                self._refuse_at_the_door(connected, f"account {account} is not the job's account")
            elif len(self._connections) >= MAX_CONNECTIONS:
                self._refuse_at_the_door(
                    connected, f"{len(self._connections)} connections were open, as many as may be"
                )
            elif self._remembered >= MAX_REMEMBERED:
                reason = f"{self._remembered} recorders had attached that trained or said no goodbye, as many as may"
                self._refuse_at_the_door(connected, reason)
            elif connected.fileno() >= _files():
                self._refuse_at_the_door(connected, "as many files are open as the agent may have, but for its logs")
            else:
                self._admit(connected)

    def _admit(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        number, now = self._accepted, self._clock.mono_ns()
        connection = Connection(number, connected, token=self._token, account=self._account, now_ns=now)
        try:
            self._selector.register(connected, selectors.EVENT_READ, partial(self.read, connection))
        except OSError as error:
            self._refuse_at_the_door(connected, f"the agent cannot listen to it: {error.strerror}")
            return
        self._accepted += 1
        self._connections[number] = connection

    def _refuse_at_the_door(self, connected: socket.socket, reason: str) -> None:
        peer = None
        with contextlib.suppress(OSError):
            peer = peer_of(connected)
        connected.close()
        self._turn_away(reason, sample="", peer=peer)

    def _pause(self, error: OSError) -> None:
        """Look away from the door for a while: a peer that cannot be let in would wake us again at once."""
        _logger.warning("nobody can be let in: %s", error)
        self._selector.unregister(self._listener)
        self._paused_ns = self._clock.mono_ns()

    def read(self, connection: Connection) -> bool:
        """Take what `connection` has sent, some packets at a time; whether there was anything."""
        try:
            return self._read(connection)
        except Exception as error:  # whatever one peer brought about must not end the others' record
            _logger.exception("connection %d", connection.number)
            reason = f"{AGENT_FAILED}: {type(error).__name__}"
            self._write_refusal(connection, Refusal(reason=reason, sample="", closes=True))
            self._close(connection)
            return False

    def _read(self, connection: Connection) -> bool:
        heard = False
        for packet in connection.packets():
            heard = True
            if packet is None:
                self._close(connection)
                return heard
            taken = connection.accept(packet, self._clock.mono_ns())
            if isinstance(taken, Refusal):
                self._write_refusal(connection, taken)
                if taken.closes:
                    self._close(connection)
                    return heard
            elif taken is not None:
                if connection.frames == 1:
                    self._write_attach(connection)
                self._heard(connection, taken)
                # After each frame: some packets of the largest size are more than a block may hold.
                if connection.block_is_due(self._clock.mono_ns(), age_ns=OLDEST_BLOCK_NS):
                    self.store_block(connection)
        return heard

    def flush(self) -> None:
        """Store the blocks that are old enough: a second at first, so that a young run can be followed, ten later.

        Close the peers that never said who they are, and open the door again after a pause.
        """
        now = self._clock.mono_ns()
        age = min(OLDEST_BLOCK_NS, max(YOUNGEST_BLOCK_NS, (now - self._started_ns) // 10))
        for connection in list(self._connections.values()):
            if connection.block_is_due(now, age_ns=age):
                self.store_block(connection)
            elif connection.hello is None and now - connection.opened_ns >= GREETING_NS:
                self._close_silent(connection)
        if self._paused_ns is not None and now - self._paused_ns >= PAUSE_NS:
            self._paused_ns = None
            self._selector.register(self._listener, selectors.EVENT_READ, self.accept)

    def _close_silent(self, connection: Connection) -> None:
        self.read(connection)  # it may have spoken while we were busy
        if connection.hello is None and connection.number in self._connections:
            reason = f"no hello within {GREETING_NS / 1e9:g} seconds"
            self._turn_away(reason, sample="", peer=connection.peer)
            self._close(connection)

    def close(self) -> None:
        """No more peers: what the connected ones have sent is taken, then all are closed."""
        if self._paused_ns is None:
            self._selector.unregister(self._listener)
        self._listener.close()
        until = self._clock.mono_ns() + LAST_READ_NS
        talking = list(self._connections.values())
        while talking and self._clock.mono_ns() < until:
            talking = [each for each in talking if self.read(each) and each.number in self._connections]
        for connection in list(self._connections.values()):
            self._close(connection)
        for reason, count in self._unwritten.items():
            self._write(reason, sample="", count=count)

    def _write_attach(self, connection: Connection) -> None:
        self._remembered += 1
        record = AttachRecord(
            connection=connection.number,
            peer=connection.peer,
            rank=connection.rank,
            claimed=msgspec.Raw(connection.hello_bytes),
            **self._scribe.stamp(),
        )
        self._scribe.write(record)

    def store_block(self, connection: Connection) -> None:
        """Store what `connection` has said so far."""
        block = connection.take_block()
        if block is not None:
            self._scribe.write_block(connection, block)

    def _write_refusal(self, connection: Connection, refusal: Refusal) -> None:
        if connection.hello is None and connection.phase == "knock":
            self._turn_away(refusal.reason, sample=refusal.sample, peer=connection.peer)
        elif self._written >= MAX_REFUSALS or connection.refused > MAX_REFUSALS_OF_ONE:
            connection.unwritten += 1
        else:
            self._written += 1
            if connection.hello is not None:
                self.store_block(connection)  # what was said before it stands before it, so that its step is known
            self._write(refusal.reason, sample=refusal.sample, count=1, connection=connection, peer=connection.peer)

    def _turn_away(self, reason: str, *, sample: str, peer: Peer | None) -> None:
        """Write down a peer that may not attach; it has no connection. Reasons are few: those we word ourselves."""
        if self._written >= MAX_REFUSALS:
            self._unwritten[reason] += 1
            return
        self._written += 1
        self._write(reason, sample=sample, count=1, peer=peer)

    def _write(
        self, reason: str, *, sample: str, count: int, connection: Connection | None = None, peer: Peer | None = None
    ) -> None:
        record = RefusedRecord(
            connection=None if connection is None else connection.number,
            peer=peer,
            rank=None if connection is None or connection.hello is None else connection.rank,
            reason=reason,
            sample=sample,
            count=count,
            **self._scribe.stamp(),
        )
        self._scribe.write(record)

    def _close(self, connection: Connection) -> None:
        if self._connections.pop(connection.number, None) is None:
            return
        self._selector.unregister(connection.socket)
        connection.socket.close()
        reason = "more frames were refused than are written down one by one"
        if connection.unwritten and connection.hello is None:
            self._unwritten[reason] += connection.unwritten  # peers that never attach may come without end
        elif connection.unwritten:
            self._write(reason, sample="", count=connection.unwritten, connection=connection, peer=connection.peer)
        if connection.hello is None:
            return
        self.store_block(connection)
        self._remembered -= connection.leaves_nothing
        record = DetachRecord(
            connection=connection.number,
            peer=connection.peer,
            rank=connection.rank,
            clean=connection.clean,
            frames=connection.frames,
            lost=connection.lost,
            last_step=connection.last_step,
            **self._scribe.stamp(),
        )
        self._scribe.write(record)


def _files() -> int:
    """The first number of an open file that is kept for the log: the kernel gives the lowest that is free.

    Of the whole process, since one agent serves many attempts.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft - min(RESERVED_FILES, soft // 4)
