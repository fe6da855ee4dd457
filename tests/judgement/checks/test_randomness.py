"""Randomness judged from records alone."""

from __future__ import annotations

from saksi.judgement.checks import randomness
from saksi.judgement.checks.judging import Judging
from saksi.judgement.checks.randomness import RANDOMNESS
from saksi.judgement.items import item_of
from saksi.words.codec import decode_record
from simulated_run import SimulatedRun, hex64


def run_of(states, *, loads=(), optimizers=None):
    """A run whose torch generator was in these states, a letter each."""
    simulated = SimulatedRun()
    connection = simulated.attach()
    for step, letter in enumerate(states):
        if step in loads:
            nothing = {"path": None, "digest": None, "size": None, "device": None, "inode": None, "mtime_ns": None}
            connection.send("ckpt", action="loaded", step=step - 1, **nothing)
        optimizer = 0 if optimizers is None else optimizers[step]
        connection.update(rng={"torch": hex64(letter), "python": hex64("still")}, optimizer=optimizer)
    connection.goodbye()
    simulated.exit()
    return simulated


def judged(simulated):
    judging, news = Judging([RANDOMNESS]), []
    for index, entry in enumerate(simulated.entries):
        news += judging.take(item_of(index, decode_record(entry), simulated.blob))
    return judging.findings(ended=True), news


def said(simulated):
    return [(each.severity, each.subject, each.first_step, each.last_step) for each in judged(simulated)[0]]


def test_a_generator_that_moves_on_and_one_that_never_moves_are_nothing_to_speak_of():
    assert judged(run_of("abcdefgh")) == ((), [])
    assert judged(run_of("aaaaabbb")) == ((), [])


def test_a_generator_that_is_back_where_it_was_is_told_as_it_is():
    (found,), news = judged(run_of("abcdbcde"))
    assert (found.code, found.severity, found.subject) == ("randomness.state_repeated", "warning", "torch")
    assert (found.first_step, found.last_step, found.alleges) == (4, 6, "unknown")
    assert len(found.evidence) == 1  # all of this run's updates are in one block
    assert len(news) == 1


def test_a_model_checkpoint_that_was_loaded_explains_it():
    assert said(run_of("abcbd", loads=[3])) == [("info", "torch", 3, 3)]


def test_updates_of_another_optimizer_have_no_step():
    assert said(run_of("abcb", optimizers=[0, 1, 0, 1])) == [("warning", "torch", None, None)]


def test_states_that_are_far_back_are_forgotten(monkeypatch):
    monkeypatch.setattr(randomness, "MAX_STATES", 3)
    assert said(run_of("abcdea")) == []
    assert said(run_of("abcded")) == [("warning", "torch", 5, 5)]


def test_another_process_has_generators_of_its_own():
    simulated = SimulatedRun()
    for pid in (4000, 4001):
        connection = simulated.attach(pid=pid)
        for letter in "abc":
            connection.update(rng={"torch": hex64(letter)})
        connection.goodbye()
    simulated.exit()
    assert said(simulated) == []
