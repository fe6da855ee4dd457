"""Gradients that ranks agree on, judged from records alone."""

from __future__ import annotations

import base64
import random
import struct

import pytest

from saksi.judgement.checks import means
from saksi.judgement.checks.judging import Judging
from saksi.judgement.checks.means import MEANS
from saksi.judgement.items import item_of
from saksi.words.codec import decode_record
from simulated_run import SimulatedRun, hex64

LAYOUT = "cd" * 16
KEY = hex64("key of the attempt")
SIZE = 24


def packed(numbers):
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def layout(key, size=SIZE):
    fields = {
        "layout": LAYOUT, "optimizer": 0, "rule": "torch.optim.sgd.SGD", "dtype": "torch.float32",
        "part": 0, "parts": 1, "tensors": [[0, 0, "weight", 100, size]], "left_out": {},
    }  # fmt: skip
    return fields if key is None else fields | {"key": key}


def prints(letter):
    return [{"name": "sum64-4096", "over": "parameters", "share": 0, "of": 1, "start": letter * 32, "end": letter * 32}]


def own_gradient(rank, step):
    """As a rank's backward left it."""
    draw = random.Random(f"{rank}/{step}")
    return [draw.gauss(0.3, 1.0) for _ in range(SIZE)]


def mean(own, _step):
    return [[sum(each) / len(own) for each in zip(*own, strict=True)]] * len(own)


def weighed(*weights, since=0, until=1_000, otherwise=mean):
    """Ranks that count so much, at these steps."""

    def make(own, step):
        if not since <= step < until:
            return otherwise(own, step)
        columns = zip(*own, strict=True)
        return [[sum(w * v for w, v in zip(weights, each, strict=True)) / len(own) for each in columns]] * len(own)

    return make


def scaled(make, factor, since=0):
    def scale(own, step):
        return [[v * factor if step >= since else v for v in each] for each in make(own, step)]

    return scale


def run_of(
    make=mean, *, ranks=2, steps=20, keys=None, starts=None, finished=True, gradient=own_gradient, changes=None,
    tensors=(1,), idle=lambda _rank, _step: [],
):  # fmt: skip
    """A run whose optimizers read what `make` makes of the ranks' own gradients."""
    simulated = SimulatedRun()
    keys = keys or [KEY] * ranks
    connections = [simulated.attach(rank, world_size=ranks) for rank in range(ranks)]
    for rank, connection in enumerate(connections):
        connection.send("sampled", **layout(keys[rank]))
    for step in range(steps):
        own = [gradient(rank, step) for rank in range(ranks)]
        reads = make(own, step)
        for rank, connection in enumerate(connections):
            left = packed(own[rank]) if finished and step else None  # nothing is followed before the first update
            before = {"parameter": packed([1.0] * SIZE), "gradient": packed(reads[rank])}
            connection.send(
                "sample", layout=LAYOUT, optimizer=0, update=step, idle=idle(rank, step), before=before,
                after={"parameter": packed([1.0] * SIZE)}, finished=left,
            )  # fmt: skip
            more = (changes or (lambda *_: {}))(rank, step)
            start = "a" if starts is None else starts[rank]
            fields = {"tensors": list(tensors), "gradient_norm": None, "fingerprints": prints(start)}
            connection.update(**fields | more)
        if step % 3 == 2:
            for connection in connections:
                connection.flush()
    for connection in connections:
        connection.goodbye()
    simulated.exit()
    return simulated


def judged(simulated):
    judging, news = Judging([MEANS]), []
    for index, entry in enumerate(simulated.entries):
        news += judging.take(item_of(index, decode_record(entry), simulated.blob))
    return judging.findings(ended=True), news


def said(simulated):
    return [(each.code, each.severity, each.first_step, each.last_step, each.ranks) for each in judged(simulated)[0]]


def test_the_mean_is_nothing_to_speak_of_also_clipped_and_also_of_many_ranks():
    assert judged(run_of()) == ((), [])
    assert judged(run_of(scaled(mean, 0.3, since=9))) == ((), [])
    assert judged(run_of(ranks=7)) == ((), [])


@pytest.mark.parametrize("weight", [-1.0, 0.5, 2.0])
def test_a_rank_that_counts_otherwise_is_named_from_its_first_step_on(weight):
    (found,), news = judged(run_of(weighed(1.0, weight, since=8)))
    assert (found.code, found.severity, found.first_step, found.last_step, found.ranks) == (
        "agreement.ranks_weighed", "warning", 8, 19, (1,),
    )  # fmt: skip
    assert f"rank 0: 1, rank 1: {weight:.3g} times" in found.message
    assert found.alleges == "unknown"
    assert [each.code for each in news] == [found.code]


def test_of_many_ranks_the_one_that_stands_out_is_named():
    (found,), _ = judged(run_of(weighed(1, 1, 0.5, 1, 1, since=7), ranks=5))
    assert found.ranks == (2,)


