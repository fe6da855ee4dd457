from __future__ import annotations

import msgspec

from judgement.rehearsals import CPU, HOOKS, rehearsal
from saksi.judgement.rehearsal.deviation import rehearsal_deviations
from saksi.judgement.rehearsal.values import RehearsedCode, RehearsedFunction

replace = msgspec.structs.replace
OWN = {0: {**HOOKS, "module.forward": ["train.log_shapes"]}}


def deviations(before, after, hardware=CPU):
    return rehearsal_deviations((before, CPU), (after, hardware))


def test_two_rehearsals_of_the_same_do_not_differ_however_long_they_are():
    assert deviations(rehearsal(steps=2), rehearsal(steps=4)) == ()
    assert rehearsal_deviations(None, None) == ()


def test_what_the_newer_rehearsal_has_and_the_older_had_not_matters():
    (only,) = deviations(rehearsal(ranks=2), rehearsal(ranks=2, hooks=OWN))
    assert (only.weight, only.field, only.subject) == ("matters", "rehearsal", "train.log_shapes")


def test_what_another_machine_explains_is_unknown():
    other = msgspec.structs.replace(CPU, cpu="Another CPU")
    (only,) = deviations(rehearsal(), rehearsal(roots={1: "other"}), other)
    assert only.weight == "unknown"
    assert "another CPU" in only.sentence


def test_a_file_without_a_rehearsal_is_told_and_another_number_of_processes_matters():
    (told,) = rehearsal_deviations((rehearsal(), CPU), None)
    assert (told.weight, told.sentence) == ("told", "Only A was rehearsed.")
    found = deviations(rehearsal(ranks=1), rehearsal(ranks=2))
    assert ("matters", "ranks") in {(each.weight, each.subject) for each in found}


def test_live_code_that_only_one_of_them_approves_is_told():
    function = RehearsedFunction(name="smoothed", code="a" * 32, defaults=())
    one = RehearsedCode(place="module", name="torch.nn.functional.loss", functions=(function,))
    other = replace(one, functions=(replace(function, code="b" * 32),))
    bare, patched, swapped = rehearsal(), replace(rehearsal(), code=(one,)), replace(rehearsal(), code=(other,))
    assert deviations(patched, patched) == ()
    for before, after, how in (
        (bare, patched, "only in B"),
        (patched, bare, "only in A"),
        (patched, swapped, "with other code in B"),
    ):
        (found,) = deviations(before, after)
        assert (found.weight, found.subject) == ("matters", "torch.nn.functional.loss")
        assert found.sentence == f"Live code at torch.nn.functional.loss (module) is not as its source says {how}."
