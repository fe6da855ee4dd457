"""Continuity judged from records alone: the end of an update and the start of the next."""

from __future__ import annotations

import pytest

from saksi.judgement.checks.continuity import CONTINUITY
from saksi.judgement.checks.judging import Judging
from saksi.judgement.items import item_of
from saksi.words.codec import decode_record
from simulated_run import SimulatedRun


def prints(start, end, *, over="parameters", share=0, of=1):
    return {"name": "sum64-4096", "over": over, "share": share, "of": of, "start": start * 32, "end": end * 32}


def run_of(pairs, *, over="parameters", loads=(), reconnects=()):
    """A run whose updates began and ended with these fingerprints, a letter each."""
    simulated = SimulatedRun()
    connection = simulated.attach()
    for step, (start, end) in enumerate(pairs):
        if step in reconnects:
            connection.flush()
            connection = simulated.reattach(connection)
        if step in loads:
            nothing = {"path": None, "digest": None, "size": None, "device": None, "inode": None, "mtime_ns": None}
            connection.send("ckpt", action="loaded", step=step - 1, **nothing)
        connection.update(fingerprints=[prints(start, end, over=over)])
    connection.goodbye()
    simulated.exit()
    return simulated


def judged(simulated):
    judging, news = Judging([CONTINUITY]), []
    for index, entry in enumerate(simulated.entries):
        news += judging.take(item_of(index, decode_record(entry), simulated.blob))
    return judging.findings(ended=True), news


def said(simulated):
    return [(each.severity, each.alleges, each.first_step, each.last_step) for each in judged(simulated)[0]]


def test_what_goes_on_as_it_ended_is_nothing_to_speak_of():
    assert judged(run_of(["ab", "bc", "cd", "de"])) == ((), [])


@pytest.mark.parametrize("over", ["parameters", "moments"])
def test_a_change_between_two_steps_is_told_at_the_step_that_begins_with_it(over):
    (found,), news = judged(run_of(["ab", "bc", "ed", "de"], over=over))
    assert (found.code, found.severity, found.first_step, found.last_step) == (
        "state.changed_between_steps", "warning", 2, 2,
    )  # fmt: skip
    assert found.subject == f"{over} of optimizer 0"
    assert [each.code for each in news] == [found.code]


def test_a_program_that_changes_them_at_every_step_from_the_first_on_does_so_for_a_purpose():
    simulated = run_of(["ab", "cd", "ef"])
    assert said(simulated) == [("info", "drift", 1, 2)]
    assert judged(simulated)[1] == []


def test_a_habit_that_is_given_up_was_none_and_is_told_as_soon_as_that_is_known():
    simulated = run_of(["ab", "cd", "de", "ef"])
    assert said(simulated) == [("warning", "unknown", 1, 1)]
    assert len(judged(simulated)[1]) == 1


def test_a_model_checkpoint_that_was_loaded_explains_it():
    simulated = run_of(["ab", "bc", "ed", "de"], loads=[2])
    assert said(simulated) == [("info", "unknown", 2, 2)]
    assert "checkpoint was loaded" in judged(simulated)[0][0].message


def test_updates_that_do_not_follow_each_other_are_not_compared():
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.update(fingerprints=[prints("a", "b")])
    connection.drop_update()
    connection.update(fingerprints=[prints("c", "d")])
    connection.goodbye()
    simulated.exit()
    assert said(simulated) == []


def test_updates_between_which_a_group_was_added_are_not_compared():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for groups, (start, end) in ((1, "ab"), (1, "bc"), (2, "de"), (2, "ef")):
        connection.update(groups=[{"lr": 0.1}] * groups, fingerprints=[prints(start, end)])
    connection.goodbye()
    simulated.exit()
    assert said(simulated) == []


def test_a_tensor_that_left_its_group_is_no_change_of_the_others():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for tensors, (start, end) in (([8, 2], "ab"), ([8, 2], "bc"), ([7, 2], "de"), ([7, 3], "fa"), ([7, 3], "ab")):
        connection.update(tensors=tensors, fingerprints=[prints(start, end)])
    connection.update(tensors=[7, 3], fingerprints=[prints("c", "d")])
    connection.goodbye()
    simulated.exit()
    assert said(simulated) == [("warning", "unknown", 5, 5)]


def test_shares_of_other_tensors_are_not_compared():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for share in range(3):
        connection.update(fingerprints=[prints("a", "b", share=share, of=8)])
    connection.goodbye()
    simulated.exit()
    assert said(simulated) == []


def test_a_process_that_connects_anew_goes_on_as_it_was():
    assert said(run_of(["ab", "bc", "cd"], reconnects=[1])) == []
    assert said(run_of(["ab", "bc", "dd", "de"], reconnects=[2])) == [("warning", "unknown", 2, 2)]


def test_each_optimizer_has_its_own_updates():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for pairs in ("ab", "de"), ("bc", "ef"), ("cd", "af"), ("de", "fa"):
        for optimizer, (start, end) in enumerate(pairs):
            connection.update(optimizer=optimizer, fingerprints=[prints(start, end)])
    connection.goodbye()
    simulated.exit()
    (found,) = judged(simulated)[0]
    assert (found.subject, found.first_step) == ("parameters of optimizer 1", None)


def test_state_that_is_gone_as_the_next_update_begins_has_changed():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for start, end in ("ab", "bc", (None, "d"), "de"):
        fingerprint = prints(start or "a", end, over="moments") | ({"start": None} if start is None else {})
        connection.update(fingerprints=[fingerprint])
    connection.goodbye()
    simulated.exit()
    (found,) = judged(simulated)[0]
    assert (found.severity, found.subject, found.first_step) == ("warning", "moments of optimizer 0", 2)


def test_a_goodbye_in_the_middle_of_a_connection_changes_nothing():
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.update(fingerprints=[prints("a", "b")])
    connection.update(fingerprints=[prints("b", "c")])
    connection.send("detach", updates=[2], frames=3, self_ns=1, exception=None)
    connection.update(fingerprints=[prints("d", "e")])
    connection.flush()
    simulated.exit()
    assert said(simulated) == [("warning", "unknown", 2, 2)]


def test_each_optimizer_is_excused_by_a_model_checkpoint_that_was_loaded():
    simulated = SimulatedRun()
    connection = simulated.attach()
    nothing = {"path": None, "digest": None, "size": None, "device": None, "inode": None, "mtime_ns": None}
    for step, (start, end) in enumerate(("ab", "bc", "de", "ef")):
        if step == 2:
            connection.send("ckpt", action="loaded", step=1, **nothing)
        for optimizer in range(2):
            connection.update(optimizer=optimizer, fingerprints=[prints(start, end)])
    connection.goodbye()
    simulated.exit()
    assert [each.severity for each in judged(simulated)[0]] == ["info", "info"]
