"""The shadow update judged from records alone: what samples must say, and what is made of those that do not."""

from __future__ import annotations

import base64
import struct

import pytest

from saksi.judgement.checks.judging import Judging
from saksi.judgement.checks.shadow_update import SHADOW_UPDATES
from saksi.judgement.items import item_of
from saksi.judgement.updates.thinning import is_left_out
from saksi.judgement.verdict import judge
from saksi.words.codec import decode_record
from simulated_run import SimulatedRun, hex64

SGD = "torch.optim.sgd.SGD"
LAYOUT = "ab" * 16
LR = 0.5
NAMES = ("a.weight", "a.bias")
COUNTS = (3, 2)


def packed(numbers):
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def layout(**changes):
    tensors = [[0, at, name, 100, count] for at, (name, count) in enumerate(zip(NAMES, COUNTS, strict=True))]
    fields = {"layout": LAYOUT, "optimizer": 0, "rule": SGD, "dtype": "torch.float32", "part": 0, "parts": 1}
    return fields | {"tensors": tensors, "left_out": {}} | changes


def sample(update, *, change=lambda at, value: value, **changes):
    """Samples of one honest step of SGD, each parameter then handed to `change` with its place."""
    before = [1.0 + at for at in range(sum(COUNTS))]
    gradient = [0.25 * (at + 1) for at in range(sum(COUNTS))]
    after = [change(at, p - LR * g) for at, (p, g) in enumerate(zip(before, gradient, strict=True))]
    fields = {"layout": LAYOUT, "optimizer": 0, "update": update, "idle": []}
    fields["before"] = {"parameter": packed(before), "gradient": packed(gradient)}
    fields["after"] = {"parameter": packed(after)}
    return fields | changes


def run_of(*samples, announced=True, rule=SGD, ranks=1, groups=None, skipped=False, **of_layout):
    simulated = SimulatedRun()
    for rank in range(ranks):
        connection = simulated.attach(rank, world_size=ranks)
        about = {"ordinal": 0, "class_name": rule, "file": None, "groups": 1, "tensors": 2, "defaults": {}}
        if announced:
            connection.send("optimizer", **about)
        connection.send("sampled", **layout(**of_layout))
        for each in samples:
            if each is not None:
                connection.send("sample", **each)
            connection.update(groups=[{"lr": LR}] if groups is None else groups, skipped=skipped)
        connection.goodbye()
    simulated.exit()
    return simulated


def found_in(simulated):
    judging = Judging([SHADOW_UPDATES])
    for index, entry in enumerate(simulated.entries):
        judging.take(item_of(index, decode_record(entry), simulated.blob))
    return judging.findings(ended=True)


def said(simulated):
    return [(each.code, each.severity, each.first_step, each.last_step) for each in found_in(simulated)]


def test_an_honest_step_is_nothing_to_speak_of():
    simulated = run_of(*(sample(step) for step in range(3)))
    assert said(simulated) == []
    assert judge(simulated.items(), run="x").report.coverage.complete


@pytest.mark.parametrize(
    ("change", "looks", "bad"),
    [
        (lambda at, value: value - 0.003 * LR * 0.25 * (at + 1), "the change is 1.003 times", "5 of 5"),
        (lambda at, value: value + 2 * LR * 0.25 * (at + 1), "they moved the other way", "5 of 5"),
        (lambda at, value: 1.0 + at, "they did not change at all", "5 of 5"),
        (lambda at, value: value + (0.01 if at == 4 else 0.0), "the change is", "1 of 2 sampled elements of a.bias."),
        (lambda at, value: value + 0.01 * (-1) ** at, "follow no simple pattern", "5 of 5"),
    ],
)
def test_a_step_that_is_another_is_told_at_its_first_step_with_what_it_looks_like(change, looks, bad):
    simulated = run_of(*(sample(step, change=change if step >= 2 else lambda _, value: value) for step in range(5)))
    (found,) = found_in(simulated)
    assert (found.code, found.severity, found.alleges) == ("optimizer.update_differs", "warning", "unknown")
    assert (found.first_step, found.last_step, found.ranks, found.subject) == (2, 4, (0,), f"{SGD}.step")
    assert looks in found.message
    assert bad in found.message


def test_a_live_view_hears_of_it_once():
    judging = Judging([SHADOW_UPDATES])
    news = []
    simulated = run_of(*(sample(step, change=lambda _, value: value + 0.1) for step in range(3)))
    for index, entry in enumerate(simulated.entries):
        news += judging.take(item_of(index, decode_record(entry), simulated.blob))
    assert [each.code for each in news] == ["optimizer.update_differs"]


def test_ranks_that_make_the_same_of_it_are_one_finding():
    (found,) = found_in(run_of(sample(0, change=lambda _, value: value + 0.1), ranks=2))
    assert found.ranks == (0, 1)


