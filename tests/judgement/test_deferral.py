"""What a device delivers later belongs to the Update that announced it, for every reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgement.continuation.seam import Pair, outcomes
from saksi.judgement.deferral import MAX_WAITING, Deferral
from saksi.judgement.diff import diff
from saksi.judgement.history_builder import HistoryBuilder
from saksi.judgement.verdict import judge
from saksi.words.codec import decode_frame
from saksi.words.frames import DeferredFrame, UpdateFrame
from simulated_run import SimulatedRun, update_fields

OTHER = "ff112233445566aa"
NAMES = ["loss", "gradient_norm", "groups", "fingerprints"]
ON_DEVICE = {
    "loss": None,
    "gradient_norm": None,
    "groups": [{"lr": "tensor torch.float32 [] cuda:0", "betas": [0.9, 0.999], "weight_decay": 0.01}],
    "fingerprints": [],
    "deferred": NAMES,
}


def delivered(step, lacking=(), *, optimizer=0, **changed):
    whole = update_fields(step)
    came = {name: whole[name] if name not in lacking else None for name in ("loss", "gradient_norm")}
    return {
        "optimizer": optimizer,
        "update": step,
        **came,
        "skipped": None,
        "groups": [] if "groups" in lacking else [[0, "lr", whole["groups"][0]["lr"]]],
        "fingerprints": [] if "fingerprints" in lacking else whole["fingerprints"],
        "lacking": list(lacking),
        "reason": "the device had not delivered it" if lacking else None,
    } | changed


def on_device(run="00112233445566aa", *, steps=8, behind=2, lacking=None, ends=True, **changed):
    """A run on a device whose values come `behind` updates later; `lacking` is what is, of which step."""
    simulated = SimulatedRun(run)
    connection = simulated.attach()
    for step in range(steps + behind):
        if step < steps:
            connection.update(**ON_DEVICE)
        if step >= behind:
            more = changed.get("altered", {}).get(step - behind, {})
            connection.send("deferred", **delivered(step - behind, (lacking or {}).get(step - behind, ()), **more))
        if step % 3 == 0:
            connection.flush()
    if ends:
        connection.goodbye()
        simulated.exit()
    return simulated


def in_memory(run=OTHER, steps=8):
    simulated = SimulatedRun(run)
    connection = simulated.attach()
    for _ in range(steps):
        connection.update()
    connection.goodbye()
    simulated.exit()
    return simulated


def compared(a, b):
    return diff(a=a.run, b=b.run, items_a=a.items(), items_b=b.items())


def codes(simulated):
    return [(each.code, each.subject) for each in judge(simulated.items(), run=simulated.run, live=False).report.items]


def history_of(simulated):
    builder = HistoryBuilder()
    for item in simulated.items():
        builder.take(item)
    return builder.build()


def test_a_run_on_a_device_is_the_run_in_memory():
    found = compared(on_device(), in_memory())
    assert (found.same, found.compared) == (True, 8)
    assert codes(on_device()) == []


def test_a_value_that_came_later_differs_at_its_own_step():
    found = compared(on_device(altered={5: {"loss": 9.0}}), in_memory())
    assert found.first is not None
    assert (found.first.update, [each.field for each in found.first.fields]) == (5, ["loss"])


def test_what_never_came_is_no_difference_and_is_said():
    absent = on_device(lacking={3: NAMES, 4: ["fingerprints"]})
    assert compared(absent, in_memory()).same
    report = judge(absent.items(), run=absent.run, live=False).report
    (found,) = report.items
    assert (found.code, found.severity, found.first_step, found.last_step) == ("coverage.uncovered", "info", 3, 4)
    assert "(fingerprints, gradient norm, groups, loss)" in found.message
    assert not report.coverage.complete
    assert report.coverage.not_checkable


def test_what_was_announced_and_not_even_said_to_lack_is_said():
    ended = on_device(steps=8, behind=0)
    silent = SimulatedRun()
    connection = silent.attach()
    for _ in range(70):
        connection.update(**ON_DEVICE)
    connection.goodbye()
    silent.exit()
    assert codes(ended) == []
    assert codes(silent) == [("coverage.uncovered", "values on a device")]
    assert compared(silent, in_memory(steps=70)).same


def test_while_a_run_goes_on_nothing_is_held_against_what_may_still_come():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for _ in range(5):
        connection.update(**ON_DEVICE)
    connection.flush()
    assert judge(simulated.items(), run=simulated.run, live=True).report.items == ()
    assert codes(simulated) != []


def test_losses_and_norms_are_drawn_at_the_steps_they_belong_to():
    history = history_of(on_device(steps=6, behind=2))
    loss, norm = history.series_of("loss", 0), history.series_of("gradient_norm", 0)
    assert loss is not None
    assert norm is not None
    assert loss.points == tuple((step, 4.0 / (step + 1)) for step in range(6))
    assert (norm.count, norm.first) == (6, 1.5)


def test_an_update_that_turns_out_to_be_skipped_is_counted_once():
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.update(deferred=["skipped"])
    connection.send("deferred", **delivered(0, skipped=True))
    connection.goodbye()
    simulated.exit()
    assert history_of(simulated).connections[0].skipped == 1


@pytest.mark.parametrize("lacking", [(), ("groups", "loss")])
def test_a_resume_is_compared_with_what_came_later(lacking):
    def told(step):
        fields = update_fields(step)
        late = delivered(step, lacking, groups=[] if lacking else [[0, "lr", fields["groups"][0]["lr"]]])
        return ON_DEVICE, late

    earlier = Deferral()
    announced, late = told(3)
    update = decode_frame(SimulatedRun().attach().frame("update", **update_fields(3) | announced))
    later = decode_frame(SimulatedRun().attach().frame("deferred", **late))
    assert list(earlier.take(update, None)) == []
    ((found, _),) = earlier.take(later, None)
    assert isinstance(found, UpdateFrame)
    assert found.deferred == [name for name in NAMES if name in lacking]
    assert (found.groups, found.groups_omitted) == (([], 1) if lacking else (update_fields(3)["groups"], 0))
    assert found.loss == (None if lacking else 1.0)
    assert outcomes(Pair().resumed())["hyper_parameters"] == "same"


FRAMES = SimulatedRun().attach()
UPDATES = [decode_frame(FRAMES.frame("update", **update_fields(step))) for step in range(6)]
ANNOUNCED = [decode_frame(FRAMES.frame("update", **update_fields(step) | ON_DEVICE)) for step in range(6)]
LATE = [decode_frame(FRAMES.frame("deferred", **delivered(step))) for step in range(6)]


@given(st.lists(st.sampled_from([*UPDATES, *ANNOUNCED, *LATE]), max_size=60))
def test_every_frame_but_those_that_come_later_comes_through_once_and_in_order(given_frames):
    deferral = Deferral()
    out = [frame for at, each in enumerate(given_frames) for frame in deferral.take(each, at)]
    out += deferral.rest()
    places = [at for at, each in enumerate(given_frames) if not isinstance(each, DeferredFrame)]
    assert [at for _, at in out] == places
    for frame, at in out:
        assert (frame.optimizer, frame.update) == (given_frames[at].optimizer, given_frames[at].update)
        assert frame.loss is not None or "loss" in frame.deferred


def test_what_waits_is_bounded():
    deferral = Deferral()
    out = list(deferral.take(ANNOUNCED[0], 0))
    for at in range(3 * MAX_WAITING):
        out += deferral.take(UPDATES[1], at + 1)
    assert [at for _, at in out] == list(range(3 * MAX_WAITING + 1))
    assert out[0][0].deferred == NAMES


def test_what_waits_is_bounded_in_bytes_too():
    deferral = Deferral()
    out = list(deferral.take(ANNOUNCED[0], 0, 65_536))
    for at in range(64):
        out += deferral.take(UPDATES[1], at + 1, 65_536)
    assert [at for _, at in out] == list(range(65))
    assert out[0][0].deferred == NAMES
    out += deferral.take(ANNOUNCED[1], 65, 65_536)
    out += deferral.take(LATE[1], 66)
    assert out[-1][0].deferred == []
