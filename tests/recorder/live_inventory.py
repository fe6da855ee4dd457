"""A listener that asks for an inventory after every Update, and the findings that the check makes of what it hears."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass

from recorder.listener import Listener, kinds
from saksi.edges.environment.source_places import OwnCode
from saksi.judgement.checks.live_code import LiveCodeCheck
from saksi.judgement.items import Item, Line
from saksi.processes.agent.observations import source_records
from saksi.processes.agent.sources import LiveSources
from saksi.words.records import BlockRecord

NONCE = "%032x"
STAMP = {"run": "0" * 16, "attempt": 0, "wall_ns": 1, "mono_ns": 1, "boot": "b"}


def received(connection) -> bytes:
    while True:
        try:
            return connection.recv(1 << 17)
        except ConnectionResetError:  # it closed before it read the last question; the kernel says so once
            continue


class Asking(Listener):
    """Answers each Update with the next question."""

    asked = 0

    def _read(self, connection, packets) -> None:
        with contextlib.suppress(BrokenPipeError):
            while packet := received(connection):
                packets.append(packet)
                if packet.startswith(b'{"kind":"update"'):
                    type(self).asked += 1
                    connection.send(b"saksi-challenge/v1 " + (NONCE % self.asked).encode())
        connection.close()


@dataclass(frozen=True)
class Process:
    pid: int


@dataclass(eq=False)
class Spoken:
    """A connection of a process that runs the same Python as the test."""

    hello: object
    peer: Process = Process(os.getpid())


def sources_of(frames, *, script=None, folders=(), began_ns=None):
    """The source records that an agent makes of the inventories among `frames`."""
    own = OwnCode(script=None if script is None else str(script), folders=tuple(map(str, folders)))
    watch = LiveSources(lambda: None, own=own, began_wall_ns=time.time_ns() if began_ns is None else began_ns)
    connection = Spoken(frames[0])
    for frame in kinds(frames, "Live"):
        watch.heard(connection, frame)
    records = []
    end = time.monotonic() + 60
    while watch.pending and time.monotonic() < end:
        records += [record for each in watch.collect() for record in source_records(each, STAMP)]
        time.sleep(0.01)
    watch.close()
    assert not watch.pending
    return records


def judged(frames, **where):
    """Every finding of the live code check over the frames of one process, as an agent would have written them."""
    sources = sources_of(frames, **where)
    check = LiveCodeCheck()
    state = check.start()
    lines = tuple(Line(received_ns=frame.mono_ns, raw=b"", frame=frame) for frame in frames)
    block = BlockRecord(
        connection=0, rank=0, blob="sha256:" + "0" * 64, size=1, frames=len(lines), first_seq=0,
        last_seq=frames[-1].seq, updates=0, first_step=None, last_step=None, **STAMP,
    )  # fmt: skip
    state, _ = check.step(state, Item(index=2, record=block, lines=lines))
    for index, record in enumerate(sources, start=3):
        state, _ = check.step(state, Item(index=index, record=record))
    return check.finish(state, ended=True)
