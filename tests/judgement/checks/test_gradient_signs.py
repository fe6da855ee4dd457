"""Gradients that become zero, or get a single sign, judged from records alone."""

from __future__ import annotations

import base64
import struct

from saksi.judgement.checks import gradient_signs
from saksi.judgement.checks.gradient_signs import GRADIENT_SIGNS
from saksi.judgement.checks.judging import Judging
from saksi.judgement.dynamics.signs import ENOUGH, USUAL
from saksi.judgement.items import item_of
from saksi.words.codec import decode_record
from simulated_run import SimulatedRun

LAYOUT = "cd" * 16
ALIAS = None
USUALLY = {"a.weight": [0.5, -0.5, 1.0, -1.0], "a.bias": [0.25, -0.25], "b.weight": [-0.5, 0.5, 1.0, -1.0]}


def packed(numbers):
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def send(connection, update, gradients, *, idle=(), optimizer=0, skipped=False, gradient=None, finished=""):
    every = [each for values in gradients.values() for each in values]
    ones = packed([1.0] * len(every))
    before = {"parameter": ones, "gradient": packed(every) if gradient is None else gradient}
    connection.send(
        "sample", layout=LAYOUT, optimizer=optimizer, update=update, idle=list(idle), before=before,
        after={"parameter": ones}, finished=finished,
    )  # fmt: skip
    connection.update(optimizer=optimizer, update=update, skipped=skipped)


def attach(simulated, optimizer=0, **rank):
    connection = simulated.attach(**rank)
    tensors = [[0, at, ALIAS or name, 100, len(values)] for at, (name, values) in enumerate(USUALLY.items())]
    connection.send(
        "sampled", layout=LAYOUT, optimizer=optimizer, rule="torch.optim.sgd.SGD", dtype="torch.float32",
        part=0, parts=1, tensors=tensors, left_out={},
    )  # fmt: skip
    return connection


def run_of(*several, **options):
    simulated = SimulatedRun()
    connection = attach(simulated, options.get("optimizer", 0))
    for update, gradients in enumerate(several):
        send(connection, update, gradients, **options)
    connection.goodbye()
    simulated.exit()
    return simulated


def judged(simulated):
    judging, news = Judging([GRADIENT_SIGNS]), []
    for index, entry in enumerate(simulated.entries):
        news += judging.take(item_of(index, decode_record(entry), simulated.blob))
    return judging.findings(ended=True), news


def zero(*names):
    return {**USUALLY, **{name: [0.0] * len(USUALLY[name]) for name in names}}


BEFORE = [USUALLY] * USUAL


def test_a_layer_whose_gradient_became_zero_is_told_for_information_with_its_tensors_and_steps():
    (found,), news = judged(run_of(*BEFORE, *[zero("a.weight", "a.bias")] * (ENOUGH + 4), USUALLY))
    assert (found.code, found.severity, found.check) == ("dynamics.gradient_vanished", "info", "dynamics")
    assert (found.first_step, found.last_step, found.ranks) == (USUAL, USUAL + ENOUGH + 3, (0,))
    assert "The gradient of a.weight, a.bias has become zero in every sampled element" in found.message
    assert found.alleges == "unknown"
    assert [each.code for each in news] == [found.code]


def test_gradients_of_a_single_sign_are_another_finding():
    same = {**USUALLY, "b.weight": [1.0, 2.0, 3.0, 4.0]}
    (found,), _ = judged(run_of(*BEFORE, *[same] * ENOUGH))
    assert found.code == "dynamics.gradient_one_sided"
    assert "The gradient of b.weight has become positive, or negative, in every sampled element" in found.message


def test_an_honest_run_has_none():
    assert judged(run_of(*BEFORE * 3)) == ((), [])
    assert judged(run_of(*BEFORE, *[zero("a.weight")] * (ENOUGH - 1), *BEFORE)) == ((), [])


def test_a_tensor_without_a_gradient_has_no_zero_gradient():
    assert judged(run_of(*[zero("a.weight")] * 100, idle=[0])) == ((), [])
    assert judged(run_of(*BEFORE, *[zero("a.weight")] * 20, idle=[0])) == ((), [])


def test_updates_that_a_scaler_left_out_say_nothing():
    assert judged(run_of(*BEFORE, *[zero("a.weight")] * 20, skipped=True)) == ((), [])


def test_only_optimizer_0_counts_steps():
    (found,), _ = judged(run_of(*BEFORE, *[zero("a.weight")] * ENOUGH, optimizer=1))
    assert (found.subject, found.first_step) == ("gradients of optimizer 1", None)


def test_tensors_that_follow_are_one_finding_with_the_first():
    later = [zero("a.weight")] * ENOUGH + [zero("a.weight", "b.weight")] * ENOUGH
    (found,), news = judged(run_of(*BEFORE, *later))
    assert "The gradient of a.weight, b.weight has become zero" in found.message
    assert (found.first_step, found.last_step) == (USUAL, USUAL + 2 * ENOUGH - 1)
    assert len(news) == 1


def test_samples_that_do_not_fit_their_layout_are_left_to_the_shadow_update():
    assert judged(run_of(*BEFORE, *BEFORE, gradient="!")) == ((), [])


def test_a_gradient_of_which_the_backward_is_not_known_is_not_looked_at():
    assert judged(run_of(*BEFORE, *[zero("a.weight")] * 20, finished=None)) == ((), [])


def test_two_tensors_of_one_name_are_told_apart(monkeypatch):
    monkeypatch.setitem(globals(), "USUALLY", {"weight": USUALLY["a.weight"], "weight ": USUALLY["b.weight"]})
    monkeypatch.setitem(globals(), "ALIAS", "weight")
    (found,), _ = judged(run_of(*[USUALLY] * USUAL, *[zero("weight")] * ENOUGH))
    assert "The gradient of weight has become zero" in found.message


def test_the_first_tensors_are_named_and_the_others_counted(monkeypatch):
    several = {f"{number}.weight": USUALLY["a.weight"] for number in range(7)}
    monkeypatch.setitem(globals(), "USUALLY", several)
    (found,), _ = judged(run_of(*[several] * USUAL, *[zero(*several)] * ENOUGH))
    assert "of 0.weight, 1.weight, 2.weight, 3.weight and 3 more tensors has" in found.message
    assert len(found.message) < 1_024


def test_tensors_beyond_those_that_are_followed_are_not_looked_at(monkeypatch):
    monkeypatch.setattr(gradient_signs, "MAX_TENSORS", 1)
    (found,), _ = judged(run_of(*BEFORE, *[zero(*USUALLY)] * ENOUGH))
    assert "The gradient of a.weight has become zero" in found.message


def test_samples_of_another_optimizer_than_their_layout_are_not_looked_at():
    simulated = SimulatedRun()
    connection = attach(simulated, optimizer=3)
    for update, gradients in enumerate([*BEFORE, *[zero("a.weight")] * ENOUGH]):
        send(connection, update, gradients)
    connection.goodbye()
    simulated.exit()
    assert judged(simulated) == ((), [])
