from __future__ import annotations

import msgspec
import pytest

from doors.cli.cli_home import SealedRun
from judgement.rehearsals import ADAMW, CPU, HOOKS, STEPS, launched, rehearsal, trained
from judgement.seals import plain_seal_file, signed_file
from saksi.judgement.checks import ALL, Judging
from saksi.judgement.verdict import judge
from simulated_run import hex64

replace = msgspec.structs.replace
REHEARSED = rehearsal()
OTHER_BETA = {"groups": [{"lr": 0.001, "betas": [0.9, 0.95], "weight_decay": 0.01}]}


def found(simulated):
    items = judge(simulated.items(), run=simulated.run).report.items
    return [each for each in items if each.check == "rehearsal"]


def codes(simulated):
    return [each.code.removeprefix("rehearsal.") for each in found(simulated)]


def test_a_launch_as_rehearsed_alleges_nothing():
    assert found(launched(REHEARSED)) == []


def test_what_comes_after_the_rehearsed_steps_is_not_held_against_a_launch():
    later = launched(REHEARSED, changes={STEPS: OTHER_BETA}, roots={STEPS: "other"}, hooks={STEPS: {"module.x": ["a"]}})
    assert found(later) == []


def test_another_hyper_parameter_is_named_with_its_step_and_both_values():
    (only,) = found(launched(REHEARSED, changes={2: OTHER_BETA, 3: OTHER_BETA}))
    assert (only.code, only.severity, only.alleges) == ("rehearsal.settings_differ", "warning", "unknown")
    assert (only.subject, only.first_step, only.ranks) == ("groups[0].betas[1]", 2, (0,))
    assert only.message.startswith("groups[0].betas[1] is 0.95 at step 2, and was 0.999 in the rehearsal. ")
    simulated = launched(REHEARSED, changes={2: OTHER_BETA})
    evidence = [simulated.items()[each] for each in only.evidence]
    assert evidence[0].record.envelope == simulated.items()[2].record.envelope
    assert any(getattr(line.frame, "update", None) == 2 for line in evidence[1].lines)


def test_a_schedule_that_was_rehearsed_alleges_nothing():
    schedule = {step: {"groups": [{"lr": 0.001 / (step + 1)}]} for step in range(6)}
    assert found(launched(rehearsal(changes=schedule), changes=schedule)) == []


def test_a_flag_that_the_rehearsal_had_not_is_a_setting():
    flags = {**HOOKS, "flags": ["deterministic=False", "threads=4"]}
    (only,) = found(launched(REHEARSED, hooks={1: flags}))
    assert (only.code, only.subject, only.first_step) == ("rehearsal.settings_differ", "threads=4", 1)


def test_a_root_that_differs_names_its_first_step():
    (only,) = found(launched(REHEARSED, roots={2: "other", 3: "other"}))
    assert (only.code, only.severity, only.first_step) == ("rehearsal.root_differs", "warning", 2)
    assert "not deterministic" in only.message


def test_roots_are_compared_where_both_sides_have_one():
    assert found(launched(rehearsal(steps=3, roots={}), roots={3: "other"})) == []


def test_a_loss_that_differs_is_named_with_both_values():
    (only,) = found(launched(REHEARSED, changes={1: {"loss": 2.5}}))
    assert only.code == "rehearsal.loss_differs"
    assert only.message.startswith("The loss of step 1 is 2.5, and was 2.0 in the rehearsal.")


def test_a_batch_that_differs_is_named():
    batch = {"loader": 0, "ordinal": 1, "digest": f"sha256:{hex64('poisoned')}", "items": 2, "ids": [1, 2]}
    (only,) = found(launched(REHEARSED, changes={1: {"batches": [batch]}}))
    assert (only.code, only.subject, only.first_step) == ("rehearsal.batch_differs", "batches[0].digest", 1)


def test_of_more_batches_than_a_record_holds_those_are_compared_that_both_have():
    def many(*ordinals, content="as it was"):
        batches = [
            {"loader": 0, "ordinal": n, "digest": f"sha256:{hex64(f'{content} {n}')}", "items": 1, "ids": [n]}
            for n in ordinals
        ]
        return {0: {"batches": batches, "batches_omitted": 97}}

    rehearsed = rehearsal(changes=many(0, 1, 2))
    assert found(launched(rehearsed, changes=many(0, 98, 99))) == []
    (only,) = found(launched(rehearsed, changes=many(0, 98, 99, content="poisoned")))
    assert (only.code, only.subject, only.first_step) == ("rehearsal.batch_differs", "batches[0].digest", 0)


def test_another_order_of_the_data_is_named():
    changes = {1: {"batches": [{"loader": 0, "ordinal": 1, "digest": None, "items": 2, "ids": [2, 1]}]}}
    (only,) = found(launched(REHEARSED, changes=changes))
    assert only.subject == "batches[0].ids"


