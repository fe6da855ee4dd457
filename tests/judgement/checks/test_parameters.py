"""Which parameters are trained, judged from records alone."""

from __future__ import annotations

import base64

import pytest

from saksi.judgement.checks.judging import Judging
from saksi.judgement.checks.parameters import PARAMETERS
from saksi.judgement.plan.idle import Tensors
from saksi.words.codec import decode_frame
from saksi.words.frames import SampledFrame, SampleFrame
from simulated_run import SimulatedRun, honest_run

ALL = [[0, at, f"layer.{at}.weight", 9, 4] for at in range(6)]
SOME = [each for each in ALL if each[1] not in {2, 3}]
EMPTY = base64.b64encode(b"").decode()


def layout(connection, name, tensors, *, optimizer=0, parts=1, left_out=None, times=32):
    size = len(tensors) // parts
    for part in range(parts):
        connection.send(
            "sampled", layout=name * times, optimizer=optimizer, rule="torch.optim.sgd.SGD", dtype="torch.float32",
            part=part, parts=parts, tensors=tensors[part * size : (part + 1) * size], left_out=left_out or {},
        )  # fmt: skip


def trained(names, *, steps=600, idle=lambda _: [], parts=1, left_out=None, groups=lambda _: 1, optimizer=0):
    """Updates whose samples have the layout that `names` gives: `a` of all tensors, `b` of some."""
    simulated = SimulatedRun()
    connection = simulated.attach()
    layout(connection, "a", ALL, parts=parts, optimizer=optimizer)
    layout(connection, "b", SOME, left_out=left_out, optimizer=optimizer)
    for step in range(steps):
        connection.send(
            "sample", layout=names(step) * 32, optimizer=optimizer, update=step, idle=idle(step), before={"x": EMPTY},
            after={},
        )  # fmt: skip
        connection.update(optimizer=optimizer, groups=[{"lr": 0.1}] * groups(step))
        if step % 50 == 49:
            connection.flush()
    connection.goodbye()
    simulated.exit()
    return simulated


def judged(simulated):
    judging, news = Judging([PARAMETERS]), []
    for item in simulated.items():
        news += judging.take(item)
    return list(judging.findings(ended=True)), news


@pytest.mark.parametrize(
    "simulated",
    [
        honest_run(steps=300),
        trained(lambda _: "a"),
        trained(lambda step: "ab"[step % 2]),  # experts that take turns
        trained(lambda step: "a" if step > 100 else "b"),  # layers that are thawed
        trained(lambda _: "a", idle=lambda step: [0] if step % 3 else []),
        trained(lambda step: "a" if step < 550 else "b"),  # frozen at the very end
        trained(lambda _: "b"),
    ],
)
def test_training_that_goes_on_as_it_began_has_nothing_to_tell(simulated):
    assert judged(simulated) == ([], [])


@pytest.mark.parametrize("parts", [1, 2])
def test_tensors_that_lose_their_gradient_for_good_are_told_with_the_first_of_them(parts):
    (found,), _ = judged(trained(lambda step: "a" if step < 200 else "b", parts=parts))
    assert (found.code, found.severity, found.alleges) == ("plan.parameters_idle", "info", "unknown")
    assert (found.subject, found.first_step, found.last_step) == ("tensors of optimizer 0", 200, 599)
    assert "2 of 6 tensors had a gradient and have none any more, layer.2.weight since update 200," in found.message


def test_a_tensor_that_is_listed_and_has_no_gradient_is_told_too():
    (found,), _ = judged(trained(lambda _: "a", idle=lambda step: [4] if step >= 300 else []))
    assert (found.first_step, found.message[:11]) == (300, "1 of 6 tens")


def test_a_tensor_that_gives_no_samples_any_more_may_be_trained_all_the_same():
    left_out = {"tensors of torch.complex64": 2}
    assert judged(trained(lambda step: "a" if step < 200 else "b", left_out=left_out)) == ([], [])


