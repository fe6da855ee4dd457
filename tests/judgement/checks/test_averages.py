"""Averages judged from records alone: what followed the weights goes on doing so."""

from __future__ import annotations

import base64
import random
import struct

import pytest

from saksi.judgement.checks.averages import AVERAGES, LEARNED, STOOD_STILL
from saksi.judgement.checks.judging import Judging
from saksi.judgement.items import item_of
from saksi.words.codec import decode_record
from simulated_run import SimulatedRun

COUNT = 8
LAYOUT = "ab" * 16
NOTHING = {"path": None, "digest": None, "size": None, "device": None, "inode": None, "mtime_ns": None}


def single(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def packed(values):
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


class Program:
    """Weights that move at random, and an average of them that moves as it is told, between every two updates."""

    def __init__(self, *, optimizer=0, since=0):
        self.simulated = SimulatedRun()
        self.connection = self.simulated.attach()
        self.random = random.Random(7)
        self.weights = [self.random.gauss(0, 1) for _ in range(COUNT)]
        self.average = list(self.weights)
        self.optimizer = optimizer
        self.update = since
        self.connection.updates[optimizer] = since
        tensors = [["module 1", "module.0.weight", 0, 0, 640, COUNT]]
        self.connection.send(
            "averaged", layout=LAYOUT, optimizer=optimizer, update=0, dtype="torch.float32",
            parameter_dtype="torch.float32", part=0, parts=1, tensors=tensors,
        )  # fmt: skip

    def pace(self, pace):
        return [single(a + pace * (w - a)) for a, w in zip(self.average, self.weights, strict=True)]

    def step(self, after=None, *, later=None, loads=False):
        """One update; the average is `after` as the next one begins: what it makes of the new weights."""
        start = self.weights
        self.weights = [single(each + self.random.gauss(0, 0.1)) for each in start]
        end, before = self.weights, self.average
        self.connection.update(optimizer=self.optimizer)
        if loads:
            self.connection.send("ckpt", action="loaded", step=self.update, **NOTHING)
        self.average = before if after is None else after(self)
        if self.average != before:
            self.connection.send(
                "average", layout=LAYOUT, optimizer=self.optimizer, update=self.update, before=packed(before),
                after=packed(self.average), start=packed(start), end=packed(end),
                later="" if later is None else packed(later),
            )  # fmt: skip
        self.weights = self.weights if later is None else later
        self.update += 1

    def follow(self, times, pace=0.1):
        for _ in range(times):
            self.step(lambda program: program.pace(pace))

    def judged(self):
        self.connection.update(optimizer=self.optimizer)
        self.connection.goodbye()
        self.simulated.exit()
        judging, news = Judging([AVERAGES]), []
        for index, entry in enumerate(self.simulated.entries):
            news += judging.take(item_of(index, decode_record(entry), self.simulated.blob))
        found = judging.findings(ended=True)
        assert {each.code for each in news} == {each.code for each in found}
        return [(each.code.removeprefix("state."), each.severity, each.first_step, each.last_step) for each in found]


def scaled(program):
    return [single(each * 0.9) for each in program.average]


def one_edited(program):
    return [program.average[0] + 0.5, *program.average[1:]]


@pytest.mark.parametrize("pace", [1e-3, 0.1, 1.0])
def test_an_average_that_follows_is_nothing_to_speak_of(pace):
    program = Program()
    program.follow(30, pace)
    assert program.judged() == []


@pytest.mark.parametrize("edit", [scaled, one_edited, lambda program: [0.0] * COUNT])
def test_an_edit_of_what_followed_is_told_at_the_step_that_begins_with_it(edit):
    program = Program()
    program.follow(10)
    program.step(edit)
    program.follow(5)
    assert program.judged() == [("average_differs", "warning", 11, 11)]


def test_an_edit_behind_the_average_of_the_same_step_is_seen():
    program = Program()
    program.follow(10)
    program.step(lambda p: [single(each * 0.9) for each in p.pace(0.1)])
    assert program.judged() == [("average_differs", "warning", 11, 11)]


def test_of_another_optimizer_there_is_no_step():
    program = Program(optimizer=1)
    program.follow(10)
    program.step(scaled)
    assert program.judged() == [("average_differs", "warning", None, None)]


def test_what_has_not_followed_often_enough_is_not_held_to_it():
    program = Program()
    program.follow(LEARNED - 1)
    program.step(scaled)
    program.follow(20)
    program.step(scaled)
    assert program.judged() == []


def test_an_average_every_few_steps_that_stands_still_between_follows():
    program = Program()
    for _ in range(12):
        program.step()
        program.step()
        program.step(lambda p: p.pace(0.2))
    assert program.judged() == []
    program = Program()
    for _ in range(LEARNED):
        program.step()
        program.step(lambda p: p.pace(0.2))
    program.step(one_edited)
    assert program.judged() == [("average_differs", "warning", 2 * LEARNED + 1, 2 * LEARNED + 1)]


def test_a_target_that_is_copied_now_and_then_follows():
    program = Program()
    for _ in range(10):
        program.step()
        program.step(lambda p: p.pace(1.0))
    assert program.judged() == []


def test_a_mean_of_all_states_slows_down_and_follows():
    program = Program()
    for n in range(60):
        program.step(lambda p, n=n: p.pace(1 / (n + 1)))
    assert program.judged() == []


def test_averages_of_the_weights_before_and_behind_the_next_update_follow():
    program = Program()
    for _ in range(20):
        before = list(program.weights)
        program.step(lambda p, w=before: [single(a + 0.1 * (b - a)) for a, b in zip(p.average, w, strict=True)])
    assert program.judged() == []


def test_weights_that_are_exchanged_for_their_average_are_left_to_continuity():
    program = Program()
    program.follow(10)
    average = list(program.average)
    program.step(lambda p: list(p.weights), later=average)
    program.step(lambda p: list(p.weights), later=list(program.average))
    program.follow(10)
    assert [each for each in program.judged() if each[1] != "info"] == []


def test_what_was_loaded_is_no_edit():
    program = Program()
    program.follow(10)
    program.step(scaled, loads=True)
    program.follow(5)
    assert program.judged() == []


def test_another_pace_is_told_and_no_more():
    program = Program()
    program.follow(10, 0.1)
    program.follow(10, 0.9)
    assert program.judged() == [("average_pace_changed", "info", 11, 11)]


def test_a_first_copy_is_no_pace():
    program = Program()
    program.step(lambda p: p.pace(1.0))
    program.follow(10, 0.1)
    program.step(lambda p: p.pace(1.0))
    assert program.judged() == [("average_pace_changed", "info", 12, 12)]


def test_elements_that_stand_still_while_others_follow_are_told_and_no_more():
    program = Program()
    program.follow(10)
    program.step(lambda p: [*p.average[:3], *p.pace(0.1)[3:]])
    assert program.judged() == [("average_pace_changed", "info", 11, 11)]


def test_what_stood_still_and_changes_once_is_told_and_no_more():
    program = Program(since=STOOD_STILL)
    program.step(scaled)
    program.step()
    assert program.judged() == [("untrained_changed", "info", STOOD_STILL + 1, STOOD_STILL + 1)]


def test_what_the_program_does_with_it_in_ways_of_its_own_from_the_first_on_is_its_own():
    program = Program()
    for _ in range(20):
        program.step(lambda p: [single(each * 0.9) for each in p.pace(0.1)])
    assert program.judged() == []


@pytest.mark.parametrize(
    "changes",
    [{"before": "x"}, {"after": ""}, {"end": packed([1.0])}, {"optimizer": 3}, {"layout": "cd" * 16}],
)
def test_what_does_not_fit_its_layout_is_not_judged(changes):
    program = Program()
    program.follow(10)
    values = packed([1.0] * COUNT)
    fields = {"layout": LAYOUT, "optimizer": 0, "update": 10, "before": values, "after": packed([2.0] * COUNT)}
    program.connection.send("average", **{**fields, "start": values, "end": values, "later": "", **changes})
    assert program.judged() == []


def test_moves_after_many_small_batches_are_rounded_the_same_way_and_follow():
    def many(program):
        average = program.average
        for _ in range(64):
            average = [single(a + single(1e-3 * single(w - a))) for a, w in zip(average, program.weights, strict=True)]
        return average

    program = Program()
    for _ in range(60):
        program.step(many)
    assert [each for each in program.judged() if each[1] == "warning"] == []


def test_a_copy_that_is_filled_from_another_one_is_told_and_no_more():
    program = Program()
    program.follow(10, 1.0)
    program.step(lambda p: [single(each - 0.7) for each in p.average])
    assert program.judged() == [("average_differs", "info", 11, 11)]
