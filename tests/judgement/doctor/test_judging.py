"""Each ingredient by itself, from launches in memory in which one thing is otherwise."""

from __future__ import annotations

import base64
import struct

import pytest

from judgement.continuation.seam import course
from judgement.doctor.twins import SAVED, began, examined, launched, note, resumed, saved_note, state_after
from saksi.judgement.doctor.ingredients import INGREDIENTS
from saksi.judgement.doctor.judge import Launches, doctor_of, save_to_resume
from saksi.judgement.doctor.notes import MAX_NOTES, Began, notes_of, read_notes
from saksi.judgement.doctor.values import CODES
from simulated_run import hex64

NEXT = SAVED + 1


def codes(found):
    return [each.code for each in found.ingredients]


def telling(**changes):
    """Steps that say something else, wherever they are done."""
    return lambda step: course(step) | {name: make(step) for name, make in changes.items()}


def other_weights(*kinds):
    """The state that a resume begins with, with other values of some kinds."""
    state = state_after(SAVED)
    return {key: f"another {value}" if kind_of(key) in kinds else value for key, value in state.items()}


def kind_of(key):
    if key.startswith("buffer"):
        return "buffers"
    return {2: "parameters"}.get(key.count("/"), "step" if key.endswith("/step") else "moments")


def parted(step):
    """A state after a Step that follows from another one."""
    return {key: f"{value} otherwise" for key, value in state_after(step).items()}


def batch(step, **changes):
    (one,) = course(step)["batches"]
    return [one | changes]


def test_a_resume_that_does_the_same_steps_continues():
    found = examined()
    assert (found.verdict, found.repeats, found.continues, found.ingredients) == ("continues", True, True, ())
    assert found.sentence.startswith(f"Yes, it continues: resumed after step {SAVED}, it did 4 steps bit for bit")
    assert found.steps.compared == 4


def test_modules_and_loaders_may_be_met_in_another_order():
    def holds(step):
        return {key.replace("buffer/0", "buffer/3"): value for key, value in state_after(step).items()}

    def told(step, *, first):
        loaders = {f"loader.{number}": hex64(f"{(number + first) % 2} {step}") for number in range(2)}
        return course(step) | {"rng": course(step)["rng"] | loaders}

    one, two = (lambda step, at=at: told(step, first=at) for at in range(2))
    found = examined(launched(told=one), launched("killed", steps=4, told=one), resumed(told=two, holds=holds))
    assert (found.verdict, found.ingredients) == ("continues", ())


def test_every_code_has_its_advice():
    assert set(INGREDIENTS) == set(CODES)
    assert all(each.usually and each.remedy and each.example for each in INGREDIENTS.values())


@pytest.mark.parametrize(
    ("expected", "begun"),
    [
        (["weights"], other_weights("parameters")),
        (["optimizer_state"], other_weights("moments")),
        (["optimizer_state"], other_weights("moments", "step")),
        (["update_counters"], other_weights("step")),
        (["weights", "optimizer_state"], other_weights("parameters", "moments")),
    ],
)
def test_state_that_was_not_restored_is_named_with_a_tensor(expected, begun):
    found = examined(again=resumed(initial=begun, holds=parted))
    assert (codes(found), found.continues) == (expected, False)
    first = found.ingredients[0]
    assert (first.phase, first.missing, first.seen.step) == ("resume", True, SAVED)
    assert first.seen.expected != first.seen.found


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        ("schedule", {"groups": lambda step: [{"lr": 0.5, "betas": [0.9, 0.95]}]}),
        (
            "hyper_parameters",
            {"groups": lambda step: [course(step)["groups"][0] | {"betas": [0.8, 0.95]}]},
        ),
        ("generator", {"rng": lambda step: {"torch": hex64(f"elsewhere {step}"), "python": hex64("never drawn from")}}),
        ("data_position", {"batches": lambda step: batch(step, ids=[1, 2], digest=f"sha256:{hex64(f'x{step}')}")}),
        ("augmentation", {"batches": lambda step: batch(step, digest=f"sha256:{hex64(f'x{step}')}")}),
        ("scaler", {"loss": lambda step: course(step)["loss"] * 64}),
        ("forward", {"loss": lambda step: course(step)["loss"] * 1.001}),
        ("accumulation", {"losses": lambda step: 2, "loss": lambda step: course(step)["loss"] * 0.51}),
    ],
)
def test_what_the_steps_of_a_resume_show_is_named(expected, changes):
    found = examined(again=resumed(told=telling(**changes), holds=parted, initial=state_after(SAVED)))
    assert (codes(found), found.verdict) == ([expected], "missing")
    assert found.ingredients[0].seen.step in {NEXT, NEXT + 1}


def test_only_the_state_after_a_step_is_other_sums():
    found = examined(again=resumed(holds=parted, initial=state_after(SAVED)))
    assert codes(found) == ["arithmetic"]
    assert "state of layer0.weight" in found.ingredients[0].sentence


def test_nothing_but_buffers():
    def holds(step):
        return state_after(step, **{"buffer/0/norm.mean": f"another after {step}"})

    assert codes(examined(again=resumed(holds=holds, initial=state_after(SAVED)))) == ["buffers"]


