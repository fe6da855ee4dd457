"""What is loaded beside what was saved, judged from records alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgement.checks.ckpt_runs import Disk, judged, stream
from saksi.judgement.checks.ckpts import CKPTS
from simulated_run import SimulatedRun

DIFFERS, ROLLED_BACK = "ckpt.content_differs", "ckpt.rolled_back"


class Training:
    """One process that trains, saves and loads."""

    def __init__(self) -> None:
        self.run = SimulatedRun()
        self.disk = Disk(self.run)
        self.process = self.run.attach()

    def steps(self, count: int = 1) -> None:
        for _ in range(count):
            self.process.update()

    def save(self, path: str, content: str, **how):
        self.disk.save(self.process, path, content, **how)

    def load(self, path: str, **how):
        self.disk.load(self.process, path, **how)

    def fail_to_load(self, path: str):
        self.disk.say(self.process, "unread", path)

    def again(self, *, killed: bool = False) -> None:
        """The next attempt."""
        if killed:
            self.process.vanish()
        else:
            self.process.goodbye()
        self.run.exit()
        self.run.resume()
        self.process = self.run.attach(pid=4100 + self.run.attempt)

    def said(self):
        self.process.goodbye()
        self.run.exit()
        found, _ = judged(self.run, CKPTS)
        return [(each.code, each.severity, each.first_step, each.subject) for each in found]


@pytest.fixture
def training():
    return Training()


def test_what_is_loaded_as_it_was_saved_is_nothing_to_speak_of(training):
    training.steps(3)
    training.save("last.pt", "one")
    training.load("last.pt")
    training.steps(2)
    assert training.said() == []


def test_a_file_that_was_edited_is_told_at_the_step_that_works_with_it(training):
    training.steps(3)
    training.save("last.pt", "one")
    training.disk.write("last.pt", "two")
    training.load("last.pt")
    training.steps(2)
    assert training.said() == [(DIFFERS, "warning", 3, "last.pt")]


@pytest.mark.parametrize("first", ["frame", "record"])
def test_a_file_that_was_edited_before_the_agent_read_it_is_known_by_what_the_recorder_read(training, first):
    training.save("last.pt", "one", read=False, first=first)
    training.disk.write("last.pt", "two")
    training.load("last.pt", first=first)
    assert training.said() == [(DIFFERS, "warning", 0, "last.pt")]


def test_a_file_that_was_cut_short_and_could_not_be_loaded_is_told(training):
    training.steps(3)
    training.save("last.pt", "one")
    training.fail_to_load("last.pt")
    training.disk.write("last.pt", "o")
    training.fail_to_load("last.pt")
    training.process.goodbye()
    training.run.exit()
    ((found,), _) = judged(training.run, CKPTS)
    assert (found.code, found.severity, found.first_step) == (DIFFERS, "warning", 3)
    assert "could not be loaded" in found.message


def test_what_could_be_loaded_another_way_is_told_as_loaded(training):
    training.save("last.pt", "one")
    training.steps(3)
    training.save("last.pt", "two")
    training.disk.write("last.pt", "one")
    training.fail_to_load("last.pt")
    training.load("last.pt")
    training.steps(2)
    assert training.said() == [("ckpt.rolled_back", "warning", 3, "last.pt")]


def test_a_save_that_raised_may_have_left_part_of_a_file(training):
    training.steps(3)
    training.save("last.pt", "one")
    training.process.send("uncovered", what="model checkpoints that were not saved", reason="it raised", step=2)
    training.disk.write("last.pt", "o")
    training.fail_to_load("last.pt")
    training.steps(2)
    assert training.said() == [(DIFFERS, "info", 3, "last.pt")]


@pytest.mark.parametrize("tries", ["fail_to_load", "load"])
@pytest.mark.parametrize("goes_on", [False, True])
def test_what_another_process_may_be_writing_just_then_is_told_as_info(training, tries, goes_on):
    training.steps(3)
    training.save("last.pt", "one")
    trainer, training.process = training.process, training.run.attach(1, world_size=2, pid=4300)
    training.disk.write("last.pt", "o")
    getattr(training, tries)("last.pt")
    if goes_on:
        training.disk.save(trainer, "last.pt", "two")
    trainer.goodbye()
    assert training.said()[:1] == [(DIFFERS, "info" if goes_on or tries == "fail_to_load" else "warning", 0, "last.pt")]


def test_an_older_content_that_could_not_be_loaded_is_told_as_info(training):
    training.save("last.pt", "one")
    training.steps(3)
    training.save("last.pt", "two")
    training.disk.write("last.pt", "one")
    training.fail_to_load("last.pt")
    training.steps(2)
    assert training.said() == [("ckpt.rolled_back", "info", 3, "last.pt")]


def test_where_nobody_read_what_was_saved_a_file_that_was_written_to_is_told_as_info(training):
    training.save("last.pt", "one", read=False, known=False)
    training.disk.write("last.pt", "two")
    training.load("last.pt")
    assert training.said() == [(DIFFERS, "info", 0, "last.pt")]


def test_where_nobody_read_what_was_saved_the_same_file_in_the_same_state_counts_as_it(training):
    training.save("last.pt", "one", read=False, known=False)
    training.load("last.pt")
    assert training.said() == []


def test_a_later_attempt_that_loads_other_bytes_is_told(training):
    training.steps(3)
    training.save("last.pt", "one")
    training.again()
    training.disk.write("last.pt", "two")
    training.load("last.pt")
    training.steps(2)
    assert training.said() == [(DIFFERS, "warning", 0, "last.pt")]


def test_what_a_process_that_was_killed_may_have_written_last_is_told_as_info(training):
    training.steps(3)
    training.save("last.pt", "one")
    training.steps(1)
    training.process.flush()
    training.disk.write("last.pt", "two")
    training.again(killed=True)
    training.load("last.pt")
    training.steps(2)
    assert training.said() == [(DIFFERS, "info", 0, "last.pt")]


def test_what_was_written_after_a_process_was_killed_was_not_written_by_it(training):
    training.save("last.pt", "one")
    training.again(killed=True)
    training.disk.write("last.pt", "two")
    training.load("last.pt")
    assert training.said() == [(DIFFERS, "warning", 0, "last.pt")]


def test_where_records_were_lost_there_may_have_been_a_save(training):
    training.save("last.pt", "one")
    training.process.drop_update()
    training.disk.write("last.pt", "two")
    training.load("last.pt")
    assert training.said() == [(DIFFERS, "info", 1, "last.pt")]


@pytest.mark.parametrize("how", ["renamed", "copied", "streamed", "streamed late"])
def test_a_content_that_the_run_saved_may_lie_anywhere(training, how):
    training.save("last.pt", "one")
    training.steps(2)
    if how == "renamed":
        training.save("tmp", "two")
        training.disk.move("tmp", "last.pt")
    elif how == "copied":
        training.save("best.pt", "two")
        training.disk.copy("best.pt", "last.pt")
    else:
        stream(training.process, "two")
        if how == "streamed":
            training.process.flush()
        training.disk.write("last.pt", "two")
    training.load("last.pt", first="record" if how == "streamed late" else "frame")
    training.steps(2)
    assert training.said() == []


def test_a_file_that_the_run_never_saved_is_not_judged(training):
    training.save("last.pt", "one")
    training.disk.write("base.pt", "from elsewhere")
    training.load("base.pt")
    training.steps(2)
    assert training.said() == []


def test_an_older_file_in_the_place_of_the_last_one_is_told(training):
    training.steps(3)
    training.save("old.pt", "one")
    training.steps(3)
    training.save("last.pt", "two")
    training.disk.move("old.pt", "last.pt")
    training.load("last.pt")
    training.steps(2)
    assert training.said() == [(ROLLED_BACK, "warning", 6, "last.pt")]


def test_an_older_file_that_is_loaded_at_the_end_is_told_as_info(training):
    training.save("best.pt", "one")
    training.steps(3)
    training.save("model.pt", "two")
    training.disk.copy("best.pt", "model.pt")
    training.load("model.pt")
    assert training.said() == [(ROLLED_BACK, "info", 3, "model.pt")]


def test_the_best_weights_are_loaded_again_at_the_end_or_in_between(training):
    for step in range(4):
        training.steps(2)
        training.save("last.pt", f"{step}")
        if step == 1:
            training.save("best.pt", "best")
    training.load("best.pt")
    training.steps(2)
    training.load("best.pt")
    assert training.said() == []


def test_a_resume_of_the_last_one_is_nothing_to_speak_of(training):
    for step in range(3):
        training.steps(2)
        training.save(f"step{step}.pt", f"{step}")
        training.save("last.pt", f"{step}")
    training.again()
    training.load("last.pt")
    training.steps(2)
    assert training.said() == []


def test_a_resume_of_an_older_one_is_told_as_info(training):
    for step in range(3):
        training.steps(2)
        training.save(f"step{step}.pt", f"content {step}")
    training.again()
    training.load("step1.pt")
    training.steps(2)
    assert training.said() == [(ROLLED_BACK, "info", 0, "step1.pt")]


def test_model_and_optimizer_in_two_files_are_one_resume(training):
    for step in range(3):
        training.steps(2)
        training.save("model.pt", f"model {step}")
        training.save("optimizer.pt", f"optimizer {step}")
    training.again()
    training.load("model.pt")
    training.load("optimizer.pt")
    training.steps(2)
    assert training.said() == []


def test_ranks_that_save_to_one_path_leave_nothing_certain(training):
    other = training.run.attach(1, world_size=2)
    training.save("last.pt", "one")
    training.disk.save(other, "last.pt", "two")
    other.goodbye()
    training.disk.write("last.pt", "three")
    training.load("last.pt")
    assert training.said() == [(DIFFERS, "info", 0, "last.pt")]


def test_another_rank_loads_what_the_first_saved(training):
    training.steps(2)
    training.save("last.pt", "one")
    training.save("last.pt", "two")
    other = training.run.attach(1, world_size=2)
    training.disk.load(other, "last.pt")
    other.update()
    other.goodbye()
    assert training.said() == []


def test_it_is_news_a_minute_later_once_no_save_from_before_can_come(training):
    training.save("last.pt", "one")
    training.disk.write("last.pt", "two")
    training.load("last.pt")
    assert judged(training.run, CKPTS, ended=False) == ((), [])
    training.run.wait(61)
    training.steps(1)
    training.process.flush()
    found, news = judged(training.run, CKPTS, ended=False)
    assert [each.code for each in found] == [each.code for each in news] == [DIFFERS]
    training.process.goodbye()
    assert [each.code for each in judged(training.run, CKPTS)[0]] == [DIFFERS]


ACTS = st.lists(
    st.sampled_from(["step", "save", "save whole", "keep best", "load", "load best", "stream", "again", "killed"]),
    max_size=30,
)


@given(ACTS, st.booleans(), st.sampled_from(["frame", "record"]))
def test_an_honest_sequence_of_saves_and_loads_never_weighs_against_anybody(acts, read, first):
    training = Training()
    disk = training.disk
    for number, act in enumerate(acts):
        if act == "step":
            training.steps()
        elif act == "save":
            training.save("last.pt", f"{number}", read=read, first=first)
        elif act == "save whole":  # under another name first
            training.save("tmp", f"{number}", read=read, first=first)
            disk.move("tmp", "last.pt")
        elif act == "keep best" and "last.pt" in disk.files:
            disk.copy("last.pt", "best.pt")
        elif act == "load" and "last.pt" in disk.files:
            training.load("last.pt", first=first)
        elif act == "load best" and "best.pt" in disk.files:
            training.load("best.pt", first=first)
        elif act == "stream":
            stream(training.process, f"{number}")
            disk.write("last.pt", f"{number}")
        elif act in ("again", "killed"):
            training.again(killed=act == "killed")
    assert [each for each in training.said() if each[1] != "info"] == []