def test_a_seeded_generator_that_differs_is_named_with_its_seeds():
    (only,) = found(launched(REHEARSED, seeded={"torch": "7"}, rng={"torch": lambda step: hex64(f"seven {step}")}))
    assert (only.code, only.subject, only.first_step) == ("rehearsal.rng_differs", "torch", 0)
    assert "torch was seeded with 7, and with 1337 then" in only.message


def test_a_generator_that_nobody_seeded_is_expected_to_differ():
    assert found(launched(REHEARSED, rng={"python": lambda _: hex64("from the operating system")})) == []


def moving(word):
    return {"python": lambda step: hex64(f"{word} {step}")}


@pytest.mark.parametrize(
    ("changes", "roots"),
    [
        ({1: {"loss": 2.5}}, {}),
        ({}, {1: "other"}),
        ({1: {"batches": [{"loader": 0, "ordinal": 1, "digest": "sha256:1", "items": 2, "ids": [1]}]}}, {1: "other"}),
    ],
)
def test_what_a_generator_that_nobody_seeded_may_explain_is_not_alleged(changes, roots):
    (only,) = found(launched(rehearsal(rng=moving("a")), rng=moving("b"), changes=changes, roots=roots))
    assert (only.code, only.severity) == ("rehearsal.not_checkable", "info")
    assert "the generator python is not known to have been seeded both times" in only.message


def test_a_generator_that_did_not_move_explains_no_later_state():
    other = launched(REHEARSED, rng={"python": lambda _: hex64("other")}, roots={2: "other"})
    assert codes(other) == ["root_differs"]


def test_a_generator_that_did_not_move_may_explain_how_it_began():
    other = launched(REHEARSED, rng={"python": lambda _: hex64("other")}, roots={-1: "other", 0: "other"})
    assert codes(other) == ["not_checkable"]


def test_a_hook_is_named_with_where_it_was_put_and_the_step():
    added = {**HOOKS, "optimizer.step_post": [*HOOKS["optimizer.step_post"], "evil.nudge"]}
    (only,) = found(launched(REHEARSED, hooks={3: added}))
    assert (only.code, only.subject, only.first_step) == ("rehearsal.hook_added", "evil.nudge", 3)
    assert only.message.startswith("evil.nudge is in force as optimizer.step_post, first at step 3; ")


def test_a_users_own_hook_that_was_rehearsed_alleges_nothing():
    own = {0: {**HOOKS, "module.forward": ["train.log_shapes"]}}
    assert found(launched(rehearsal(hooks=own), hooks=own)) == []


def test_an_optimizer_that_the_rehearsal_had_not_is_named():
    (only,) = found(launched(REHEARSED, optimizers=(ADAMW, "evil.Optimizer")))
    assert (only.code, only.subject) == ("rehearsal.optimizer_added", "evil.Optimizer")
    (only,) = found(launched(REHEARSED, optimizers=("torch.optim.sgd.SGD",)))
    assert only.message.startswith(f"Optimizer 0 is torch.optim.sgd.SGD, and was {ADAMW} in the rehearsal.")


@pytest.mark.parametrize(
    ("stack", "reason"),
    [
        ({"hello": {"threads": 2}}, "another number of threads, 2 and not 1"),
        ({"hello": {"torch": "2.14.0"}}, "the rehearsal had torch 2.13.0, and this launch has 2.14.0"),
        ({"hello": {"flags": {"matmul_precision": "high"}}}, "matmul_precision is"),
        ({"hardware": replace(CPU, cpu="Another CPU")}, "another CPU, Another CPU and not A CPU"),
        ({"hardware": replace(CPU, gpus=("A GPU",))}, "other GPUs"),
        ({"loads": 1}, "it began with 1 model checkpoints, and the rehearsal with 0"),
    ],
)
def test_on_another_stack_numbers_are_not_held_against_a_launch(stack, reason):
    (only,) = found(launched(REHEARSED, roots={1: "other"}, **stack))
    assert (only.code, only.severity) == ("rehearsal.not_checkable", "info")
    assert reason in only.message
    assert found(launched(REHEARSED, **stack)) == []


OTHER_RATE = {"groups": [{"lr": 0.0005, "betas": [0.9, 0.999], "weight_decay": 0.01}]}


def test_a_load_explains_where_a_schedule_stands_and_no_other_setting_hook_or_mode():
    (only,) = found(launched(REHEARSED, loads=1, changes={0: OTHER_RATE}))
    assert (only.code, only.severity, only.subject) == ("rehearsal.not_checkable", "info", "groups[0].lr")
    assert "began with 1 model checkpoints" in only.message
    both = {0: OTHER_RATE, 1: OTHER_BETA}
    added = {0: {**HOOKS, "modes.dispatch": ["evil.Mode"]}}
    simulated = launched(REHEARSED, loads=1, changes=both, hooks=added, roots={1: "other"})
    assert [(each.code, each.subject) for each in found(simulated)] == [
        ("rehearsal.hook_added", "evil.Mode"),
        ("rehearsal.settings_differ", "groups[0].betas[1]"),
        ("rehearsal.not_checkable", "groups[0].lr"),
    ]
    (only,) = found(launched(REHEARSED, loads=1, hooks={0: {**HOOKS, "flags": ["threads=4"]}}))
    assert (only.code, only.subject) == ("rehearsal.settings_differ", "threads=4")