def test_a_rank_that_is_left_out_is_told():
    assert said(run_of(weighed(2.0, 0.0, since=6))) == [("agreement.ranks_weighed", "warning", 6, 19, (0, 1))]


def test_a_sum_in_the_place_of_the_mean_is_told():
    (found,), _ = judged(run_of(scaled(mean, 2.0, since=7)))
    assert (found.code, found.severity, found.first_step, found.last_step) == (
        "agreement.gradient_not_divided", "warning", 7, 19,
    )  # fmt: skip
    assert "2 times the mean" in found.message


def test_noise_that_is_added_behind_the_exchange_is_told_once_it_is_no_habit():
    def noisy(own, step):
        draw = random.Random(step)
        return [[v + draw.gauss(0, 1) for v in mean(own, step)[0]]] * len(own) if step >= 10 else mean(own, step)

    assert said(run_of(noisy)) == [("agreement.gradient_not_mean", "warning", 10, 19, (0, 1))]


def test_a_program_that_does_otherwise_from_its_first_updates_on_does_so_for_a_purpose():
    assert judged(run_of(weighed(1.5, 0.5))) == ((), [])
    assert judged(run_of(weighed(1.5, 0.5, since=3))) == ((), [])
    assert judged(run_of(scaled(mean, 2.0))) == ((), [])
    assert judged(run_of(scaled(mean, 2.0, since=4))) == ((), [])


def test_ranks_that_train_by_themselves_are_told_nothing():
    assert judged(run_of(lambda own, _: own, starts="ab")) == ((), [])


def test_gradients_that_are_not_exchanged_any_more_are_told_for_information():
    def alone(own, step):
        return mean(own, step) if step < 10 else own

    assert said(run_of(alone)) == [("agreement.gradient_not_mean", "info", 10, 19, (0, 1))]


def test_a_bad_batch_that_one_rank_leaves_out_is_told_for_information():
    assert said(run_of(weighed(1.0, 0.0, since=9, until=11))) == [("agreement.ranks_weighed", "info", 9, 10, (1,))]
    nothing = run_of(weighed(0.0, 0.0, since=9, until=15))
    assert said(nothing) == [("agreement.gradient_not_mean", "info", 9, 14, (0, 1))]


def test_ranks_that_clip_their_own_gradient_by_hand_now_and_then_are_told_for_information():
    def clipped(own, step):
        if step < 7:
            return mean(own, step)
        return weighed(1.0, 1.0 / (1 + step % 5), since=0)(own, step)

    assert {each[1] for each in said(run_of(clipped, steps=40))} == {"info"}


def test_ranks_that_clip_their_own_gradient_by_little_each_time_are_told_for_information():
    """Norms of large batches are nearly alike, and so are the weights that clipping to one of them makes."""

    def clipped(own, step):
        draw = random.Random(f"norms/{step}")
        norms = [1.0 + 0.01 * draw.random() for _ in own]
        return weighed(*(0.05 / norm for norm in norms))(own, step) if step >= 8 else mean(own, step)

    found = said(run_of(clipped, steps=40))
    assert {each[1] for each in found} == {"info"}, found


def test_ranks_that_exchange_in_parts_are_told_for_information():
    def in_pairs(own, step):
        if step < 8:
            return mean(own, step)
        return [mean(own[at : at + 2], step)[0] for at in (0, 0, 2, 2)]

    found = said(run_of(in_pairs, ranks=4))
    assert [(each[0], each[1]) for each in found] == [("agreement.gradient_not_mean", "info")]


def test_elements_that_are_others_at_one_update_are_told_and_those_behind_are_compared():
    simulated = run_of(weighed(1.0, 0.5, since=12), idle=lambda rank, step: [0] if (rank, step) == (1, 9) else [])
    found = said(simulated)
    assert ("agreement.means_not_compared", "info", 9, 9, (0, 1)) in found
    assert [each[:3] for each in found if each[1] == "warning"] == [("agreement.ranks_weighed", "warning", 12)]


def test_ranks_that_clip_their_own_gradient_before_the_exchange_are_nothing_to_speak_of():
    def coefficient(rank, step):
        return 0.25 if rank and step >= 8 else 1.0

    def norm(rank, step):
        value = coefficient(rank, step)
        return {"gradient_norm": {"value": 1.0 / value, "max_norm": 1.0, "coefficient": value}}

    assert judged(run_of(weighed(1.0, 0.25, since=8), changes=norm)) == ((), [])


def test_ranks_that_count_as_much_as_they_had_samples_are_nothing_to_speak_of():
    def batches(rank, step):
        items = 2 if rank and step % 10 == 9 else 6
        batch = {"loader": 0, "ordinal": step, "digest": f"sha256:{hex64('b')}", "items": items, "ids": None}
        return {"batches": [batch]}

    def by_samples(own, step):
        return weighed(1.5, 0.5)(own, step) if step % 10 == 9 else mean(own, step)

    assert judged(run_of(by_samples, changes=batches, steps=31)) == ((), [])
    found = said(run_of(by_samples, steps=31))
    assert [(each[0], each[1]) for each in found] == [("agreement.ranks_weighed", "info")]


