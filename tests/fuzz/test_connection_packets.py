"""Every state of a connection under packets of a hostile peer, fed in directly, 10,000 for each state."""

from __future__ import annotations

import os
import socket
import sys
from random import Random

import msgspec
import pytest

from fuzz.hostile_packets import HOSTILITIES, KINDS, Speaker
from fuzz.seeded import INPUTS, SEED, mutated
from saksi.judgement.items import item_of
from saksi.judgement.log_materials import LogMaterials
from saksi.judgement.verify import Trust, VerificationPolicy, verify
from saksi.processes.agent.connection import BLOCK_BYTES, KNOCK, MAX_HELLO, Connection, Refusal
from saksi.processes.agent.observations import block_record
from saksi.processes.agent.pending import pending
from saksi.words.codec import decode_frame
from saksi.words.frames import MAX_FRAME_BYTES, Frame, HelloFrame
from saksi.words.records import AttachRecord, RefusedRecord
from simulated_run import INSTALLATION, SimulatedRun

TOKEN = "5f" * 32
MAX_REASON = 1_024
MAX_SAMPLE = 512
DEEPER = 400
"""Calls that a reader's caller may stand deeper than the agent does."""


@pytest.fixture
def ends():
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield pair
    for each in pair:
        each.close()


def connected(ends, *, knocked=True):
    connection = Connection(0, ends[0], token=TOKEN, account=os.getuid(), now_ns=0)
    if knocked:
        assert connection.accept(KNOCK + TOKEN.encode(), 0) is None
    return connection


def deeper(call, depth=DEEPER):
    """What `call` returns when its caller stands deep in the stack."""
    return call() if depth == 0 else deeper(call, depth - 1)


def assert_readable(frame, packet):
    assert isinstance(frame, Frame)
    assert len(packet) <= MAX_FRAME_BYTES
    assert deeper(lambda: decode_frame(packet)) == frame
    assert decode_frame(msgspec.json.encode(frame)) == frame


def assert_refusal_is_writable(simulated, refusal):
    assert isinstance(refusal, Refusal)
    assert len(refusal.reason) <= MAX_REASON
    assert len(refusal.sample) <= MAX_SAMPLE
    said = {"reason": refusal.reason, "sample": refusal.sample}
    pending(RefusedRecord(**simulated.stamp(), connection=0, peer=None, rank=None, count=1, **said))


class Log:
    """The log of one connection, as the agent would write it, judged at the end as the auditor does."""

    def __init__(self, connection):
        self.connection = connection
        self.simulated = SimulatedRun()
        self.heard = []
        self.held = set(vars(connection))
        self.attached = False

    def take(self, frame, packet):
        assert_readable(frame, packet)
        if not self.attached:
            self.attached = True
            self.simulated.add(attach_record(self.simulated, self.connection))
        self.heard.append((packet, frame))
        if self.connection.block_is_due(0, age_ns=1):
            self.store()

    def store(self):
        block = self.connection.take_block()
        if block is None:
            return
        assert len(block.content) < 2 * BLOCK_BYTES + 4_096
        assert set(vars(self.connection)) == self.held
        record = pending(block_record(self.connection, block, self.simulated.stamp()), block.content).record
        item = deeper(lambda: item_of(0, record, lambda _: block.content))
        assert item.unread is None, item.reason
        assert [(line.raw, line.frame) for line in item.lines] == self.heard
        self.heard.clear()
        self.simulated.keep(block.content)
        self.simulated.add(record)

    def judged(self):
        self.store()
        simulated = self.simulated
        simulated.exit()
        materials = LogMaterials(
            run=simulated.run, entries=simulated.entries, head=simulated.head(), blob=simulated.blob
        )
        return verify(trust=Trust((INSTALLATION.key,)), materials=materials, policy=VerificationPolicy())


def attach_record(simulated, connection):
    claimed = msgspec.Raw(connection.hello_bytes)
    record = AttachRecord(
        **simulated.stamp(), connection=0, peer=connection.peer, rank=connection.rank, claimed=claimed
    )
    return pending(record).record


def test_only_the_knock_opens_the_door(ends):
    random, simulated = Random(SEED), SimulatedRun()
    good, speaker = KNOCK + TOKEN.encode(), Speaker(random)
    speaker.said.append(good)
    hostilities = list(HOSTILITIES.values())
    for _ in range(INPUTS):
        connection = connected(ends, knocked=False)
        packet = mutated(random, good) if random.random() < 0.5 else random.choice(hostilities)(speaker, "hello")
        answer = connection.accept(packet, 0)
        if packet == good:
            assert (answer, connection.phase) == (None, "hello")
            continue
        assert_refusal_is_writable(simulated, answer)
        assert answer.closes
        assert TOKEN not in answer.sample
        assert (connection.phase, connection.hello, connection.frames) == ("knock", None, 0)


def test_only_a_hello_attaches(ends):
    random, simulated = Random(SEED), SimulatedRun()
    hostilities, kinds = list(HOSTILITIES.values()), list(KINDS)
    attached = 0
    for _ in range(INPUTS):
        connection, speaker = connected(ends), Speaker(random)
        kind = "hello" if random.random() < 0.8 else random.choice(kinds)
        packet = random.choice(hostilities)(speaker, kind)
        answer = connection.accept(packet, 0)
        if isinstance(answer, Refusal):
            assert answer.closes
            assert_refusal_is_writable(simulated, answer)
            assert (connection.phase, connection.hello, connection.frames) == ("hello", None, 0)
        else:
            attached += 1
            assert isinstance(answer, HelloFrame)
            assert (answer.version, connection.phase) == (1, "open")
            assert len(packet) <= MAX_HELLO
            assert_readable(answer, packet)
            attach_record(simulated, connection)
            assert connection.accept(packet, 0).reason == "a second hello"
    assert 100 < attached < INPUTS - 100


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_whatever_comes_after_the_hello_leaves_a_log_that_can_be_read(ends, kind):
    """After a valid frame of `kind`: in the middle of its parts, where it has any; after the goodbye too."""
    random = Random(f"{SEED} {kind}")
    connection, speaker = connected(ends), Speaker(random)
    log = Log(connection)
    refused = accepted = 0
    for packet in (speaker.packet("hello"), speaker.packet(kind, **parts_of(kind))):
        answer = connection.accept(speaker.say(packet), 0)
        if not isinstance(answer, Refusal):  # a second hello is refused
            log.take(answer, packet)
    hostilities, kinds = list(HOSTILITIES.values()), list(KINDS)
    before = connection.refused
    for _ in range(INPUTS):
        said = kind if random.random() < 0.8 else random.choice(kinds)
        packet = random.choice(hostilities)(speaker, said)
        answer = connection.accept(packet, 0)
        if isinstance(answer, Refusal):
            refused += 1
            assert not answer.closes
            assert_refusal_is_writable(log.simulated, answer)
        else:
            accepted += 1
            speaker.say(packet)
            log.take(answer, packet)
    assert connection.refused - before == refused
    assert refused > 100
    assert accepted > 100
    verification = log.judged()
    assert verification.root is not None
    told = {each.text for each in verification.reasons if each.outcome == "refused"}
    assert all("frames of a connection do not follow" in each for each in told), told
    assert sys.getsizeof(connection.hello_bytes) < 2 * MAX_HELLO


def parts_of(kind):
    return {"part": 1, "parts": 3} if kind in {"layout", "environment"} else {}
