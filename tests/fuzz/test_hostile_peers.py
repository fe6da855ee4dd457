"""A real agent between one honest recorder and processes that are hostile: the honest record stays whole."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from agent_attempt import RUN, Attempt
from fuzz import hostile_peer
from fuzz.hostile_packets import HOSTILITIES
from fuzz.seeded import SEED
from log_soundness import assert_log_sound
from saksi.edges.store.local import LocalStore
from saksi.judgement.items import read_items
from saksi.judgement.log_materials import LogMaterials
from saksi.judgement.verdict import judge
from saksi.judgement.verify import Trust, VerificationPolicy, verify
from saksi.processes.agent.intake import MAX_REFUSALS, MAX_REFUSALS_OF_ONE
from saksi.proofs.attest.envelope import parse_envelope
from saksi.proofs.attest.predicates import parse_attempt_key
from saksi.proofs.attest.statement import parse_statement
from saksi.proofs.journal import parse_journal
from saksi.proofs.tlog.note import NoteSigner
from saksi.proofs.tlog.note_key import enrol
from saksi.words.blobs import blob_name
from saksi.words.errors import NotStored
from saksi.words.records import AttachRecord, AttemptKeyRecord, DetachRecord, ExitRecord, GapRecord, RefusedRecord
from simulated_run import SimulatedRun

PACKETS = 400
UPDATES = 60
AT_ONCE = 3
"""Hostile kinds that one honest run meets: an attempt takes a second to end, whatever happens in it."""
KEY = "ab" * 32
"""By its key the honest recorder is known again in the log."""
INSTALLATION = NoteSigner("installation", b"\1" * 32)  # as in agent_attempt


def groups():
    names = sorted(HOSTILITIES)
    return [names[at : at + AT_ONCE] for at in range(0, len(names), AT_ONCE)]


@pytest.mark.slow
@pytest.mark.parametrize("hostilities", groups(), ids="-".join)
def test_the_honest_record_stays_whole_beside_hostile_peers(tmp_path, hostilities):
    attempt = Attempt(tmp_path, seal=SimulatedRun(RUN, installation=INSTALLATION).seal_envelope())
    assert attempt.installation.key == INSTALLATION.key
    attempt.start_job()
    socket_path, seed, packets = str(attempt.socket_path), str(SEED), str(PACKETS)
    peers = [
        subprocess.Popen([sys.executable, hostile_peer.__file__, socket_path, attempt.token, each, seed, packets])
        for each in hostilities
    ]
    time.sleep(0.2)  # some of them come first
    honest = attempt.recorder()
    said = [honest.hello(fingerprint_key=KEY)]
    while any(each.poll() is None for each in peers) or len(said) <= UPDATES:
        said.append(honest.update(len(said) - 1))
        time.sleep(0.01)
    updates = len(said) - 1
    said.append(honest.detach([updates]))
    honest.close()
    assert [each.wait() for each in peers] == [0] * len(peers)
    assert "witnessed" in attempt.end()
    log = Log(attempt)
    assert log.heard_of_the_honest() == said
    log.assert_refusals_are_bounded()
    log.assert_nothing_stands_against_the_honest(updates)


class Log:
    """What the agent left on the disk, read as the auditor does."""

    def __init__(self, attempt):
        self.store = LocalStore(attempt.folder)
        self.items = list(read_items(parse_journal(self.store.journal()).entries, self.blob))
        self.records = [each.record for each in self.items]
        self.connection = next(
            each.connection
            for each in self.records
            if isinstance(each, AttachRecord) and KEY.encode() in bytes(each.claimed)
        )

    def blob(self, digest):
        try:
            return self.store.read(blob_name(digest))
        except NotStored:
            return None

    def of(self, kind):
        return [each for each in self.records if isinstance(each, kind)]

    def honest_items(self):
        return [each for each in self.items if getattr(each.record, "connection", None) == self.connection]

    def heard_of_the_honest(self):
        return [line.raw for each in self.honest_items() for line in each.lines]

    def assert_refusals_are_bounded(self):
        refused = self.of(RefusedRecord)
        connections = {each.connection for each in refused if each.connection is not None}
        assert refused
        assert sum(each.count for each in refused) > 100
        # One by one up to the limit; then one for each connection that attached, and one for each reason.
        assert len(refused) <= MAX_REFUSALS + len(self.of(AttachRecord)) + 8
        for each in connections:
            assert sum(record.connection == each for record in refused) <= MAX_REFUSALS_OF_ONE + 1
        assert self.connection not in connections

    def assert_nothing_stands_against_the_honest(self, updates):
        (key,) = self.of(AttemptKeyRecord)
        admitted = parse_attempt_key(parse_statement(parse_envelope(key.envelope.encode()).payload).predicate)
        assert_log_sound(self.store, [enrol(admitted.vkey)])
        materials = LogMaterials(
            run=RUN,
            entries=parse_journal(self.store.journal()).entries,
            head=self.store.load_head(),
            blob=self.blob,
        )
        policy = VerificationPolicy()
        verification = verify(trust=Trust((INSTALLATION.key,)), materials=materials, policy=policy)
        honest = {each.index for each in self.honest_items()}
        refused = [each for each in verification.reasons if each.outcome == "refused"]
        # What a hostile peer said out of order is told of its own connection, and of no other.
        assert all("do not follow one another" in each.text and each.entry not in honest for each in refused), refused
        against = [each for each in verification.findings if each.severity != "info" and honest & set(each.evidence)]
        assert against == []
        assert verification.root is not None
        # Of the whole record the number depends on which peers, who all know the token, share the honest group.
        assert judge(self.honest_items(), run=RUN).report.coverage.steps_witnessed == updates
        (detach,) = [each for each in self.of(DetachRecord) if each.connection == self.connection]
        assert (detach.clean, detach.lost, detach.last_step) == (True, 0, updates - 1)
        assert self.of(GapRecord) == []
        assert isinstance(self.records[-1], ExitRecord)
