"""A stretch matches only if the replay began with what the run had left, and made each of its Steps as recorded."""

from __future__ import annotations

from typing import Any

import pytest

from judgement.true_roots import say
from saksi.judgement.replay.resumed import are_apart_by_rounding, compare_resumed, first_step_apart, is_of_other_data
from saksi.judgement.replay.stretches import Restart, Stretch
from simulated_run import SimulatedRun, hex64, update_fields

STRETCH = Stretch(first=4, behind=8, restart=Restart(step=3, path="c", digest="sha256:" + "a" * 64, size=1))
REPLAY = "ff112233445566aa"
HELD = {"0/0/0": "w", "beside/1/w": "average"}


def root(connection, step, digit, at="step"):
    connection.send(
        "root", at=at, step=step, root=digit * 64, layout="0" * 64, tensors=1, bytes=4, leaves=None
    )  # fmt: skip


def seeded(connection):
    connection.send("seeded", generator="torch", seed="0", caller=None)


def record(*, altered=None, roots=((3, "a", "ckpt"), (7, "b", "ckpt")), steps=10, ranks=1, seeds=True):
    run = SimulatedRun()
    connections = [run.attach(rank, world_size=ranks, pid=run.tick()) for rank in range(ranks)]
    for connection in connections:
        if seeds:
            seeded(connection)
        for step in range(steps):
            connection.update(**(altered or {}).get(step, {}))
            for behind, digit, at in roots:
                if behind == step:
                    root(connection, step, digit, at)
        connection.goodbye()
    return run.items()


def replay(*, altered=None, began="a", roots=((3, "b"),), steps=4, first=4, ranks=1):
    """Its own counter begins at 0, and what it computes is what the record has from `first` on."""
    run = SimulatedRun(REPLAY)
    for connection in [run.attach(rank, world_size=ranks, pid=run.tick()) for rank in range(ranks)]:
        root(connection, -1, began, "attach")
        for step in range(steps):
            fields: dict[str, Any] = update_fields(first + step, rank=connection.rank) | {"update": step}
            fields["batches"] = [each | {"loader": 3, "ordinal": step} for each in fields["batches"]]
            fields |= (altered or {}).get(step, {})
            connection.update(**fields)
            for behind, digit in roots:
                if behind == step:
                    root(connection, step, digit)
        connection.goodbye()
    return run.items()


def compared(items, other, stretch=STRETCH):
    return compare_resumed(stretch, items, 0, other)


@pytest.mark.parametrize("ranks", [1, 3])
def test_the_same_steps_under_other_counters_match(ranks):
    found = compared(record(ranks=ranks), replay(ranks=ranks))
    assert (found.matches, found.equal, found.steps, found.apart) == (True, 4 * ranks, 4 * ranks, None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss": 9.0}, "another loss"),
        ({"groups": []}, "another groups"),
        ({"skipped": True}, "another skipped"),
        ({"gradient_norm": None}, "another gradient norm"),
        ({"rng": {"python": hex64("python"), "torch": hex64("other")}}, "rng of torch"),
        ({"batches": []}, "other batches"),
        ({"inventory": hex64("hooks")}, "other hooks or modes are in force"),
    ],
)
def test_any_field_that_differs_ends_the_comparison_at_its_step(change, said):
    found = compared(record(), replay(altered={2: change}))
    assert (found.matches, found.equal) == (False, 2)
    assert found.apart == f"step 6 of rank 0: {said}"


def test_sums_are_compared_where_both_took_them():
    prints = update_fields(6)["fingerprints"]
    found = compared(record(), replay(altered={2: {"fingerprints": [prints[0] | {"end": "0" * 32}]}}))
    assert found.apart == "step 6 of rank 0: fingerprints of sum64-4096 parameters 0/1"
    other = [prints[0] | {"name": "sum64-4096", "over": "moments", "share": 2, "of": 8}]
    assert compared(record(), replay(altered={2: {"fingerprints": other}})).matches


