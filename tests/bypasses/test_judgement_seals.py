"""Evasions by a seal that is missing, doubled, or of another attempt. Found in review, finding D15."""

from __future__ import annotations

import pytest

from judgement.test_verify import judged
from simulated_run import INSTALLATION, SimulatedRun, attempt_signer, honest_run, train


def second_attempt(**options) -> SimulatedRun:
    simulated = honest_run()
    simulated.resume(**options)
    return simulated


def ended(simulated: SimulatedRun) -> SimulatedRun:
    train(simulated)
    simulated.exit()
    return simulated


def test_a_later_attempt_without_a_seal_is_refused():
    found = judged(ended(second_attempt(seal=False)))
    assert found.exit_code == 1
    assert "attempt 1 is not sealed" in found.reasons[0].text


def test_a_later_attempt_without_a_seal_is_refused_though_nothing_follows_its_key():
    assert judged(second_attempt(seal=False)).exit_code == 1


def test_a_seal_that_comes_later_than_right_behind_the_key_is_refused():
    simulated = second_attempt(seal=False)
    simulated.process(attached=True)
    simulated.seal()
    assert judged(ended(simulated)).exit_code == 1


def test_two_seals_in_one_attempt_are_refused():
    simulated = second_attempt()
    simulated.seal()
    assert judged(ended(simulated)).exit_code == 1


def test_a_second_seal_behind_a_second_key_of_the_same_attempt_is_refused():
    simulated = second_attempt()
    train(simulated)
    simulated.signer = attempt_signer(simulated.run, 1, key=1)
    simulated.admit()
    simulated.seal()
    simulated.exit()
    assert judged(simulated).exit_code == 1


def test_a_second_seal_in_the_first_attempt_is_refused():
    simulated = SimulatedRun()
    simulated.seal()
    assert judged(ended(simulated)).exit_code == 1
    taken_over = SimulatedRun()
    taken_over.signer = attempt_signer(taken_over.run, 0, key=1)
    taken_over.admit()
    taken_over.seal()
    assert judged(ended(taken_over)).exit_code == 1


@pytest.mark.parametrize("of_attempt", [0, 2])
def test_the_seal_of_another_attempt_is_refused(of_attempt):
    simulated = second_attempt(seal=False)
    simulated.attempt = of_attempt
    envelope = simulated.seal_envelope()
    simulated.attempt = 1
    simulated.seal(envelope)
    found = judged(ended(simulated))
    assert found.exit_code == 1
    assert f"is of attempt {of_attempt}, not of attempt 1" in found.reasons[0].text


def test_the_seal_of_a_later_attempt_is_refused_as_entry_0():
    template = SimulatedRun()
    template.attempt = 1
    simulated = SimulatedRun(seal=False)
    simulated.seal(template.seal_envelope(signer=INSTALLATION))
    simulated.admit(previous_size=None, previous_root=None)
    assert judged(ended(simulated)).exit_code == 1