def test_a_skipped_update_must_change_nothing():
    still = sample(0, change=lambda at, value: 1.0 + at)
    assert said(run_of(still, skipped=True)) == []
    moved = sample(0, change=lambda at, value: 1.0 + at + (at == 1))
    assert said(run_of(moved, skipped=True)) == [("optimizer.update_differs", "warning", 0, 0)]


def test_tensors_without_a_gradient_must_stay_as_they_were():
    still = sample(0, change=lambda at, value: value if at < COUNTS[0] else 1.0 + at, idle=[1])
    assert said(run_of(still)) == []
    moved = sample(0, change=lambda at, value: value if at < COUNTS[0] else 77.0, idle=[1])
    (found,) = found_in(run_of(moved))
    assert (found.code, found.first_step) == ("optimizer.update_differs", 0)
    assert "a.bias" in found.message


def test_an_update_of_which_no_tensor_was_recomputed_says_so():
    (found,) = found_in(
        run_of(sample(0, before={"parameter": "", "gradient": ""}, after={"parameter": ""}), tensors=[])
    )
    assert (found.code, found.severity) == ("optimizer.not_recomputed", "info")


def test_a_gradient_that_is_no_number_hides_nothing():
    nan = [float("nan")] * sum(COUNTS)
    before = {"parameter": packed([1.0] * sum(COUNTS)), "gradient": packed(nan)}
    moved = sample(0) | {"before": before, "after": {"parameter": packed([42.0] * sum(COUNTS))}}
    assert said(run_of(moved)) == [("optimizer.update_differs", "warning", 0, 0)]


def test_numbers_beyond_all_bounds_end_nothing():
    huge = [3e38, -3e38, 3e38, -3e38, 3e38]
    odd = sample(0) | {"before": {"parameter": packed(huge), "gradient": packed(huge)}}
    found = found_in(run_of(odd, sample(1, change=lambda _, value: value + 1.0), groups=[{"lr": 1e300}]))
    assert {each.code for each in found} <= {"optimizer.not_checkable", "optimizer.update_differs"}


def test_what_does_not_apply_takes_no_room_from_what_was_not_judged():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for step in range(300):
        name = f"{step:032x}"
        connection.send("sampled", **layout(layout=name, left_out={f"tensors {step}": 1}))
        connection.send("sample", **sample(step, layout=name))
        connection.update(groups=[{"lr": LR}])
    connection.send("sample", **sample(300, layout="ff" * 16))
    connection.update(groups=[{"lr": LR}])
    connection.goodbye()
    simulated.exit()
    assert "optimizer.not_checkable" in {each.code for each in found_in(simulated)}


def test_updates_of_two_optimizers_may_come_between_each_others_samples():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for optimizer in range(2):
        connection.send("sampled", **layout(optimizer=optimizer, layout=f"{optimizer:032x}"))
    for optimizer in (0, 1):
        connection.send("sample", **sample(0, optimizer=optimizer, layout=f"{optimizer:032x}"))
    about = {"class_name": SGD, "file": None, "groups": 1, "tensors": 2, "defaults": {}}
    for optimizer in (0, 1):
        connection.send("optimizer", ordinal=optimizer, **about)
    for optimizer in (1, 0):
        connection.update(optimizer=optimizer, groups=[{"lr": LR}])
    connection.goodbye()
    simulated.exit()
    assert found_in(simulated) == ()


def test_an_update_without_samples_is_not_checkable_where_there_is_a_rule_and_never_clean():
    simulated = run_of(sample(0), None, sample(2))
    assert said(simulated) == [("optimizer.not_checkable", "info", 1, 1)]
    assert not judge(simulated.items(), run="x").report.coverage.complete
    assert said(run_of(None, announced=False)) == []  # of which optimizer nobody said


def test_an_optimizer_without_a_rule_is_said_not_to_be_recomputed_and_is_covered_all_the_same():
    simulated = run_of(None, None, rule="mine.Own")
    assert said(simulated) == [("optimizer.not_recomputed", "info", 0, 1)]
    assert judge(simulated.items(), run="x").report.coverage.complete


def test_what_gives_no_samples_is_counted():
    (found,) = found_in(run_of(sample(0), left_out={"tensors of torch.bfloat16": 2}))
    assert found.code == "optimizer.not_recomputed"
    assert "tensors of torch.bfloat16 give no samples" in found.message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"layout": "cd" * 16}, "layout was not heard"),
        ({"before": {"parameter": packed([1.0] * 5)}}, "without a parameter or a gradient"),
        ({"after": {"parameter": packed([1.0] * 4)}}, "parameter has 16 bytes, not 20"),
        ({"after": {"parameter": "%%%"}}, "parameter is not base64"),
    ],
)
def test_samples_that_do_not_fit_are_not_judged(change, says):
    (found,) = found_in(run_of(sample(0, **change)))
    assert (found.code, found.severity) == ("optimizer.not_checkable", "info")
    assert says in found.message


@pytest.mark.parametrize(
    ("groups", "says"), [([], "hyper-parameters were not said"), ([{"lr": "x"}], "lr is 'x'"), ([{}], "lr is None")]
)
def test_hyper_parameters_that_are_none_are_not_judged(groups, says):
    (found,) = found_in(run_of(sample(0), groups=groups))
    assert found.code == "optimizer.not_checkable"
    assert says in found.message


