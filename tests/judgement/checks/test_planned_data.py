"""What data came against what was declared of it, judged from records alone."""

from __future__ import annotations

import pytest

from doors.cli.cli_home import SealedRun
from judgement.checks.loaders import DISTRIBUTED, RANDOM, SEQUENTIAL, Loader
from judgement.checks.test_data_content import went_on
from judgement.checks.test_plan import BY_MARIA
from judgement.seals import CREATOR, MARIA, plain_seal_file, signed_file
from saksi.judgement.approvals import Approvers, assurance_of
from saksi.judgement.plan.data import DataPlan
from saksi.judgement.verdict import judge
from simulated_run import hex64

LIST = "builtins.list"
ITERABLE = "torch.utils.data.dataloader._InfiniteConstantSampler"
LOADED = dict.fromkeys(("path", "digest", "size", "device", "inode", "mtime_ns"))


def planned(**given):
    return DataPlan(**{"items": 20, "order": "shuffled", "each": "once", "drop_last": False, "content": "any"} | given)


def launched(data, *, signers=(CREATOR, MARIA), file=True):
    simulated = SealedRun(data=data)
    if file:
        simulated.approve(signed_file(plain_seal_file(data=data), *signers).content)
    return simulated


def run_of(act, data, *, simulated=None, hello=None, before=lambda _: None, **options):
    """A run of one process whose loader does `act(loader)`, under this declaration."""
    simulated = simulated or launched(data)
    connection = simulated.attach(**hello or {})
    before(connection)
    act(Loader(connection, **options))
    connection.goodbye()
    simulated.exit()
    return simulated


def found(simulated, keys=BY_MARIA):
    assurance = assurance_of(simulated.entries, simulated.blob, keys)
    report = judge(simulated.items(), run=simulated.run, assurance=assurance).report
    return [each for each in report.items if each.check == "planned_data"]


def said(simulated):
    return sorted((each.code, each.severity, each.first_step, each.last_step) for each in found(simulated))


def twice(loader):
    loader.whole()
    loader.whole()


def begin_own(loader, order):
    """An epoch of a sampler of the program's own."""
    loader.begin(sampler=LIST, length=None, arguments={}, own=False, state=None)
    loader.order = list(order)


def own(order):
    """Epochs of a sampler of the program's own, each in this order."""

    def act(loader):
        for epoch in range(2):
            begin_own(loader, order(epoch))
            loader.train()
            loader.exhaust()

    return act


@pytest.mark.parametrize(
    ("act", "data", "options"),
    [
        (twice, planned(), {}),
        (twice, planned(order="sequential"), {"sampler": SEQUENTIAL}),
        (twice, planned(drop_last=True), {"drop_last": True, "size": 3}),
        (twice, planned(), {"sampler": DISTRIBUTED, "num_replicas": 3, "rank": 2, "shuffle": True, "seed": 5}),
        (twice, planned(order="sequential"), {"sampler": DISTRIBUTED, "num_replicas": 3, "rank": 0, "shuffle": False}),
        (twice, planned(items=5), {"num_samples": 5}),
        (own(lambda _: list(range(20))), planned(order="sequential"), {}),
        (own(lambda epoch: [(7 * at + epoch) % 20 for at in range(20)]), planned(order="any"), {}),
        (own(lambda _: range(18)), planned(order="any", drop_last=True), {"drop_last": True, "size": 3}),
        (own(lambda _: [3] * 20), planned(order="any", each="any"), {}),
        (own(lambda _: [3] * 40), planned(order="any", each="any", items=None, drop_last=None), {}),
    ],
)  # fmt: skip
def test_what_comes_as_declared_alleges_nothing(act, data, options):
    assert found(run_of(act, data, **options)) == []