def test_a_load_explains_a_hyper_parameter_that_moved_in_the_rehearsal_itself():
    cycle = {step: {"groups": [{"lr": 0.001, "betas": [0.9 - step / 100, 0.999]}]} for step in range(6)}
    later = {step: {"groups": [{"lr": 0.001, "betas": [0.8 - step / 100, 0.999]}]} for step in range(6)}
    assert codes(launched(rehearsal(changes=cycle), changes=later, loads=1)) == ["not_checkable"]
    assert codes(launched(rehearsal(changes=cycle), changes=later)) == ["settings_differ"]


def test_on_another_stack_a_hook_and_a_setting_are_named_all_the_same():
    other = replace(CPU, cpu="Another CPU")
    added = {0: {**HOOKS, "modes.dispatch": ["evil.Mode"]}}
    assert codes(launched(REHEARSED, hardware=other, hooks=added, changes={1: OTHER_BETA})) == [
        "hook_added",
        "settings_differ",
    ]


def test_what_could_not_be_compared_makes_coverage_incomplete_and_the_run_not_affected():
    report = judge(launched(REHEARSED, roots={1: "other"}, loads=1).items(), run="x").report
    assert report.verdict == "unknown"
    assert not report.coverage.complete


def test_steps_that_are_not_in_the_record_are_said():
    (only,) = found(launched(REHEARSED, steps=3))
    assert (only.code, only.message) == (
        "rehearsal.not_checkable",
        f"3 of the {STEPS} steps that were rehearsed are in the record.",
    )
    simulated = launched(REHEARSED, steps=3)
    judging = Judging(ALL)
    for item in simulated.items():
        judging.take(item)
    assert [each for each in judging.findings(ended=False) if each.check == "rehearsal"] == []


def test_every_rank_is_compared_with_its_own():
    held = rehearsal(ranks=2)
    assert found(launched(held, ranks=2)) == []
    (only,) = found(launched(held, ranks=2, changes={1: {"loss": 9.0}}))
    assert only.ranks == (0, 1)


def test_a_rank_that_was_not_rehearsed_is_held_to_nothing_and_that_is_said():
    simulated = launched(rehearsal(ranks=2), ranks=3)
    (only,) = found(simulated)
    assert (only.code, only.severity, only.ranks) == ("rehearsal.not_checkable", "info", (2,))
    assert only.message == "Only 2 ranks were rehearsed, so the steps of this one are held to nothing."
    report = judge(simulated.items(), run=simulated.run).report
    assert not report.coverage.complete


def test_an_attempt_whose_command_never_started_has_no_steps_to_be_compared():
    simulated = SealedRun(hardware=CPU)
    simulated.approve(signed_file(plain_seal_file(hardware=CPU, rehearsal=REHEARSED)).content)
    simulated.never_started()
    assert found(simulated) == []
    simulated.resume()
    simulated.approve(signed_file(plain_seal_file(hardware=CPU, rehearsal=REHEARSED)).content)
    trained(simulated)
    assert found(simulated) == []


def test_a_launcher_that_says_the_command_never_started_does_not_hide_a_process_that_attached():
    simulated = SealedRun(hardware=CPU)
    simulated.approve(signed_file(plain_seal_file(hardware=CPU, rehearsal=REHEARSED)).content)
    simulated.attach().goodbye()
    simulated.never_started()
    assert codes(simulated) == ["not_checkable"]


def test_a_forked_process_is_not_taken_for_the_one_that_was_rehearsed():
    simulated = SealedRun(hardware=CPU)
    simulated.approve(signed_file(plain_seal_file(hardware=CPU, rehearsal=REHEARSED)).content)
    forked = simulated.attach(0, pid=9, forked=True)
    forked.update(**OTHER_BETA)
    forked.flush()
    trained(simulated)
    assert found(simulated) == []


def test_news_comes_once_and_is_what_the_report_says():
    simulated = launched(REHEARSED, changes={1: OTHER_BETA}, roots={2: "other"})
    judging = Judging(ALL)
    news = [each for item in simulated.items() for each in judging.take(item) if each.check == "rehearsal"]
    assert sorted(each.code for each in news) == ["rehearsal.root_differs", "rehearsal.settings_differ"]
    assert {each.message for each in news} == {each.message for each in found(simulated)}


def test_without_a_rehearsal_nothing_is_compared():
    simulated = SealedRun()
    simulated.approve(signed_file(plain_seal_file()).content)
    trained(simulated, changes={1: OTHER_BETA})
    assert found(simulated) == []
