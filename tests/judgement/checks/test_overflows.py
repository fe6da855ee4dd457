"""Updates that a scaler left out, judged from records alone: what its gradients were as it claimed an overflow."""

from __future__ import annotations

import pytest

from saksi.judgement.checks.judging import Judging
from saksi.judgement.checks.overflows import OVERFLOWS
from saksi.judgement.items import item_of
from saksi.words.codec import decode_record
from simulated_run import SimulatedRun


def run_of(*overflows, ranks=1):
    simulated = SimulatedRun()
    for rank in range(ranks):
        connection = simulated.attach(rank, world_size=ranks)
        for update, fields in enumerate(overflows):
            if fields is not None:
                said = {"optimizer": 0, "update": update, "flagged": False, "tensors": 4, "not_finite": 0, "unread": 0}
                connection.send("overflow", **(said | fields))
            connection.update(skipped=fields is not None)
        connection.goodbye()
    simulated.exit()
    return simulated


def judged(simulated):
    judging, news = Judging([OVERFLOWS]), []
    for index, entry in enumerate(simulated.entries):
        news += judging.take(item_of(index, decode_record(entry), simulated.blob))
    return judging.findings(ended=True), news


@pytest.mark.parametrize(("flagged", "how"), [(False, "raised after it had looked"), (True, "stood as it had looked")])
def test_an_overflow_that_no_gradient_had_is_told_at_its_step(flagged, how):
    (found,), news = judged(run_of(None, None, {"flagged": flagged}, None, {"flagged": flagged}))
    assert (found.code, found.severity, found.alleges) == ("optimizer.overflow_not_found", "warning", "unknown")
    assert (found.first_step, found.last_step, found.ranks) == (2, 4, (0,))
    assert found.subject == "scaler of optimizer 0"
    assert how in found.message
    assert [each.code for each in news] == [found.code]


@pytest.mark.parametrize(
    "honest",
    [
        {"flagged": True, "not_finite": 1},  # an overflow
        {"flagged": False, "not_finite": 1},  # gradients that overflowed behind the scaler's look
        {"flagged": True, "unread": 1},  # the one that is not read may have overflowed
        {"flagged": True, "tensors": 0},  # the program let go of them
        {"flagged": None},  # the flag lies on a device
    ],
)
def test_an_overflow_that_there_was_or_may_have_been_is_nothing_to_speak_of(honest):
    assert judged(run_of(None, honest)) == ((), [])


def test_of_several_ranks_another_may_have_overflowed():
    (found,), _ = judged(run_of({}, ranks=2))
    assert (found.severity, found.ranks) == ("info", (0, 1))


def test_an_optimizer_that_makes_no_steps_has_no_step_to_tell():
    (found,), _ = judged(run_of({"optimizer": 1}))
    assert (found.subject, found.first_step) == ("scaler of optimizer 1", None)
