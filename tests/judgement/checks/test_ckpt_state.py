"""The state at a save beside that with which training goes on behind a load, judged from records alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgement.checks.ckpt_runs import Disk, judged
from judgement.continuation.seam import say_root
from saksi.judgement.checks.ckpt_state import CKPT_STATES
from simulated_run import SimulatedRun

WHOLE = {"parameters": 3, "of_parameters": 3, "state": 6, "of_state": 6}
WEIGHTS = WHOLE | {"state": 0}
ADAM = "torch.optim.adam.Adam"
TRAIN, TUNE = ["python3", "train.py"], ["python3", "tune.py"]


def state_of(step: int, *, moments: int | None = None, counters: int | None = None, fresh: bool = False) -> dict:
    """Weights of one step, with moments and counters of the same or another one; without any if `fresh`."""
    found = {}
    for index in range(3):
        key = f"0/0/{index}"
        found[key] = f"weight {index} of {step}"
        if not fresh:
            found[f"{key}/exp_avg"] = f"moment {index} of {step if moments is None else moments}"
            found[f"{key}/step"] = f"{step if counters is None else counters}"
    return found


class Training:
    """One process at a time: it trains, saves everything it has, and loads."""

    def __init__(self, *, command: list[str] = TRAIN) -> None:
        self.run = SimulatedRun()
        self.disk = Disk(self.run)
        self.begin(command)

    def begin(self, command=TRAIN, *, name: str = ADAM, world_size: int = 1, pid: int = 4000) -> None:
        self.step = -1
        self.process = self.run.attach(pid=pid, world_size=world_size)
        if command is not None:
            self.run.process(pid, command=command, attached=True)
        about = {"ordinal": 0, "class_name": name, "file": None, "groups": 1, "tensors": 3, "defaults": {}}
        self.process.send("optimizer", **about)

    def steps(self, count: int = 1) -> None:
        for _ in range(count):
            if self.step < 0:
                self.root("attach", state_of(self.step, fresh=True))
            self.go_on()

    def go_on(self) -> None:
        self.process.update()
        self.step += 1

    def root(self, at: str, values: dict, **how) -> None:
        say_root(self.process, at=at, step=self.step, values=values, **how)

    def save(self, path: str = "last.pt", content: str | None = None, *, holds=WHOLE, **how) -> None:
        self.disk.save(self.process, path, content or f"state {self.step}", holds=holds)
        self.root("ckpt", state_of(self.step), **how)

    def load(self, path: str = "last.pt") -> None:
        self.disk.load(self.process, path)

    def again(self, *args, new_attempt: bool = True, **how) -> None:
        self.process.goodbye()
        if new_attempt:
            self.run.exit()
            self.run.resume()
        self.begin(*args, pid=5000, **how)

    def resume_with(self, values: dict) -> None:
        """The first update of a process that loaded something."""
        self.root("attach", values)
        self.go_on()

    def go_on_with(self, values: dict, *, before: dict | None) -> None:
        """The first update behind a load while training went on."""
        if before is not None:
            self.root("load", before)
        self.root("resumed", values)
        self.go_on()

    def findings(self):
        self.process.goodbye()
        self.run.exit()
        return judged(self.run, CKPT_STATES)[0]

    def said(self):
        return [(each.code, each.severity, each.first_step, each.subject) for each in self.findings()]


@pytest.fixture
def training():
    return Training()


def told(severity: str, step: int):
    return [("ckpt.state_differs", severity, step, "last.pt")]


def saved_and_begun_again(training, **how):
    training.steps(4)
    training.save(holds=how.pop("holds", WHOLE))
    training.again(**how)
    training.load()


def test_a_resume_with_everything_is_nothing_to_speak_of(training):
    saved_and_begun_again(training)
    training.resume_with(state_of(3))
    assert training.said() == []


def test_a_resume_without_the_optimizers_state_is_told(training):
    saved_and_begun_again(training)
    training.resume_with(state_of(3, fresh=True))
    (found,) = training.findings()
    assert (found.severity, found.first_step, found.alleges) == ("warning", 0, "unknown")
    assert (
        "of 6 tensors of the optimizer's state that the file held 6 are missing: exp_avg of layer0.weight"
        in found.message
    )


@pytest.mark.parametrize("part", ["moments", "counters"])
def test_a_resume_with_other_moments_or_counters_is_told(training, part):
    saved_and_begun_again(training)
    training.resume_with(state_of(3, **{part: 0}))
    assert training.said() == told("warning", 0)


def test_one_weight_that_is_another_is_named_as_info(training):
    saved_and_begun_again(training)
    training.resume_with(state_of(3) | {"0/0/1": "edited"})
    (found,) = training.findings()
    assert found.severity == "info"
    assert "but for 1 of 3 parameters, which are others: layer1.weight" in found.message


@pytest.mark.parametrize(
    ("case", "how", "state"),
    [
        ("from another optimizer", {"name": "torch.optim.sgd.SGD"}, state_of(3, fresh=True)),
        ("of a file of weights alone", {"holds": WEIGHTS}, state_of(3, fresh=True)),
        ("of a file of copies", {"holds": None}, state_of(3, fresh=True)),
        ("among more ranks", {"world_size": 2}, state_of(3, fresh=True)),
        ("from other weights", {}, state_of(7, fresh=True)),
        ("of another model", {}, {"0/0/0": "another"}),
    ],
)
def test_a_start_that_is_no_resume_is_not_judged(training, case, how, state):
    saved_and_begun_again(training, **how)
    training.resume_with(state)
    assert training.said() == [], case


@pytest.mark.parametrize(
    ("how", "severity"),
    [
        ({"new_attempt": True, "command": [*TRAIN, "--resume"]}, "warning"),
        ({"new_attempt": True, "command": TUNE}, "info"),
        ({"new_attempt": False, "command": TRAIN}, "warning"),
        ({"new_attempt": False, "command": [*TRAIN, "--stage", "2"]}, "info"),
        ({"new_attempt": False, "command": None}, "info"),
    ],
)
def test_it_weighs_where_the_same_program_goes_on(training, how, severity):
    saved_and_begun_again(training, **how)
    training.resume_with(state_of(3, fresh=True))
    assert training.said() == told(severity, 0)


def test_the_best_state_put_back_while_training_goes_on_is_nothing_to_speak_of(training):
    training.steps(4)
    training.save()
    training.steps(4)
    training.load()
    training.go_on_with(state_of(3), before=state_of(7))
    assert training.said() == []


def test_weights_put_back_alone_leave_the_moments_as_they_were(training):
    training.steps(4)
    training.save()
    training.steps(4)
    training.load()
    training.go_on_with(state_of(3, moments=7, counters=7), before=state_of(7))
    assert training.said() == []


def test_moments_that_are_neither_as_saved_nor_as_before_are_told(training):
    training.steps(4)
    training.save()
    training.steps(4)
    training.load()
    training.go_on_with(state_of(3, moments=99), before=state_of(7))
    assert training.said() == told("warning", 8)


def test_where_the_state_before_is_not_known_it_is_told_as_info(training):
    training.steps(4)
    training.save()
    training.steps(4)
    training.load()
    training.go_on_with(state_of(3, moments=99), before=None)
    assert training.said() == told("info", 8)


def test_what_is_loaded_just_after_it_was_saved_needs_no_other_root(training):
    training.steps(4)
    training.save()
    training.load()
    training.go_on_with(state_of(3, moments=99), before=None)
    assert training.said() == told("warning", 4)


def test_an_average_of_several_files_is_not_judged(training):
    for path in ("first.pt", "last.pt"):
        training.steps(4)
        training.save(path)
    for path in ("first.pt", "last.pt"):
        training.load(path)
    training.go_on_with(state_of(7, moments=99), before=state_of(7))
    assert training.said() == []


def test_model_and_optimizer_in_two_files_are_one(training):
    training.steps(4)
    training.save("model.pt", "model", holds=WEIGHTS)
    training.disk.save(training.process, "last.pt", "moments", holds=WHOLE | {"parameters": 0})
    training.again()
    training.load("last.pt")
    training.load("model.pt")
    training.resume_with(state_of(3, fresh=True))
    assert training.said() == told("warning", 0)


def test_weights_alone_of_two_files_are_a_start_from_weights(training):
    training.steps(4)
    training.save("model.pt", "model", holds=WEIGHTS)
    training.disk.save(training.process, "last.pt", "moments", holds=WHOLE | {"parameters": 0})
    training.again()
    training.load("model.pt")
    training.resume_with(state_of(3, fresh=True))
    assert training.said() == []


def test_without_the_digest_of_each_tensor_nothing_is_compared(training):
    training.steps(4)
    training.save(leaves=False)
    training.again()
    training.load()
    training.resume_with(state_of(3, fresh=True))
    assert training.said() == []


def test_it_is_news_as_soon_as_it_is_known(training):
    saved_and_begun_again(training)
    training.resume_with(state_of(3, fresh=True))
    training.process.flush()
    found, news = judged(training.run, CKPT_STATES, ended=False)
    assert [each.code for each in found] == [each.code for each in news] == ["ckpt.state_differs"]


ACTS = st.lists(st.sampled_from(["steps", "save", "put back", "weights back", "again", "warm start"]), max_size=20)


@given(ACTS)
def test_an_honest_sequence_of_saves_and_loads_is_nothing_to_speak_of(acts):
    training, kept = Training(), None
    live = state_of(-1, fresh=True)
    for number, act in enumerate(acts):
        if act == "steps" or (training.step < 0 and act in ("save", "put back", "weights back")):
            training.steps()
            live = state_of(100 + number)
        elif act == "save":
            training.disk.save(training.process, "last.pt", f"{number}", holds=WHOLE)
            training.root("ckpt", live)
            kept = live
        elif act in ("put back", "weights back") and kept is not None:
            training.load()
            behind = kept if act == "put back" else live | {each: kept[each] for each in kept if each.count("/") == 2}
            training.go_on_with(behind, before=live)
            live = state_of(100 + number)
        elif act in ("again", "warm start") and kept is not None and training.step >= 0:
            training.again(*([] if act == "again" else [["python3", f"stage{number}.py"]]))
            if act == "again":
                training.load()
                training.resume_with(kept)
            else:  # a stage of its own, which takes the weights alone
                training.load()
                training.resume_with({each: kept[each] for each in kept if each.count("/") == 2})
            live = state_of(100 + number)
    assert [each for each in training.findings() if each.severity != "info"] == []