@pytest.mark.parametrize(
    ("taken", "left"), [(("start", "end"), ("end", "start")), (("end", "start"), ("start", "end"))]
)
def test_of_a_share_each_end_is_compared_where_both_took_it(taken, left):
    """Which share is looked at in a Step depends on its number, which a resumed process begins at 0."""
    share = {"name": "sum64-4096", "over": "moments", "share": 2, "of": 8}

    def prints(step, one, other, digit):
        return [update_fields(step)["fingerprints"][0], share | {one: digit * 32, other: None}]

    mine = record(altered={6: {"fingerprints": prints(6, *taken, "1")}})
    assert compared(mine, replay(altered={2: {"fingerprints": prints(6, *left, "2")}})).matches
    found = compared(mine, replay(altered={2: {"fingerprints": prints(6, *taken, "2")}}))
    assert found.apart == "step 6 of rank 0: fingerprints of sum64-4096 moments 2/8"


def test_a_share_that_ended_in_one_step_and_one_that_begins_in_the_next_need_not_be_the_same_ones():
    share = {"name": "sum64-4096", "over": "moments", "share": 2, "of": 8}
    ended = [update_fields(3)["fingerprints"][0], share | {"start": "1" * 32, "end": None}]
    starts = [update_fields(4)["fingerprints"][0], share | {"start": "2" * 32, "end": None}]
    mine = record(altered={3: {"fingerprints": ended}})
    assert compared(mine, replay(altered={0: {"fingerprints": starts}})).matches
    ended[1] |= {"end": "1" * 32}
    found = compared(record(altered={3: {"fingerprints": ended}}), replay(altered={0: {"fingerprints": starts}}))
    assert found.apart == "the state of rank 0 was another as the next step began: sum64-4096 moments 2/8"


def test_batches_that_were_drawn_to_skip_to_the_place_are_none_of_the_step():
    used = [each | {"loader": 0} for each in update_fields(4)["batches"]]
    skipped = [each for step in range(4) for each in update_fields(step)["batches"]]
    assert compared(record(), replay(altered={0: {"batches": [*skipped, *used]}})).matches
    assert not compared(record(), replay(altered={0: {"batches": [*used, *skipped]}})).matches


def test_of_averages_those_that_were_saved_are_what_a_stretch_begins_with():
    def averaged(edit="", at_save="moved"):
        run = SimulatedRun()
        connection = run.attach()
        seeded(connection)
        for step in range(10):
            connection.update()
            if step == 3:
                say(connection, HELD)
                say(connection, HELD | {"beside/1/w": at_save, "0/0/0": f"w{edit}"}, at="ckpt")
            if step == 7:
                root(connection, step, "b")
        connection.goodbye()
        return run.items()

    def begun(**held):
        run = SimulatedRun(REPLAY)
        connection = run.attach()
        say(connection, HELD | {"beside/1/w": "moved"} | held, at="attach", step=-1)
        for step in range(4):
            connection.update(**(update_fields(4 + step) | {"update": step}))
            if step == 3:
                root(connection, step, "b")
        connection.goodbye()
        return run.items()

    assert compared(averaged(), begun()).matches
    assert "not bound" in compared(averaged(), begun(**{"beside/1/w": "another"})).apart
    assert "several roots" in compared(averaged(edit=" edited"), begun(**{"0/0/0": "w edited"})).apart


def skipped(count):
    return [
        {"loader": 0, "ordinal": n, "digest": f"sha256:{hex64(str(n))}", "items": 1, "ids": [n]} for n in range(count)
    ]


def test_of_more_batches_than_a_record_holds_the_latest_are_compared():
    used = [each | {"loader": 0} for each in update_fields(4)["batches"]]
    drew = {"batches": [*skipped(33), *used], "batches_omitted": 240, "batches_behind": 2}
    assert compared(record(), replay(altered={0: drew})).matches
    other = drew | {"batches": [*used, *skipped(33)]}
    assert compared(record(), replay(altered={0: other})).apart == "step 4 of rank 0: other batches"
    assert not compared(record(), replay(altered={0: drew | {"batches_behind": 0}})).matches


def test_where_the_record_has_the_first_batches_alone_nothing_of_them_is_compared():
    of_older = {"batches": skipped(64), "batches_omitted": 37}
    latest = {"batches": skipped(64)[::-1], "batches_omitted": 37, "batches_behind": 32}
    assert compared(record(altered={5: of_older}), replay(altered={1: latest})).matches


