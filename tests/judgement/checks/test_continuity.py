"""Continuity judged from records alone: the end of an update and the start of the next."""

from __future__ import annotations

import base64
import struct

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


def test_counters_are_told_as_a_part_of_what_else_the_optimizer_keeps():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for start, end in ("ab", "bc", "bd", "de"):
        connection.update(fingerprints=[prints(start, end, over="counters") | {"name": "sha256-128"}])
    connection.goodbye()
    simulated.exit()
    (found,) = judged(simulated)[0]
    assert (found.severity, found.subject, found.first_step, found.last_step) == (
        "warning", "moments of optimizer 0", 2, 2,
    )  # fmt: skip


LAYOUT = "ab" * 16
TENSORS = [[0, 0, "a.weight", 900, 9], [0, 1, "a.bias", 3, 3]]
ADAM = "torch.optim.adam.Adam"


def packed(numbers, form="f"):
    return base64.b64encode(struct.pack(f"<{len(numbers)}{form}", *numbers)).decode()


def sampled_run(updates, *, loads=(), layouts=(LAYOUT,), skips=()):
    """Of each update what its state was as it began, what as it ended at the next one's places, and both counters.

    Of a.weight the first four elements are read ahead, of a.bias all three.
    """
    simulated = SimulatedRun()
    connection = simulated.attach()
    for name in layouts:
        about = {"optimizer": 0, "rule": ADAM, "dtype": "torch.float32", "part": 0, "parts": 1, "left_out": {}}
        connection.send("sampled", layout=name, tensors=TENSORS, **about)
    for step, (begins, ahead, counters) in enumerate(updates):
        if step in loads:
            nothing = {"path": None, "digest": None, "size": None, "device": None, "inode": None, "mtime_ns": None}
            connection.send("ckpt", action="loaded", step=step - 1, **nothing)
        before = {"parameter": packed([0.0] * 12), "gradient": packed([0.0] * 12), "exp_avg_sq": packed(begins)}
        before["step"] = packed(counters[0], "d")
        after = {"parameter": packed([0.0] * 12), "exp_avg_sq": packed([7.0] * 12), "step": packed(counters[1], "d")}
        if step not in skips:
            connection.send(
                "sample", layout=layouts[step % len(layouts)], optimizer=0, update=step, idle=[], before=before,
                after=after, ahead={"exp_avg_sq": packed(ahead)},
            )  # fmt: skip
        connection.update(fingerprints=[prints("a", "a")])
    connection.goodbye()
    simulated.exit()
    return simulated


def honest(count):
    """Each element is counted through, so that no two are alike; positions are others at each update."""
    return [
        ([step + at / 16 for at in range(12)],
         [step + 1 + at / 16 for at in (0, 1, 2, 3, 9, 10, 11)],
         ([float(step)] * 2, [step + 1.0] * 2))
        for step in range(count)
    ]  # fmt: skip


def test_state_that_was_sampled_and_goes_on_as_it_ended_is_nothing_to_speak_of():
    assert said(sampled_run(honest(5))) == []


@pytest.mark.parametrize(
    ("places", "names"), [(range(9), "exp_avg_sq of a.weight"), (range(9, 12), "exp_avg_sq of a.bias")]
)
def test_moments_of_one_tensor_that_were_scaled_are_told_at_the_next_step_with_the_tensor_and_the_factor(places, names):
    updates = honest(5)
    for at in places:
        updates[3][0][at] *= 1.5
    ((found,), news) = judged(sampled_run(updates))
    assert (found.code, found.severity, found.alleges) == ("state.changed_between_steps", "warning", "unknown")
    assert (found.subject, found.first_step, found.last_step) == ("moments of optimizer 0", 3, 3)
    assert f"{names} (1.5 times what it was)" in found.message
    assert [each.code for each in news] == [found.code]


