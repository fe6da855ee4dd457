"""Crash the writer at every store call, every way a call can fail, and re-verify the log from its bytes.

Three things must hold whatever happens: no acknowledged entry is lost or moved; for each size there is at most one
root, and each head continues the one before; a log that was written by us can always be opened again.
"""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from log_soundness import assert_log_sound
from saksi.edges.store.memory import Call, Fate, MemoryDisk, MemoryStore, Outcome
from saksi.processes.agent.sequencer import Sequencer, SequencerStopped
from saksi.proofs.journal import parse_journal
from saksi.proofs.tlog.log_checkpoint import open_log_checkpoint
from saksi.proofs.tlog.merkle import leaf_hashes, root_of
from saksi.proofs.tlog.note import NoteSigner
from saksi.proofs.tlog.tiles import TILE_WIDTH, bundles_for, tile_path, tiles_for
from saksi.words.errors import StoreError

ORIGIN = "saksi/run/0011223344556677"
KEYS_OF_ATTEMPTS = [NoteSigner(ORIGIN, bytes([n]) * 32) for n in range(4)]
KEYS = [signer.key for signer in KEYS_OF_ATTEMPTS]


def assert_one_history(disk, keys=KEYS):
    """Every head that was ever on the disk is a head of the journal there is now, and they only grew."""
    heads = [open_log_checkpoint(note, keys) for note in disk.heads]
    leaves = leaf_hashes(parse_journal(bytes(disk.journal)).entries)
    assert [h.size for h in heads] == sorted(h.size for h in heads)
    for head in heads:
        assert head.root == root_of(leaves[: head.size]), f"the head of {head.size} entries is not of this journal"


def partial_tiles(disk):
    return {name for name in MemoryStore(disk).names("log/tile/") if ".p/" in name}


def expected_partial_tiles(size):
    """No more than those of the published size: superseded ones go, also those of a publication that failed."""
    return {"log/" + tile_path(tile) for tile in (*tiles_for(size), *bundles_for(size)) if tile.width < TILE_WIDTH}


class Writer:
    """A writer that is opened, fails, is opened again; and what it was told is durable."""

    def __init__(self, disk=None):
        self.disk = disk or MemoryDisk()
        self.acknowledged = []  # what the log holds for certain, by index
        self.log = None
        self.attempt = 0
        self.fault = None  # (calls from now, outcome)

    def faults(self, _call: Call):
        if self.fault is None:
            return None
        left, outcome = self.fault
        self.fault = (left - 1, outcome) if left else None
        return None if left else outcome

    def open(self):
        store = MemoryStore(self.disk, faults=self.faults)
        self.disk.holder = None  # the process before is dead
        signer = KEYS_OF_ATTEMPTS[self.attempt]
        try:
            self.log = Sequencer.open(store, ORIGIN, signer, [k for k in KEYS if k != signer.key])
        except StoreError:
            self.log = None
            return
        # Entries whose append failed may be in the log all the same: recovery is where the writer learns of it.
        held = parse_journal(bytes(self.disk.journal)).entries
        assert len(held) == self.log.head.size
        assert held[: len(self.acknowledged)] == self.acknowledged
        self.acknowledged = held

    def append(self, entries):
        try:
            indices = self.log.append(entries)
        except SequencerStopped:
            self.log = None
        else:
            assert indices == range(len(self.acknowledged), len(self.acknowledged) + len(entries))
            self.acknowledged = [*self.acknowledged, *entries]

    def publish(self):
        with contextlib.suppress(StoreError):  # a projection: the writer goes on
            self.log.publish()

    def verify(self):
        assert_one_history(self.disk)
        return assert_log_sound(MemoryStore(self.disk), KEYS, self.acknowledged)