def test_a_generator_that_the_run_seeded_nowhere_is_left_out():
    change = {"rng": {"python": hex64("another"), "torch": hex64("torch6")}}
    assert compared(record(), replay(altered={2: change})).matches


def test_another_state_at_the_start_is_none_of_the_stretch():
    found = compared(record(), replay(began="c"))
    assert (found.matches, found.rooted, found.equal) == (False, False, 0)
    assert found.apart == "the state that rank 0 resumed with is not bound by the root behind step 3"


def test_without_a_root_in_the_record_nothing_is_bound():
    assert not compared(record(roots=((7, "b", "ckpt"),)), replay()).rooted


def test_an_edit_between_the_step_and_the_save_is_no_baseline():
    """The model checkpoint holds the edit, so that the replay begins with it, and every later Step is as recorded."""
    found = compared(record(roots=((3, "e", "step"), (3, "a", "ckpt"), (7, "b", "ckpt"))), replay())
    assert (found.matches, found.apart) == (False, "the record has several roots of rank 0 behind step 3")
    ended = [update_fields(3)["fingerprints"][0] | {"end": hex64("before the edit")[:32]}]
    found = compared(record(altered={3: {"fingerprints": ended}}), replay())
    assert (found.matches, found.equal) == (False, 0)
    assert found.apart == "the state of rank 0 was another as the next step began: sum64-4096 parameters 0/1"


def test_another_root_behind_a_step_is_a_difference():
    assert compared(record(), replay(roots=((3, "c"),))).apart == "step 7 of rank 0: the root of its state is another"


def test_a_root_that_the_replay_lacks_leaves_the_stretch_unbound():
    assert compared(record(), replay(roots=())).apart == "step 7 of rank 0: the replay has no root of its state"


def test_a_replay_that_ended_early_is_none():
    found = compared(record(), replay(steps=3, roots=()))
    assert (found.matches, found.equal, found.apart) == (False, 3, "step 7 of rank 0: the replay did not make it")


def test_steps_that_a_replay_made_beyond_are_passed_over():
    assert compared(record(), replay(steps=6)).matches


def test_a_stretch_of_which_the_record_has_nothing_matches_nothing():
    assert not compared(record(steps=3, roots=()), replay()).matches


def test_what_was_changed_as_the_stretch_ended_shows_in_the_step_behind_it():
    """A rate is in no root: whoever resumes behind the change resumes with it."""
    changed = record(altered={8: {"groups": [{"lr": 9.0}]}})
    assert compared(changed, replay(steps=5)).matches
    found = compare_resumed(STRETCH, changed, 0, replay(steps=5), beyond=True)
    assert (found.matches, found.equal, found.steps) == (False, 4, 4)
    assert found.apart == "step 8 of rank 0: another groups"
    assert compare_resumed(STRETCH, record(), 0, replay(steps=5), beyond=True).matches


def test_a_stretch_whose_end_no_root_binds_is_not_compared_to_its_end():
    assert compared(record(roots=((3, "a", "ckpt"),)), replay()).apart == (
        "step 7 of rank 0: no root in the record binds its end"
    )


def test_an_edit_behind_the_last_step_is_another_root():
    edited = record(roots=((3, "a", "ckpt"), (7, "b", "step"), (7, "e", "ckpt")))
    assert compared(edited, replay()).apart == "step 7 of rank 0: the root of its state is another"