def test_numbers_that_are_none_are_no_difference():
    nan = [float("nan")] * sum(COUNTS)
    strange = sample(0) | {"before": {"parameter": packed(nan), "gradient": packed(nan)}}
    assert said(run_of(strange | {"after": {"parameter": packed(nan)}})) == []


def test_parts_of_a_layout_are_joined():
    simulated = SimulatedRun()
    connection = simulated.attach()
    lines = layout()["tensors"]
    for part in range(2):
        connection.send("sampled", **layout(part=part, parts=2, tensors=lines[part : part + 1]))
    connection.send("sample", **sample(0, change=lambda at, value: value + (at == 4)))
    connection.update(groups=[{"lr": LR}])
    connection.goodbye()
    simulated.exit()
    (found,) = found_in(simulated)
    assert "1 of 2 sampled elements of a.bias" in found.message


@pytest.mark.parametrize("old_ends_last", [False, True])
def test_a_process_that_connects_anew_says_its_layouts_again_whichever_connection_ends_first(old_ends_last):
    simulated = SimulatedRun()
    old = simulated.attach()
    old.send("sampled", **layout())
    old.send("sample", **sample(0))
    old.update(groups=[{"lr": LR}])
    if not old_ends_last:
        old.vanish()
    new = simulated.reattach(old)
    new.send("sampled", **layout())
    new.flush()
    if old_ends_last:
        old.vanish()
    new.send("sample", **sample(1))
    new.update(groups=[{"lr": LR}])
    new.goodbye()
    simulated.exit()
    assert found_in(simulated) == ()


def thinned_run(updates=140, *, every=4, wrong=(), class_name=SGD, first=100, shared=None):
    """A run that gives no samples of those updates after the first hundred that its key leaves out."""
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.send("optimizer", ordinal=0, class_name=class_name, file=None, groups=1, tensors=2, defaults={})
    if class_name != "mine.Own":
        connection.send("sampled", **layout(**({} if shared is None else {"key": shared})))
    key, left_out = bytes.fromhex(shared or hex64(f"key {connection.pid}")), []
    for step in range(updates):
        out = step >= first and (is_left_out(key, 0, step, every) or step in wrong)
        if out:
            left_out.append(step)
        elif class_name != "mine.Own":
            connection.send("sample", **sample(step))
        connection.update(groups=[{"lr": LR}], thinned=every if out else 0)
    connection.goodbye()
    simulated.exit()
    return simulated, left_out, key


def test_updates_that_the_key_left_out_are_counted_and_alleged_nothing():
    simulated, left_out, _ = thinned_run()
    (found,) = found_in(simulated)
    assert (found.code, found.severity, found.subject) == ("coverage.samples_thinned", "info", SGD)
    assert (found.first_step, found.last_step) == (left_out[0], left_out[-1])
    assert found.message.startswith(f"{len(left_out)} updates gave no samples")
    assert "--overhead-budget" in found.message
    report = judge(simulated.items(), run="x").report
    assert not report.coverage.complete
    assert report.verdict == "unknown"


def test_updates_that_the_key_of_the_attempt_left_out_are_those_that_may_be():
    simulated, left_out, _ = thinned_run(shared=hex64("key of the attempt"))
    (found,) = found_in(simulated)
    assert (found.code, found.first_step, found.last_step) == ("coverage.samples_thinned", left_out[0], left_out[-1])


def test_an_update_that_says_it_was_left_out_and_was_not_drawn_is_one_without_samples():
    _, _, key = thinned_run(1)
    kept = next(step for step in range(100, 140) if not is_left_out(key, 0, step, 4))
    simulated, _, _ = thinned_run(wrong=(kept,))
    assert ("optimizer.not_checkable", "info", kept, kept) in said(simulated)


@pytest.mark.parametrize(("every", "first"), [(64, 100), (2**63 - 1, 100), (1, 100), (4, 60)])
def test_nobody_leaves_out_more_than_may_be(every, first):
    simulated, left_out, key = thinned_run(every=every, wrong=range(first, 140), first=first)
    wrong = [step for step in left_out if not is_left_out(key, 0, step, every)]
    assert wrong
    assert ("optimizer.not_checkable", "info", wrong[0], wrong[-1]) in said(simulated)


def test_a_class_of_the_programs_own_with_a_step_of_torchs_is_thinned_like_that():
    simulated, left_out, _ = thinned_run(class_name="mine.Derived")
    (found,) = found_in(simulated)
    assert (found.code, found.subject, found.first_step) == ("coverage.samples_thinned", SGD, left_out[0])


def test_an_optimizer_without_a_rule_is_not_thinned_it_is_not_recomputed():
    simulated, _, _ = thinned_run(class_name="mine.Own")
    assert {code for code, *_ in said(simulated)} == {"optimizer.not_recomputed"}
