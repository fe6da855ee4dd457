"""Gradients judged from records alone: as the backward left them, and as the optimizer read them."""

from __future__ import annotations

import base64
import struct

import pytest

from doors.cli.cli_home import SealedRun
from judgement.checks.test_plan import BY_MARIA
from judgement.plan.test_schedule import plan
from judgement.seals import CREATOR, MARIA, plain_seal_file, signed_file
from saksi.judgement.approvals import assurance_of
from saksi.judgement.checks.gradients import GRADIENTS
from saksi.judgement.checks.judging import Judging
from saksi.judgement.items import item_of
from saksi.judgement.verdict import judge
from saksi.words.codec import decode_record
from saksi.words.findings import is_about_coverage
from simulated_run import SimulatedRun

LAYOUT = "ab" * 16
FINISHED = [0.25, -0.5, 0.75, -1.0, 1.25]


def packed(numbers):
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def layout(dtype="torch.float32"):
    tensors = [[0, 0, "a.weight", 100, 3], [0, 1, "a.bias", 100, 2]]
    return {
        "layout": LAYOUT, "optimizer": 0, "rule": "torch.optim.sgd.SGD", "dtype": dtype,
        "part": 0, "parts": 1, "tensors": tensors, "left_out": {},
    }  # fmt: skip


def clipping(coefficient, norm=2.0):
    return {"value": norm, "max_norm": norm * coefficient, "coefficient": coefficient}


def run_of(*reads, norms=None, finished=FINISHED, skipped=(), dtype="torch.float32", simulated=None):
    """A run that read these gradients, one list for each update; `None` says nothing of what the backward left."""
    simulated = simulated or SimulatedRun()
    connection = simulated.attach()
    connection.send("sampled", **layout(dtype))
    for step, read in enumerate(reads):
        left = None if read is None else "" if read == finished else packed(finished)
        values = FINISHED if read is None else read
        before = {"parameter": packed([1.0] * 5), "gradient": packed(values)}
        connection.send(
            "sample", layout=LAYOUT, optimizer=0, update=step, idle=[], before=before,
            after={"parameter": packed([1.0] * 5)}, finished=left,
        )  # fmt: skip
        connection.update(skipped=step in skipped, gradient_norm=(norms or {}).get(step))
    connection.goodbye()
    simulated.exit()
    return simulated


def judged(simulated):
    judging, news = Judging([GRADIENTS]), []
    for index, entry in enumerate(simulated.entries):
        news += judging.take(item_of(index, decode_record(entry), simulated.blob))
    return judging.findings(ended=True), news


def said(simulated):
    return [(each.code, each.severity, each.first_step, each.last_step) for each in judged(simulated)[0]]


def times(factor):
    return [g * factor for g in FINISHED]


SAME, HALF, TURNED = FINISHED, times(0.5), [0.25, -0.5, 0.75, 1.0, -1.25]
WEAKENED = [*FINISHED[:3], 0.0, 0.0]


USUAL = [SAME] * 8


def test_gradients_that_are_read_as_they_were_left_are_nothing_to_speak_of():
    assert judged(run_of(SAME, SAME, SAME)) == ((), [])


def test_one_positive_number_for_all_is_clipping_or_unscaling():
    assert said(run_of(SAME, HALF, times(2.0**-16), times(0.3), SAME)) == []


def test_clipping_by_value_now_and_then_is_nothing_to_speak_of():
    cut = [max(-0.75, min(0.75, g)) for g in FINISHED]
    assert said(run_of(SAME, cut, SAME, cut)) == []


def test_a_gradient_that_became_another_is_told_at_the_step_that_read_it_with_the_tensor():
    (found,), news = judged(run_of(*USUAL, TURNED, SAME, TURNED))
    assert (found.code, found.severity, found.first_step, found.last_step) == (
        "gradient.changed_after_backward", "warning", 8, 10,
    )  # fmt: skip
    assert "in 2 of 5 sampled elements of a.bias." in found.message
    assert found.subject == "gradients of optimizer 0"
    assert found.alleges == "unknown"
    assert [each.code for each in news] == [found.code]


@pytest.mark.parametrize("first", [[TURNED], [SAME, WEAKENED], [*USUAL[1:], TURNED]], ids=["one", "uneven", "seventh"])
def test_a_program_that_does_more_than_clip_within_its_first_updates_does_so_for_a_purpose(first):
    found, _ = judged(run_of(*first, *USUAL, *USUAL, TURNED))
    assert {each.severity for each in found} == {"info"}
    assert "gradient.changed_after_backward" in {each.code for each in found}


def test_what_was_turned_around_as_a_whole_is_said_so():
    (found,), _ = judged(run_of(*USUAL, times(-0.5)))
    assert "they were turned around" in found.message


def test_layers_whose_gradients_are_made_smaller_are_told_once_for_information():
    others = [0.0, 0.0, *FINISHED[2:]]
    found, news = judged(run_of(*USUAL, WEAKENED, others, WEAKENED))
    assert [(each.code, each.severity, each.first_step, each.last_step) for each in found] == [
        ("gradient.scaled_unevenly", "info", 8, 10)
    ]
    assert len(news) == 1