@pytest.mark.parametrize(("more", "expected"), [({}, []), ({"of no form": "x"}, ["arithmetic"])])
def test_averages_that_differ_are_no_ingredient(more, expected):
    def holds(step):
        averages = {"beside/1/w": f"another after {step}", "buffer/1/n_averaged": f"{step}"}
        return state_after(step, **averages, **more)

    assert codes(examined(again=resumed(holds=holds, initial=state_after(SAVED)))) == expected


@pytest.mark.parametrize(
    ("expected", "before", "now"),
    [
        ("threads", {"threads": 2}, {}),
        ("compile", {"compiled": True}, {}),
        ("compile", {"compiled": True}, {"compiled": True}),
        ("arithmetic", {"threads": 2}, {"threads": 2}),
    ],
)
def test_other_sums_are_told_by_what_was_set(expected, before, now):
    first = launched(notes=began(**before) + saved_note(SAVED))
    again = resumed(holds=parted, initial=state_after(SAVED), notes=began(**now))
    assert codes(examined(first, None, again)) == [expected]


def test_cold_buckets_are_those_of_several_ranks():
    first, killed = launched(ranks=2), launched("killed", steps=4, ranks=2)
    again = resumed(ranks=2, holds=parted, initial=state_after(SAVED))
    assert codes(examined(first, killed, again)) == ["cold_buckets"]


def drawn(step):
    return course(step) | {"rng": {"torch": hex64(f"elsewhere {step}"), "python": hex64("never drawn from")}}


def test_a_generator_that_was_put_back_too_early_is_told_with_both_lines():
    put = note("restored", generator="torch", state="a", at="train.py:7")
    made = note("iterated", workers=2, own=False, drew=True, at="train.py:9")
    (found,) = examined(
        again=resumed(told=drawn, holds=parted, initial=state_after(SAVED), notes=put + made + began())
    ).ingredients
    assert found.code == "generator_order"
    assert "put back by train.py:7, and a DataLoader's iterator made after that at train.py:9 drew" in found.sentence
    late = resumed(told=drawn, holds=parted, initial=state_after(SAVED), notes=made + put + began())
    (found,) = examined(again=late).ingredients
    assert found.code == "generator_order"
    assert "drawn from after that, or given another state" in found.sentence


def test_the_generator_of_a_loader_is_named_apart():
    def told(step, name="a"):
        return course(step) | {"rng": course(step)["rng"] | {"loader.0": hex64(f"{name} {step}")}}

    again = resumed(told=lambda step: told(step, "b"), holds=parted, initial=state_after(SAVED))
    assert codes(examined(launched(told=told), launched("killed", steps=4, told=told), again)) == ["loader_generator"]


def test_content_of_the_same_samples_is_the_workers_where_there_are_any():
    told = telling(batches=lambda step: batch(step, digest=f"sha256:{hex64(f'x{step}')}"))
    notes = note("iterated", workers=2, own=False, drew=True, at=None) + began()
    again = resumed(told=told, holds=parted, initial=state_after(SAVED), notes=notes)
    assert codes(examined(again=again)) == ["worker_rng"]


def samples(values):
    sampled = {"layout": "5a" * 16, "optimizer": 0, "rule": "torch.optim.sgd.SGD", "dtype": "torch.float32", "part": 0}
    sampled |= {"parts": 1, "tensors": [[0, 0, "weight", 64, 20]], "left_out": {}}
    packed = base64.b64encode(struct.pack("<20f", *values)).decode()
    sample = {"layout": "5a" * 16, "optimizer": 0, "update": 0, "idle": [], "finished": ""}
    both = {"parameter": packed, "gradient": packed}
    return [("sampled", sampled), ("sample", sample | {"before": both, "after": {"parameter": packed}})]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1 + n / 128 for n in range(20)], "rounded_weights"), ([1 + n / 3 for n in range(20)], "weights")],
)
def test_weights_that_half_precision_has_were_rounded(values, expected):
    first = launched(says=samples([0.1 + n / 7 for n in range(20)]))
    again = resumed(initial=other_weights("parameters"), holds=parted, says=samples(values))
    assert codes(examined(first, None, again)) == [expected]


def killed(**changes):
    return launched("killed", **({"steps": 4} | changes))


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        ("seed_varies", {"seeds": {"torch": "8", "python": "7"}, "holds": parted}),
        ("initial_state", {"holds": parted}),
        ("sample_order", {"told": telling(batches=lambda step: batch(step, ids=[1, 2]))}),
        ("augmentation", {"told": telling(batches=lambda step: batch(step, digest=f"sha256:{hex64('x')}"))}),
        ("hyper_parameters", {"told": telling(groups=lambda step: [{"lr": 0.2}])}),
        ("arithmetic", {"told": telling(loss=lambda step: 9.5)}),
        ("seed_varies", {"told": drawn}),
    ],
)
def test_a_command_that_is_not_the_same_twice_is_told_in_what(expected, changes):
    found = examined(killed=killed(**changes), again=resumed(**{k: v for k, v in changes.items() if k != "seeds"}))
    assert found.repeats is False
    assert codes(found)[0] == expected
    assert found.ingredients[0].phase == "repeat"