def test_groups_that_come_are_told_as_they_do():
    (found,), (news,) = judged(trained(lambda _: "a", groups=lambda step: 1 if step < 77 else 2))
    assert (found.code, found.severity, found.first_step) == ("plan.groups_changed", "info", 77)
    assert found.message.startswith("From update 77 on they are 2, and were 1.")
    assert news == found


def test_another_optimizers_tensors_have_no_step():
    (found,), _ = judged(trained(lambda step: "a" if step < 200 else "b", optimizer=1))
    assert (found.subject, found.first_step) == ("tensors of optimizer 1", None)


def test_of_tensors_that_no_layout_has_nothing_is_kept():
    """What is kept of a process is counted by the tensors that its layouts list."""
    connection, tensors = SimulatedRun().attach(), Tensors()
    for number in range(64):
        name = f"{number:032x}"
        layout(connection, name, ALL if number == 7 else [], times=1)
        sample = {"layout": name, "optimizer": 0, "update": number, "before": {}, "after": {}}
        connection.send("sample", idle=list(range(900)), **sample)
    for frame in map(decode_frame, connection.pending):
        if isinstance(frame, SampledFrame):
            tensors.sampled(frame, 100)
        elif isinstance(frame, SampleFrame):
            tensors.take(frame)
    kept = tensors._layouts.values()
    assert (tensors.size, sum(len(each.stopped) + len(each.idle) for each in kept)) == (6, 12)


def dropped(at, *, names=True, groups=1):
    """From update `at` on the group holds four of six tensors."""
    simulated = SimulatedRun()
    connection = simulated.attach()
    layout(connection, "a", ALL)
    layout(connection, "b", [[0, place, each[2], 9, 4] for place, each in enumerate(SOME)])
    for step in range(40):
        if names:
            connection.send(
                "sample", layout=("a" if step < at else "b") * 32, optimizer=0, update=step, idle=[],
                before={"x": EMPTY}, after={},
            )  # fmt: skip
        held = 6 if step < at else 4
        connection.update(groups=[{"lr": 0.1}] * groups, tensors=[held, *[2] * (groups - 1)])
    connection.goodbye()
    simulated.exit()
    return simulated


def test_tensors_that_leave_their_group_are_told_by_name():
    (found,), news = judged(dropped(17))
    assert (found.code, found.severity, found.first_step) == ("plan.groups_changed", "info", 17)
    assert "group 0 holds 4 tensors, and held 6: without layer.2.weight, layer.3.weight, which" in found.message
    assert len(news) == 1


def test_of_an_optimizer_that_gives_no_samples_their_number_is_told():
    (found,), _ = judged(dropped(17, names=False))
    assert "From update 17 on group 0 holds 4 tensors, and held 6. Layers" in found.message


def test_a_tensor_that_left_its_group_is_the_one_that_is_idle():
    simulated = SimulatedRun()
    connection = simulated.attach()
    layout(connection, "a", ALL)
    layout(connection, "b", [[0, place, each[2], 9, 4] for place, each in enumerate(ALL[1:])])
    for step in range(400):
        name = "a" if step < 100 else "b"
        connection.send("sample", layout=name * 32, optimizer=0, update=step, idle=[], before={"x": EMPTY}, after={})
        connection.update()
        connection.flush()
    connection.goodbye()
    simulated.exit()
    (found,), _ = judged(simulated)
    assert "1 of 6 tensors had a gradient and have none any more, layer.0.weight since update 100" in found.message


@pytest.mark.parametrize(("was", "now"), [([], [0]), ([], [4]), ([4], []), ([2, 2], [2]), ([0], [0, 0])])
def test_a_process_that_says_of_other_groups_how_many_tensors_they_hold_is_held_to_none(was, now):
    connection = (simulated := SimulatedRun()).attach()
    for tensors in (was, now):
        connection.update(tensors=tensors)
    connection.goodbye()
    simulated.exit()
    assert judged(simulated) == ([], [])
