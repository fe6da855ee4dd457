"""Evasions by keys that bind less than the whole log before them. Found in review, finding D16."""

from __future__ import annotations

import hashlib

import pytest

from judgement.test_verify import judged
from saksi.proofs.tlog.merkle import leaf_hashes, root_of
from saksi.proofs.tlog.note_key import NoteSigner
from simulated_run import INSTALLATION, RUN, STRANGER, SimulatedRun, attempt_signer, honest_run, train

EMPTY = hashlib.sha256(b"").hexdigest()


def continued(simulated: SimulatedRun, *, attempt: int = 1, **predicate) -> SimulatedRun:
    """Another attempt, admitted by a key with `predicate` changed."""
    simulated.attempt = attempt
    simulated._connections = 0
    simulated.signer = attempt_signer(RUN, attempt)
    simulated.admit(**predicate)
    simulated.seal()
    train(simulated)
    simulated.exit()
    return simulated


def test_a_later_key_that_names_the_empty_log_is_refused():
    assert judged(continued(honest_run(), previous_size=0, previous_root=EMPTY)).exit_code == 1


@pytest.mark.parametrize("short_of", [1, 3])
def test_a_later_key_that_names_less_than_all_before_it_is_refused(short_of):
    simulated = honest_run()
    size = len(simulated.entries) - short_of
    root = root_of(leaf_hashes(simulated.entries[:size])).hex()
    found = judged(continued(simulated, previous_size=size, previous_root=root))
    assert found.exit_code == 1
    assert f"names a head of {size} entries" in found.reasons[0].text


def test_a_log_that_begins_with_a_later_attempt_is_refused():
    simulated = SimulatedRun(seal=False)
    simulated.attempt = 1
    simulated.signer = attempt_signer(RUN, 1)
    simulated.seal()
    simulated.admit(previous_size=None, previous_root=None)
    train(simulated)
    simulated.exit()
    found = judged(simulated)
    assert found.exit_code == 1
    assert "the first is attempt 0" in found.reasons[0].text


def test_an_attempt_whose_key_nobody_here_can_judge_is_not_left_out():
    simulated = honest_run()
    simulated.installation = STRANGER
    continued(simulated)
    simulated.installation = INSTALLATION
    assert judged(continued(simulated, attempt=2)).exit_code == 3


def test_an_attempt_that_is_left_out_is_refused():
    found = judged(continued(honest_run(), attempt=2))
    assert found.exit_code == 1
    assert "after one for attempt 0" in found.reasons[0].text


@pytest.mark.parametrize("claimed", [0, 2])
def test_a_record_of_another_attempt_than_the_admitted_one_is_refused(claimed):
    simulated = honest_run()
    simulated.resume()
    simulated.attempt = claimed
    simulated.process(attached=True)
    simulated.attempt = 1
    train(simulated)
    simulated.exit()
    found = judged(simulated)
    assert found.exit_code == 1
    assert f"an entry of attempt {claimed}, where attempt 1 is in force" in found.reasons[0].text


def test_a_key_of_another_name_than_the_logs_is_refused():
    simulated = SimulatedRun(seal=False)
    simulated.signer = NoteSigner("saksi/run/ffffffffffffffff", bytes(range(32)))
    simulated.seal()
    simulated.admit(previous_size=None, previous_root=None)
    simulated.signer = attempt_signer(RUN, 0)
    train(simulated)
    simulated.exit()
    found = judged(simulated)
    assert found.exit_code == 1
    assert any("is named" in each.text for each in found.reasons)


def test_an_anchor_of_the_empty_log_is_no_anchor():
    simulated = honest_run()
    found = judged(simulated, anchors=[simulated.head(0)], anchors_required=1)
    assert (found.exit_code, found.anchors, found.longest_unanchored_ns) == (3, 0, None)