class CrashingWriter(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.writer, self.made = Writer(), 0
        self.writer.open()

    @rule(
        calls=st.integers(0, 12),
        outcome=st.sampled_from(list(Outcome)),
    )
    def let_a_call_fail(self, calls, outcome):
        self.writer.fault = (calls, outcome)

    @precondition(lambda self: self.writer.log is not None)
    @rule(count=st.sampled_from([1, 2, 7, 100, 255, 256, 257, 600]))
    def append(self, count):
        self.writer.append([b"%d" % (self.made + i) for i in range(count)])
        self.made += count

    @precondition(lambda self: self.writer.log is not None)
    @rule()
    def publish(self):
        self.writer.publish()

    @rule(another_attempt=st.booleans())
    def reopen(self, another_attempt):
        if another_attempt:
            self.writer.attempt = (self.writer.attempt + 1) % len(KEYS)
        self.writer.open()

    @rule(fates=st.lists(st.sampled_from(list(Fate)), min_size=1, max_size=8))
    def lose_power(self, fates):
        cycle = itertools.cycle(fates)
        self.writer.disk.crash(lambda _name: next(cycle))
        self.writer.log = None

    @invariant()
    def what_is_acknowledged_is_there(self):
        if hasattr(self, "writer"):
            disk = self.writer.disk
            assert parse_journal(bytes(disk.journal)).entries[: len(self.writer.acknowledged)] == (
                self.writer.acknowledged
            )
            assert_one_history(disk)

    def teardown(self):
        if not hasattr(self, "writer"):
            return
        self.writer.fault = None
        self.writer.open()
        self.writer.verify()
        self.writer.append([b"one more"])
        self.writer.publish()
        size = self.writer.verify().size
        assert size == len(self.writer.acknowledged)
        assert partial_tiles(self.writer.disk) == expected_partial_tiles(size)


TestCrashingWriter = CrashingWriter.TestCase
TestCrashingWriter.settings = settings(max_examples=40, stateful_step_count=25)


def scenario(writer, fault):
    """Open, append, publish over a tile's edge, reopen with the next key; the call `fault` counts to fails."""
    writer.fault = fault
    for attempt, sizes in enumerate([(3, 254), (1, 300)]):
        writer.attempt = attempt
        writer.open()
        for number, size in enumerate(sizes):
            if writer.log is None:
                writer.open()  # one fault only: this time it works
            writer.append([b"%d/%d/%d" % (attempt, number, i) for i in range(size)])
            if writer.log is None:
                writer.open()
            writer.publish()
        writer.log.close()


def calls_of_scenario():
    counted = Writer()
    scenario(counted, (10**6, Outcome.LOST))
    return 10**6 - counted.fault[0]


@pytest.mark.parametrize("outcome", list(Outcome), ids=lambda outcome: outcome.name.lower())
@pytest.mark.parametrize("power", [Fate.LOST, Fate.TORN], ids=lambda fate: f"then-power-{fate.name.lower()}")
def test_one_failed_call_anywhere_loses_nothing(outcome, power):
    calls = calls_of_scenario()
    assert calls > 50
    for number in range(calls):
        writer = Writer()
        scenario(writer, (number, outcome))
        assert writer.fault is None, f"call {number} was never made"
        writer.disk.crash(lambda _name: power)
        writer.open()
        assert partial_tiles(writer.disk) == expected_partial_tiles(writer.log.published_size)
        assert writer.verify().size >= 3 + 254 + 1  # the last and largest batch may be lost, and its writer was told so


@pytest.mark.parametrize("outcome", list(Outcome), ids=lambda outcome: outcome.name.lower())
def test_a_writer_that_dies_at_any_call_leaves_a_log_that_opens(outcome):
    """As above, but nobody goes on after the fault: the next attempt finds what is there."""
    for number in range(calls_of_scenario()):
        writer = Writer()
        dying = [False]

        def faults(call, number=number, dying=dying):
            dying[0] = dying[0] or call.number >= number  # dead from here on: no call gets through
            if not dying[0]:
                return None
            return outcome if call.number == number else Outcome.LOST

        store = MemoryStore(writer.disk, faults=faults)
        acknowledged = []
        try:
            log = Sequencer.open(store, ORIGIN, KEYS_OF_ATTEMPTS[0])
            for size in (3, 254, 300):
                entries = [b"%d/%d" % (size, i) for i in range(size)]
                log.append(entries)
                acknowledged += entries
                log.publish()
        except (StoreError, SequencerStopped):
            pass
        writer.disk.crash()
        writer.attempt = 1
        writer.open()
        writer.verify()
        assert writer.acknowledged[: len(acknowledged)] == acknowledged