def test_an_order_that_no_sampler_of_torchs_shuffled_is_named_at_the_first_step_of_its_epoch():
    def act(loader):
        loader.whole()
        other = Loader(loader.connection, 1)
        begin_own(other, sorted(range(20), key=lambda each: each % 4))
        other.train()
        other.exhaust()

    (only,) = found(run_of(act, planned()))
    assert (only.code, only.severity, only.alleges) == ("data.order_not_planned", "warning", "unknown")
    assert (only.first_step, only.subject) == (5, "loader 1: builtins.list")
    assert "in epoch 0 the order is made by builtins.list, and what torch's RandomSampler or" in only.message
    assert only.message.endswith("A plan that was not brought up to date is the usual cause.")


def test_what_nobody_approved_is_told_and_not_held_against_a_run():
    act = own(lambda _: list(range(20)))
    for simulated in (launched(planned(), signers=(CREATOR,)), launched(planned(), file=False)):
        (only,) = found(run_of(act, planned(), simulated=simulated))
        assert (only.severity, "so it is told and no more" in only.message) == ("info", True)
    (only,) = found(run_of(act, planned()), Approvers(approvers=()))
    assert only.severity == "info"


@pytest.mark.parametrize("sampler", [SEQUENTIAL, RANDOM])
def test_the_opposite_of_the_planned_order_is_named(sampler):
    data = planned(order="shuffled" if sampler == SEQUENTIAL else "sequential")
    ((code, severity, first, _),) = said(run_of(twice, data, sampler=sampler))
    assert (code, severity, first) == ("data.order_not_planned", "warning", 0)


def test_samples_in_turn_are_told_from_their_places():
    ((code, severity, first, last),) = said(
        run_of(own(lambda epoch: [*range(10), *reversed(range(10, 20))]), planned(order="sequential"))
    )
    assert (code, severity, first, last) == ("data.order_not_planned", "warning", 2, 9)


def test_samples_that_come_again_and_those_that_never_come_are_named():
    simulated = run_of(own(lambda _: [*range(10)] * 2), planned(order="any"))
    assert said(simulated) == [
        ("data.items_not_planned", "warning", 0, 9),
        ("data.repeats_not_planned", "warning", 2, 9),
    ]
    missing, repeated = found(simulated)
    assert "the sampler had no more after 10 different samples, and 20 are planned" in missing.message
    assert "in epoch 0 samples came that had been handed out before, 0, 1, and each is planned once" in repeated.message


def test_a_dataset_of_another_size_and_a_dropped_batch_are_named():
    assert said(run_of(twice, planned(items=24))) == [("data.items_not_planned", "warning", 0, 5)]
    simulated = run_of(twice, planned(), drop_last=True, size=3)
    ((code, severity, first, _),) = said(simulated)
    assert (code, severity, first) == ("data.items_not_planned", "warning", 0)
    assert "drops its last batch" in found(simulated)[0].message
    assert said(run_of(twice, planned(), num_samples=40)) == [("data.repeats_not_planned", "warning", 0, 10)]


def test_more_samples_than_planned_are_named_without_an_end_of_the_epoch():
    def act(loader):
        begin_own(loader, range(30))
        loader.train()

    ((code, severity, first, last),) = said(run_of(act, planned(order="any")))
    assert (code, severity, first, last) == ("data.items_not_planned", "warning", 5, 7)


def test_an_epoch_that_is_broken_off_and_one_with_a_batch_that_was_not_heard_lack_nothing():
    def broken_off(loader):
        begin_own(loader, range(20))
        loader.train(range(2))
        begin_own(loader, range(20))
        loader.train(range(2))

    def unheard(loader):
        begin_own(loader, range(20))
        loader.train([0, 1, 3, 4])
        loader.exhaust()

    for act in (broken_off, unheard):
        assert found(run_of(act, planned(order="any"))) == []