def test_a_generator_that_nobody_seeded_is_named():
    first = launched(seeds={}, told=course)
    other = killed(seeds={}, told=drawn, holds=parted)
    found = examined(first, other, resumed(seeds={}, told=drawn, holds=parted))
    assert codes(found) == ["unseeded_generator"]
    assert "torch.manual_seed is called nowhere" in found.ingredients[0].usually
    assert found.continues is True


def test_an_unseeded_generator_that_nothing_is_drawn_from_is_left_alone():
    def told(step, name):
        return course(step) | {"rng": course(step)["rng"] | {"numpy": hex64(name)}}

    launches = [
        launched(seeds={"torch": "7"}, told=lambda step: told(step, "a")),
        killed(seeds={"torch": "7"}, told=lambda step: told(step, "b")),
        resumed(seeds={"torch": "7"}, told=lambda step: told(step, "c")),
    ]
    assert examined(*launches).verdict == "continues"


def test_tensors_that_were_saved_otherwise_count_where_all_the_rest_is_the_same():
    def after(members):
        return examined(first, None, resumed(notes=began() + saved_note(3 - NEXT, members)))

    then = [["data.pkl", 3, 9], ["data/0", 5, 10], ["data/1", 6, 10]]
    first = launched(saves=(SAVED, 3), notes=began() + saved_note(SAVED) + saved_note(3, then))
    found = after([*then[:2], ["data/1", 7, 10]])
    assert (codes(found), found.continues) == (["other_state"], False)
    assert "1 of 2 tensors in the model checkpoint saved after step 3 are others" in found.ingredients[0].sentence
    assert after(then).ingredients == ()
    assert after([["data.pkl", 4, 9], ["data/0", 6, 10], ["data/1", 5, 10]]).ingredients == ()  # in another order
    assert after([*then, ["data/2", 1, 1]]).ingredients == ()  # laid out otherwise: it may hold the same


def test_what_the_command_saves_otherwise_each_time_says_nothing():
    first = launched(saves=(SAVED, 3), notes=began() + saved_note(SAVED, [["data/0", 1, 10]]) + saved_note(3))
    again = resumed(notes=began() + saved_note(3 - NEXT, [["data/0", 2, 10]]))
    assert examined(first, None, again).ingredients == ()


def test_threads_are_a_condition_and_nothing_missing():
    other = launched("threads", steps=4, holds=parted, initial=state_after(-1), notes=began(threads=2))
    found = examined(threaded=other)
    assert (found.verdict, found.threads.same, codes(found)) == ("continues", False, ["threads"])
    same = examined(threaded=launched("threads", steps=4, notes=began(threads=2)))
    assert (same.threads.same, same.ingredients) == (True, ())
    assert examined(threaded=launched("threads", steps=4)).threads.same is None


@pytest.mark.parametrize(
    ("again", "words"),
    [
        (resumed(loads=False), "--resume-with"),
        (resumed(loaded=f"sha256:{'b' * 64}"), "none that was saved before the kill"),
        (resumed(steps=0), "made no step"),
    ],
)
def test_what_cannot_be_judged_is_said_and_never_a_yes(again, words):
    found = examined(again=again)
    assert (found.verdict, found.continues) == ("unknown", None)
    assert words in found.sentence


def test_without_a_resume_the_reason_is_told():
    reasons = ("no model checkpoint was saved",)
    found = doctor_of(Launches(("python",), (), launched(saves=()), killed(saves=()), reasons=reasons))
    assert (found.verdict, found.repeats, found.reasons) == ("unknown", True, reasons)
    assert (
        doctor_of(Launches(("python",), (), launched(steps=0), reasons=("no step",))).sentence == "Not known: no step."
    )


def test_the_last_save_is_the_one_to_resume():
    assert save_to_resume(launched(saves=(1, 3))) == (3, "/ckpt.pt")
    assert save_to_resume(launched(saves=())) is None


def test_a_save_that_was_renamed_is_found_by_its_last_name():
    moved = note("renamed", SAVED, path="/ckpt.pt", to="/whole.pt")
    other = killed(notes=began() + saved_note(SAVED) + moved)
    assert save_to_resume(other) == (SAVED, "/whole.pt")
    assert examined(killed=other, again=resumed(loaded=None)).continues is None  # another name than it has by then


def test_a_load_whose_bytes_nobody_knows_is_of_the_save_at_its_path():
    found = examined(again=resumed(loaded=None))
    assert (found.continues, found.steps.saved_after) == (True, SAVED)


def test_notes_are_read_up_to_what_does_not_parse():
    good = began() + saved_note(1)
    assert len(read_notes(good + b'{"kind":"began"}\n' + began())) == 2
    assert len(read_notes(good + b"\xff\n")) == 2
    assert len(read_notes(began() * (MAX_NOTES + 5))) == MAX_NOTES
    assert isinstance(notes_of((b"", began(rank=1), good), 0)[0], Began)
    assert notes_of((good,), 3) == ()