def test_a_step_counter_that_was_set_back_is_told_at_the_next_step_with_both_numbers():
    updates = honest(5)
    updates[3][2][0][:] = [0.0, 0.0]
    ((found,), _) = judged(sampled_run(updates))
    assert (found.first_step, found.severity) == (3, "warning")
    assert "step of a.weight, a.bias (of a.weight from 3 to 0)" in found.message


def test_one_changed_counter_is_enough():
    updates = honest(4)
    updates[2][2][0][1] = 7.0
    assert said(sampled_run(updates)) == [("warning", "unknown", 2, 2)]


def test_elements_that_were_not_read_ahead_are_held_to_nothing():
    updates = honest(4)
    for at in range(4, 9):  # of a.weight the first four are
        updates[2][0][at] = 99.0
    assert said(sampled_run(updates)) == []


def test_sampled_state_that_changed_as_a_model_checkpoint_was_loaded_is_info():
    updates = honest(4)
    updates[2][0][:] = [0.5] * 12
    assert said(sampled_run(updates, loads=[2])) == [("info", "unknown", 2, 2)]


def test_state_that_a_program_changes_from_the_first_update_on_is_its_own_way():
    updates = honest(4)
    for begins, _, _ in updates[1:]:
        begins[:] = [0.5] * 12
    assert said(sampled_run(updates)) == [("info", "drift", 1, 3)]


@pytest.mark.parametrize("how", [{"layouts": (LAYOUT, "cd" * 16)}, {"skips": [1]}])
def test_samples_of_other_layouts_or_of_updates_that_do_not_follow_are_not_compared(how):
    updates = honest(3)
    updates[2 if "skips" in how else 1][0][:] = [99.0] * 12
    assert said(sampled_run(updates, **how)) == []


def test_what_is_no_number_is_the_same_as_before():
    updates = honest(3)
    updates[0][1][:] = [float("nan")] * 7
    updates[1][0][:] = [float("nan")] * 12
    assert said(sampled_run(updates)) == []


@pytest.mark.parametrize("ahead", ["%%%", packed([1.0])])
def test_samples_that_do_not_fit_are_not_compared(ahead):
    simulated = SimulatedRun()
    connection = simulated.attach()
    about = {"optimizer": 0, "rule": ADAM, "dtype": "torch.float32", "part": 0, "parts": 1, "left_out": {}}
    connection.send("sampled", layout=LAYOUT, tensors=TENSORS, **about)
    for step in range(3):
        kept = {"parameter": packed([0.0] * 12), "gradient": packed([0.0] * 12), "exp_avg_sq": packed([step] * 12)}
        fields = {"layout": LAYOUT, "optimizer": 0, "update": step, "idle": [], "before": kept, "after": kept}
        connection.send("sample", **fields, ahead={"exp_avg_sq": ahead})
        connection.update(fingerprints=[prints("a", "a")])
    connection.goodbye()
    simulated.exit()
    assert said(simulated) == []


def test_samples_of_a_recorder_that_reads_nothing_ahead_are_still_compared_where_both_have_a_value():
    simulated = SimulatedRun()
    connection = simulated.attach()
    about = {"optimizer": 0, "rule": ADAM, "dtype": "torch.float32", "part": 0, "parts": 1, "left_out": {}}
    connection.send("sampled", layout=LAYOUT, tensors=TENSORS, **about)
    for step, counter in enumerate([0.0, 1.0, 0.0]):
        kept = {"parameter": packed([0.0] * 12), "gradient": packed([0.0] * 12)}
        fields = {"layout": LAYOUT, "optimizer": 0, "update": step, "idle": []}
        before, after = kept | {"step": packed([counter] * 2, "d")}, kept | {"step": packed([step + 1.0] * 2, "d")}
        connection.send("sample", **fields, before=before, after=after)
        connection.update(fingerprints=[prints("a", "a")])
    connection.goodbye()
    simulated.exit()
    assert said(simulated) == [("warning", "unknown", 2, 2)]