def test_a_loader_that_only_evaluates_is_held_to_nothing_also_where_a_batch_was_fetched_before():
    def act(loader):
        evaluation = Loader(loader.connection, 1, sampler=SEQUENTIAL, length=8)
        loader.begin()
        for place in loader.places:
            fetched = [loader.batch(place)]
            evaluation.begin()
            if place % 2:
                fetched += [evaluation.batch(0), evaluation.batch(1)]
            loader.connection.update(batches=fetched if place != 4 else [evaluation.batch(0)])
        loader.begin()
        loader.train()

    assert found(run_of(act, planned())) == []


@pytest.mark.parametrize("resumes", ["loads", "further attempt"])
def test_the_first_epoch_of_a_process_that_goes_on_may_be_the_rest_of_one(resumes):
    def act(loader):
        begin_own(loader, [19, 4, 7, 1, 0, 2, 3, 5])
        loader.train()
        loader.exhaust()
        if resumes == "loads":
            loader.whole()

    if resumes == "loads":
        load = lambda connection: connection.send("ckpt", action="loaded", step=-1, **LOADED)  # noqa: E731
        simulated = run_of(act, planned(), before=load)
    else:
        simulated = run_of(twice, planned())
        simulated.resume()
        simulated.approve(signed_file(plain_seal_file(data=planned()), CREATOR, MARIA).content)
        run_of(act, planned(), simulated=simulated)
    severities = {each.code: each.severity for each in found(simulated)}
    assert severities == {"data.order_not_planned": "info", "data.items_not_planned": "info"}
    assert all("goes on from a model checkpoint" in each.message for each in found(simulated))


def test_what_has_no_ids_is_said_and_not_judged():
    def many(loader):
        begin_own(loader, range(20))
        loader.train(ids=None)

    def iterated(loader):
        loader.begin(sampler=ITERABLE, length=None, arguments={})
        loader.train(ids=None)

    for act, data, why in (
        (many, planned(order="any"), "not in the record"),
        (iterated, planned(), "its dataset is iterated"),
    ):
        (only,) = found(run_of(act, data))
        assert (only.code, only.severity, why in only.message) == ("data.plan_not_checkable", "info", True)


def test_of_several_processes_a_share_that_nobody_knows_is_not_missed():
    simulated = run_of(own(lambda _: [*range(0, 20, 2)]), planned(order="any"), hello={"world_size": 2})
    assert [(code, severity) for code, severity, _, _ in said(simulated)] == [("data.plan_not_checkable", "info")]


def test_training_without_a_loader_is_said():
    def act(loader):
        for _ in range(4):
            loader.connection.update()

    (only,) = found(run_of(act, planned()))
    assert (only.code, only.subject) == ("data.plan_not_checkable", "training data")


def test_without_a_declaration_nothing_is_said():
    assert found(run_of(own(lambda _: [3] * 20), None, simulated=SealedRun())) == []


def with_rows(values, *, form=lambda _: "f" * 32, rows=True):
    """Epochs whose samples have these values: `values(epoch, sample)`."""

    def act(loader):
        for epoch in range(3):
            loader.begin()
            for place in loader.places:
                ids = loader.batch(place)["ids"]
                said = [[each, hex64(f"{values(epoch, each)}")[:32]] for each in ids]
                batch = loader.batch(place, rows=said, form=form(epoch)) if rows else loader.batch(place)
                loader.connection.update(batches=[batch])
            loader.exhaust()

    return act


def test_samples_that_come_with_the_values_that_they_had_are_nothing_to_speak_of():
    assert found(run_of(with_rows(lambda _, sample: sample), planned(content="same"))) == []
    flipped = with_rows(lambda epoch, sample: (sample, epoch == 1 and sample < 4))
    assert found(run_of(flipped, planned())) == [], "nothing is declared of it"


def test_samples_whose_values_changed_are_named_while_others_stood_still():
    flipped = with_rows(lambda epoch, sample: (sample, epoch > 0 and sample < 4))
    (only,) = found(run_of(flipped, planned(content="same")))
    assert (only.code, only.severity, only.alleges) == ("data.content_not_planned", "warning", "unknown")
    assert 5 <= only.first_step < 10 <= only.last_step < 15
    assert "samples came with other values than they had, " in only.message
    assert "while others had the same" in only.message
    everything = with_rows(lambda epoch, sample: (sample, epoch == 2))
    (only,) = found(run_of(everything, planned(content="same")))
    assert (only.code, only.first_step, only.last_step) == ("data.content_not_planned", 10, 14)


