"""One process's Updates against a plan: laws that hold for every plan."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from judgement.seals import plans
from saksi.judgement.plan.held import Held
from saksi.judgement.plan.schedule import Schedule
from saksi.words.frames import UpdateFrame
from simulated_run import update_fields

ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9)
    | st.sampled_from(["NaN", "Infinity", "tensor torch.float32 [] cuda:0"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)  # fmt: skip
NAMES = st.sampled_from(["lr", "betas", "weight_decay", "momentum"]) | st.text(max_size=3)


def update(step, **changes):
    """The frame of an Update, decoded as a reader does."""
    fields = {"seq": step, "prev": "0" * 64, "wall_ns": step, "mono_ns": step, "lost": 0}
    return msgspec.convert(fields | update_fields(step) | {"kind": "update"} | changes, UpdateFrame)


@settings(max_examples=40)
@given(
    plans, st.booleans(),
    st.lists(
        st.fixed_dictionaries({
            "groups": st.lists(st.dictionaries(NAMES, ODD, max_size=4), max_size=3), "skipped": st.booleans(),
            "losses": st.integers(0, 2), "groups_omitted": st.integers(0, 2),
        }),
        max_size=8,
    ),
)  # fmt: skip
def test_whatever_a_run_says_is_taken(plan, resumed, updates):
    held = Held(plan, resumed=resumed)
    for step, fields in enumerate(updates):
        for each in held.take(update(step, **fields)):
            assert each.code.startswith(("plan.", "availability."))
        if step % 3 == 2:
            held.load()
    assert all(isinstance(subject, str) for subject, _ in held.unseen())


@settings(max_examples=40)
@given(
    plans.filter(lambda plan: plan.lr), st.booleans(), st.integers(0, 2**40), st.booleans(),
    st.lists(st.booleans(), min_size=1, max_size=30),
)  # fmt: skip
def test_a_run_that_follows_the_schedule_is_never_held_to_another_rate(plan, resumed, offset, moves, skips):
    rest = {"steps": None, "hyper_parameters": {}, "groups": (), "max_norm": None}
    rest |= dict.fromkeys(("accumulation", "trained", "longest_update", "reported"), msgspec.UNSET)
    plan = msgspec.structs.replace(plan, **rest)
    schedule, held, at = Schedule(plan), Held(plan, resumed=resumed), offset if resumed else 0
    for step, skipped in enumerate(skips):
        found = list(held.take(update(step, groups=[{"lr": schedule.at(at)}], skipped=skipped)))
        assert all(each.excused for each in found)
        assert resumed or not found
        at += moves or not skipped


@settings(max_examples=40)
@given(plans.filter(lambda plan: any(rate > 1e-3 for _, rate in plan.lr)), st.sampled_from([0.5, 0.97, 1.03, 10.0]))
def test_an_ordinary_start_at_another_rate_is_named_at_its_step(plan, factor):
    plan = msgspec.structs.replace(
        plan, steps=None, hyper_parameters={}, groups=(), max_norm=None, accumulation=msgspec.UNSET
    )
    schedule, held = Schedule(plan), Held(plan, resumed=False)
    peak = max(rate for _, rate in plan.lr)
    steps = [step for step, rate in plan.lr if rate > peak / 1000]  # below a ten-millionth of it all rates are one
    found = list(held.take(update(steps[0], groups=[{"lr": schedule.at(steps[0]) * factor}])))
    assert [(each.code, each.step, each.excused) for each in found] == [
        ("plan.learning_rate_differs", steps[0], False),
    ]  # fmt: skip