def test_only_the_first_step_may_have_batches_that_were_drawn_to_skip():
    used = update_fields(6)["batches"]
    assert not compared(record(), replay(altered={2: {"batches": [*used, *used]}})).matches
    assert not compared(record(altered={4: {"batches": []}}), replay()).matches


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_first_step_that_only_rounding_makes_another_is_not_apart(ranks):
    """Loss, norm and the state that it leaves are the machine's."""
    ends = [update_fields(4)["fingerprints"][0] | {"end": "0" * 32}]
    rounded = {"loss": 9.0, "gradient_norm": None, "fingerprints": ends}
    other = replay(altered={0: rounded, 1: {"groups": []}}, ranks=ranks)
    assert first_step_apart(STRETCH, record(ranks=ranks), 0, other) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"groups": []}, "another groups"),
        ({"losses": 2}, "another losses"),
        ({"skipped": True}, "another skipped"),
        ({"rng": {"python": hex64("python"), "torch": hex64("other")}}, "rng of torch"),
        ({"batches": []}, "other batches"),
        ({"inventory": hex64("hooks")}, "other hooks or modes are in force"),
    ],
)
def test_whatever_no_rounding_makes_is_apart_in_a_first_step_too(change, said):
    found = first_step_apart(STRETCH, record(), 0, replay(altered={0: change}))
    assert found == f"step 4 of rank 0: {said}"


def test_a_first_step_has_to_begin_with_the_state_of_the_record():
    assert first_step_apart(STRETCH, record(), 0, replay(began="c")) == (
        "the state that rank 0 resumed with is not bound by the root behind step 3"
    )
    begun = [update_fields(4)["fingerprints"][0] | {"start": "0" * 32}]
    assert first_step_apart(STRETCH, record(altered={4: {"fingerprints": begun}}), 0, replay()) == (
        "step 4 of rank 0: it began with another sum64-4096 parameters 0/1"
    )
    assert first_step_apart(STRETCH, record(), 0, replay(steps=0)) == "step 4 of rank 0: the replay did not make it"
    assert first_step_apart(STRETCH, record(steps=4), 0, replay()) == "the record has no step of it"


def test_a_rank_that_the_record_has_not_is_apart():
    found = first_step_apart(STRETCH, record(ranks=1), 0, replay(ranks=2))
    assert found == "the replay has ranks that the record has not"


@pytest.mark.parametrize(
    ("change", "is_rounding"),
    [
        ({}, False),
        ({"loss": 9.0}, True),
        ({"gradient_norm": None}, True),
        ({"loss": 9.0, "groups": []}, False),
        ({"rng": {"python": hex64("python"), "torch": hex64("other")}}, False),
    ],
)
def test_two_replays_are_apart_by_rounding_where_nothing_else_differs(change, is_rounding):
    assert are_apart_by_rounding(replay(), replay(altered={0: change})) is is_rounding
    assert are_apart_by_rounding(replay(), replay(altered={1: change})) is False  # in the first Step
    assert are_apart_by_rounding(replay(), replay(steps=0)) is False


def in_force(connection, digit, hooks):
    connection.send("inventory", inventory=digit * 64, hooks=hooks)
    return {"inventory": digit * 64}


@pytest.mark.parametrize(
    ("hooks", "said"), [([], None), (["deterministic=True"], "step 0 of rank 0: other hooks or modes are in force")]
)
def test_how_many_threads_there_are_is_the_machines_and_no_hook(hooks, said):
    def made(key, digit, threads, more):
        run = SimulatedRun() if key is None else SimulatedRun(key)
        connection = run.attach()
        root(connection, -1, "a", "attach")
        connection.update(**in_force(connection, digit, {"flags": [f"threads={threads}", *more]}))
        root(connection, 0, "b")
        connection.goodbye()
        return run.items()

    whole = Stretch(first=0, behind=1)
    mine, other = list(made(None, "1", 4, [])), list(made(REPLAY, "2", 1, hooks))
    assert first_step_apart(whole, mine, 0, other) == said
    exact = compare_resumed(whole, mine, 0, other).apart
    assert exact == (said or "step 0 of rank 0: torch has another number of threads")


@pytest.mark.parametrize(
    ("change", "other"),
    [
        ({}, False),
        ({"loss": update_fields(4)["loss"] * 1.001}, False),
        ({"loss": update_fields(4)["loss"] * 0.98}, True),
        ({"loss": "NaN"}, False),
        ({"loss": None}, False),
        ({"rng": {"python": hex64("python"), "torch": hex64("other")}}, True),
        ({"batches": []}, True),
    ],
)
def test_a_first_step_looks_as_if_it_had_other_data_where_more_than_rounding_is_apart(change, other):
    assert is_of_other_data(STRETCH, record(), 0, replay(altered={0: change})) is other