def test_values_that_are_others_each_time_or_of_another_form_are_not_held_against_a_run():
    augmented = with_rows(lambda epoch, sample: (sample, epoch))
    (only,) = found(run_of(augmented, planned(content="same")))
    assert (only.code, only.severity) == ("data.plan_not_checkable", "info")
    assert "too few of the samples that came again had the same values" in only.message
    filled_up = with_rows(lambda epoch, sample: (sample, epoch), form=lambda epoch: f"{epoch:x}" * 32)
    assert found(run_of(filled_up, planned(content="same"))) == []
    nothing = with_rows(lambda _, sample: sample, rows=False)
    (only,) = found(run_of(nothing, planned(content="same")))
    assert (only.code, "have no digests, one by one" in only.message) == ("data.plan_not_checkable", True)


@pytest.mark.parametrize("resumes", [False, True])
def test_batches_of_another_size_are_named_also_where_a_run_goes_on(resumes):
    def act(loader):
        if resumes:
            loader.connection.send("ckpt", action="loaded", step=-1, **LOADED)
        twice(loader)

    assert said(run_of(act, planned(batch=4))) == []
    assert said(run_of(act, planned(batch=8))) == [("data.batch_not_planned", "warning", 0, 5)]


def test_batches_that_a_program_makes_itself_have_at_most_so_many_samples():
    def made(*sizes):
        def act(loader):
            for _ in range(2):
                loader.begin(batch_size=None)
                for place, size in enumerate(sizes):
                    loader.train([place], items=size)
                loader.exhaust(len(sizes))

        return said(run_of(act, planned(batch=4)))

    assert made(4, 4, 4, 4, 4) == made(4, 3, 4, 4, 3, 1) == []
    assert made(4, 4, 5, 4, 3) == [("data.batch_not_planned", "warning", 2, 7)]


@pytest.mark.parametrize(
    ("data", "signers", "severity"),
    [
        (planned(items=40), (CREATOR, MARIA), "warning"),
        (planned(items=40), (), "info"),
        (planned(items=40, each="any"), (CREATOR, MARIA), "info"),
    ],
)
def test_an_epoch_that_is_begun_again_weighs_where_each_sample_is_planned_once(data, signers, severity):
    def approve(simulated):
        if signers:
            simulated.approve(signed_file(plain_seal_file(data=data), *signers).content)

    simulated = went_on(SealedRun(data=data), approve)
    assurance = assurance_of(simulated.entries, simulated.blob, BY_MARIA)
    report = judge(simulated.items(), run=simulated.run, assurance=assurance).report
    (again,) = [each for each in report.items if each.code == "data.epoch_repeated"]
    assert (again.severity, "planned once" in again.message) == (severity, severity == "warning")


@pytest.mark.parametrize(("saved_after", "again"), [(9, 0), (10, 0), (14, 0)])
def test_an_order_that_comes_again_behind_a_whole_epoch_is_told_and_not_held_against_a_run(saved_after, again):
    """A script that seeds as it starts has the same order then, and each sample once in each epoch."""
    data = planned(items=40)

    def approve(simulated):
        simulated.approve(signed_file(plain_seal_file(data=data), CREATOR, MARIA).content)

    simulated = went_on(SealedRun(data=data), approve, saved_after=saved_after, again=again)
    assurance = assurance_of(simulated.entries, simulated.blob, BY_MARIA)
    report = judge(simulated.items(), run=simulated.run, assurance=assurance).report
    found = [each.severity for each in report.items if each.code == "data.epoch_repeated"]
    assert found == ["info"]
