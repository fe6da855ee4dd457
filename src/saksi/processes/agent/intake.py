"""The agent's socket: accepts recorders, reads their packets, turns them into blocks and records.

Never blocks and never answers. A peer that floods, lies or vanishes costs bounded memory and one record.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from saksi.edges.clock import Clock
from saksi.processes.agent.connection import Connection, Refusal
from saksi.processes.agent.scribe import Scribe
from saksi.words.frames import AnyFrame
from saksi.words.records import AttachRecord, DetachRecord, RefusedRecord

__all__ = ["Intake"]

MAX_CONNECTIONS: Final = 4_096
MAX_REFUSALS: Final = 64
"""Refusals written down one by one; those after them are counted and written at the end."""
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
        self._written = 0
        self._unwritten = 0
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, self.accept)

    @property
    def open_connections(self) -> int:
        """How many peers are connected."""
        return len(self._connections)

    def accept(self) -> None:
        """Take every peer that waits at the door."""
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            if len(self._connections) >= MAX_CONNECTIONS:
                connected.close()
                self._unwritten += 1
                continue
            connected.setblocking(False)
            number = self._accepted
            self._accepted += 1
            connection = Connection(
                number, connected, token=self._token, account=self._account, now_ns=self._clock.mono_ns()
            )
            self._connections[number] = connection
            self._selector.register(connected, selectors.EVENT_READ, partial(self.read, connection))

    def read(self, connection: Connection) -> None:
        """Take what `connection` has sent, some packets at a time."""
        for packet in connection.packets():
            if packet is None:
                self._close(connection)
                return
            taken = connection.accept(packet, self._clock.mono_ns())
            if isinstance(taken, Refusal):
                self._write_refusal(connection, taken)
                if taken.closes:
                    self._close(connection)
                    return
            elif taken is not None:
                if connection.frames == 1:
                    self._write_attach(connection)
                self._heard(connection, taken)
        now = self._clock.mono_ns()
        if connection.block_is_due(now, age_ns=OLDEST_BLOCK_NS):
            self.store_block(connection)

    def flush(self) -> None:
        """Store the blocks that are old enough: a second at first, so that a young run can be followed, ten later."""
        now = self._clock.mono_ns()
        age = min(OLDEST_BLOCK_NS, max(YOUNGEST_BLOCK_NS, (now - self._started_ns) // 10))
        for connection in self._connections.values():
            if connection.block_is_due(now, age_ns=age):
                self.store_block(connection)

    def close(self) -> None:
        """No more peers: what the connected ones have sent is taken, then all are closed."""
        self._selector.unregister(self._listener)
        self._listener.close()
        for connection in list(self._connections.values()):
            self.read(connection)
        for connection in list(self._connections.values()):
            self._close(connection)
        if self._unwritten:
            reason = "more refusals than are written down one by one"
            self._write(reason, sample="", count=self._unwritten, connection=None)

    def _write_attach(self, connection: Connection) -> None:
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
        if self._written >= MAX_REFUSALS:
            self._unwritten += 1
            return
        self._written += 1
        self._write(refusal.reason, sample=refusal.sample, count=1, connection=connection)

    def _write(self, reason: str, *, sample: str, count: int, connection: Connection | None) -> None:
        record = RefusedRecord(
            connection=None if connection is None else connection.number,
            peer=None if connection is None else connection.peer,
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
        if connection.hello is None:
            return
        self.store_block(connection)
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