def test_what_the_backward_left_may_never_be_said_and_then_is_not_judged():
    assert said(run_of(None, None, None)) == [("gradient.not_followed", "info", 1, 2)]
    assert said(run_of(None, SAME, SAME)) == []


def test_what_the_backward_left_is_missed_where_it_was_said_before():
    simulated = run_of(*USUAL, None, None)
    assert said(simulated) == [("gradient.not_checkable", "info", 8, 9)]
    assert is_about_coverage(judged(simulated)[0][0])


def test_an_update_that_a_scaler_left_out_is_not_judged():
    assert said(run_of(*USUAL, TURNED, SAME, skipped=(8,))) == []


def clipped(*coefficients_and_reads, finished=FINISHED, dtype="torch.float32"):
    reads = [read for _, read in coefficients_and_reads]
    norms = {at: clipping(c) for at, (c, _) in enumerate(coefficients_and_reads) if c is not None}
    return run_of(*reads, norms=norms, finished=finished, dtype=dtype)


def test_clipping_that_is_what_was_measured_is_nothing_to_speak_of_also_with_a_scaler():
    assert said(clipped((0.5, HALF), (1.0, SAME), (0.3, times(0.3)), (0.3, times(0.3 / 65536)))) == []


def test_clipping_that_is_another_is_told_for_information():
    steady = [(0.5, HALF)] * 8
    assert said(clipped(*steady, (0.5, times(0.45)))) == [("gradient.clipping_differs", "info", 8, 8)]
    assert said(clipped((0.3, SAME), (0.7, SAME))) == [("gradient.clipping_differs", "info", 0, 1)]


def test_gradients_of_nothing_but_zeros_tell_no_factor():
    zeros = [0.0] * 5
    assert said(clipped((0.3, zeros), (0.7, zeros), finished=zeros)) == []


@pytest.mark.parametrize("coefficient", ["NaN", "Infinity", 0.0, -1.0, 5e-324, 1e-320, 1e300])
def test_a_norm_that_is_out_of_all_bounds_raises_nothing(coefficient):
    norm = {"value": "NaN", "max_norm": 1.0, "coefficient": coefficient}
    assert {severity for _, severity, *_ in said(run_of(SAME, HALF, norms={0: norm, 1: norm}))} <= {"info"}


@pytest.mark.parametrize("dtype", ["torch.float32", "torch.int8"])
def test_a_sample_that_does_not_fit_raises_nothing_and_is_not_judged(dtype):
    simulated = run_of(SAME, [1.0], [1.0] * 7, SAME, dtype=dtype)
    assert {severity for _, severity, *_ in said(simulated)} <= {"info"}


def planned(*reads, norms=None, signers=(CREATOR, MARIA), **given):
    """Code, severity and first step of what is told of a run that read these gradients, under a plan."""
    simulated = SealedRun()
    declared = plan(**{"max_norm": 1.0, "trained": ("*",)} | given)
    simulated.approve(signed_file(plain_seal_file(plan=declared), *signers).content)
    run_of(*reads, norms=norms, simulated=simulated)
    assurance = assurance_of(simulated.entries, simulated.blob, BY_MARIA)
    report = judge(simulated.items(), run=simulated.run, assurance=assurance).report
    return sorted((each.code, each.severity, each.first_step) for each in report.items if each.check == "gradients")


CLIPPED = {step: clipping(0.5) for step in range(12)}


def test_under_a_plan_gradients_that_are_clipped_as_planned_are_nothing_to_speak_of():
    assert planned(*[HALF] * 12, norms=CLIPPED) == []


def test_under_a_plan_what_a_clipping_does_not_explain_is_held_against_a_run_if_it_did_before():
    reads = [*[HALF] * 9, times(0.03), HALF, times(0.03)]
    assert planned(*reads, norms=CLIPPED) == [("gradient.clipping_differs", "warning", 9)]
    assert planned(*reads, norms=CLIPPED, signers=(CREATOR,)) == [("gradient.clipping_differs", "info", 9)]
    assert planned(*reads, norms=CLIPPED, max_norm=None) == [("gradient.clipping_differs", "info", 9)]


def test_under_a_plan_what_a_program_did_from_the_first_updates_on_it_does_for_a_purpose():
    divided = [HALF, times(0.1), *[times(0.05)] * 10]  # by a number of tokens
    assert planned(*divided, norms=CLIPPED) == [("gradient.clipping_differs", "info", 1)]
    assert planned(SAME, WEAKENED, *[SAME] * 9, WEAKENED) == [("gradient.scaled_unevenly", "info", 1)]


def test_under_a_plan_a_trained_tensor_whose_gradient_was_set_to_zero_is_named():
    reads = [*USUAL, WEAKENED, SAME, WEAKENED]
    told = ("gradient.scaled_unevenly", "info", 8)
    assert planned(*reads) == [told, ("gradient.zeroed", "warning", 8)]
    assert planned(*reads, trained=("a.bias",)) == [told, ("gradient.zeroed", "warning", 8)]
    assert planned(*reads, signers=(CREATOR,)) == [told, ("gradient.zeroed", "info", 8)]
    assert planned(*reads, trained=("a.weight",)) == [told]
    assert planned(*[*USUAL, [*FINISHED[:3], -0.5, 0.0]]) == [told], "a part of a tensor is clipping of rows"