def test_clipping_of_each_layer_that_begins_late_is_told_for_information():
    def by_layer(own, step):
        half = SIZE // 2
        return [[*each[:half], *(v * 0.25 for v in each[half:])] if step >= 12 else each for each in mean(own, step)]

    assert [each[:2] for each in said(run_of(by_layer))] == [("agreement.gradient_not_mean", "info")]


def test_a_scaler_changes_its_factor_and_nothing_is_said_of_it():
    def scaling(own, step):
        return [[v * (2.0**-16 if step < 12 else 2.0**-15) for v in each] for each in mean(own, step)]

    assert judged(run_of(scaling)) == ((), [])
    grown = scaled(mean, 2.0, since=12)
    assert judged(run_of(grown, changes=lambda _, step: {"skipped": step == 11})) == ((), [])


def test_gradients_that_were_exchanged_inside_of_the_backward_are_not_judged_here():
    together = run_of(weighed(1.0, 0.5, since=9), gradient=lambda _, step: own_gradient(0, step))
    assert judged(together) == ((), [])


def test_gradients_that_are_exchanged_in_a_coarser_type_are_learned_to_be_so():
    def coarse(own, step):
        return [[struct.unpack("<f", b"\0\0" + struct.pack("<f", v)[2:])[0] for v in mean(own, step)[0]]] * 2

    assert judged(run_of(coarse)) == ((), [])

    def turned(own, step):
        return [[-v for v in each] for each in coarse(own, step)] if step >= 12 else coarse(own, step)

    assert [each[:3] for each in said(run_of(turned))] == [("agreement.gradient_not_mean", "warning", 12)]


def test_where_the_backward_is_not_followed_nothing_is_compared():
    assert judged(run_of(weighed(1.0, 0.5, since=9), finished=False)) == ((), [])


def test_elements_that_were_drawn_with_keys_of_their_own_are_not_compared():
    found, _ = judged(run_of(weighed(1.0, 0.5, since=9), keys=[KEY, None]))
    assert [(each.code, each.severity) for each in found] == [("agreement.means_not_compared", "info")]
    assert judged(run_of(weighed(1.0, 0.5, since=9), keys=[KEY, hex64("of another agent")])) == ((), [])


def test_ranks_that_read_the_same_gradients_and_began_with_other_parameters_are_told():
    (found,), news = judged(run_of(starts="ab"))
    assert (found.code, found.severity, found.first_step, found.last_step, found.ranks) == (
        "agreement.replicas_differ", "warning", 0, 19, (0, 1),
    )  # fmt: skip
    assert len(news) == 1
    assert said(run_of(starts="aba", ranks=3))[0][4] == (1,)


def test_ranks_whose_other_tensors_are_not_seen_may_be_shards_and_are_not_taken_for_replicas():
    assert judged(run_of(starts="ab", tensors=(1, 1))) == ((), [])


def test_ranks_without_any_gradient_are_not_taken_for_replicas():
    zero = run_of(lambda own, _: [[0.0] * SIZE] * len(own), starts="ab", finished=False)
    assert judged(zero) == ((), [])


def test_a_rank_that_connects_anew_goes_on_being_compared():
    simulated = SimulatedRun()
    connections = [simulated.attach(rank, world_size=2) for rank in range(2)]
    for step in range(16):
        own = [own_gradient(rank, step) for rank in range(2)]
        for rank, connection in enumerate(connections):
            if step in {0, 9}:
                connection.send("sampled", **layout(KEY))
            before = {"parameter": packed([1.0] * SIZE), "gradient": packed(weighed(1.0, -1.0, since=11)(own, step)[0])}
            connection.send(
                "sample", layout=LAYOUT, optimizer=0, update=step, idle=[], before=before,
                after={"parameter": packed([1.0] * SIZE)}, finished=packed(own[rank]) if step else None,
            )  # fmt: skip
            connection.update(gradient_norm=None)
        if step == 8:
            connections[1].vanish()
            connections[1] = simulated.reattach(connections[1], world_size=2)
    for connection in connections:
        connection.goodbye()
    simulated.exit()
    assert said(simulated) == [("agreement.ranks_weighed", "warning", 11, 15, (1,))]


def test_what_waits_for_ranks_of_another_host_is_let_go_for_good(monkeypatch):
    monkeypatch.setattr(means, "MAX_WAITING", 2_000)
    simulated = SimulatedRun()
    connection = simulated.attach(0, world_size=2)
    for _ in range(200):
        connection.update()
    connection.flush()
    simulated.exit()
    judging = Judging([MEANS])
    for index, entry in enumerate(simulated.entries):
        judging.take(item_of(index, decode_record(entry), simulated.blob))
    state = judging.state_of(MEANS)
    assert (state.waiting, [len(each.waiting) for each in state.groups.values()]) == (0, [0])
