"""Batches that come from elsewhere in the middle of a training, and samples that come with other values."""

from __future__ import annotations

import pytest

from judgement.checks.loaders import Loader, judged, run_of
from saksi.judgement.checks.data_source import BEGUN

SOURCE = "data.source_changed"
CONTENT = "data.content_changed"


def told(simulated, code=SOURCE):
    return [(each.severity, each.first_step, each.message) for each in judged(simulated)[0] if each.code == code]


def another(loader, number=1, **changes):
    return Loader(loader.connection, number, **{"length": loader.length, "size": loader.size, **changes})


def test_another_dataset_in_the_middle_is_told_at_its_step():
    def act(loader):
        for _ in range(2):
            loader.whole()
        another(loader, length=24).whole()

    ((severity, step, message),) = told(run_of(act))
    assert (severity, step) == ("info", 10)
    assert "24 samples by RandomSampler" in message
    assert "20 samples by RandomSampler" in message


def test_another_sampler_is_told():
    def act(loader):
        for _ in range(2):
            loader.whole()
        another(loader, sampler="builtins.list").begin()
        loader.connection.update(batches=[{"loader": 1, "ordinal": 0, "digest": None, "items": 4, "ids": None}])

    assert [each[:2] for each in told(run_of(act))] == [("info", 10)]


@pytest.mark.parametrize("length", [20, 24])
def test_a_loader_that_is_made_anew_for_each_epoch_is_told_where_its_data_is_other(length):
    def act(loader):
        for number in range(1, 5):
            another(loader, number, length=20 if number < 4 else length).whole()

    assert len(told(run_of(act))) == (length != 20)


def test_an_evaluation_between_two_updates_is_no_source():
    def act(loader):
        for epoch in range(3):
            questions = another(loader, 1 + epoch, length=8)
            questions.begin()
            loader.begin()
            for place in loader.places:
                asked = [{"loader": 1 + epoch, "ordinal": 0, "digest": None, "items": 4, "ids": None}]
                own = {"loader": loader.number, "ordinal": place, "digest": None, "items": 4, "ids": None}
                loader.connection.update(batches=[*(asked if place == 0 else []), own])

    assert told(run_of(act)) == []


def test_sources_that_take_turns_from_the_first_on_are_none_that_come_in():
    def act(loader):
        other = another(loader, length=24)
        loader.begin()
        other.begin()
        for turn in range(BEGUN * 2):
            batch = {"loader": turn % 2, "ordinal": turn, "digest": None, "items": 4, "ids": None}
            loader.connection.update(batches=[batch])

    assert told(run_of(act)) == []


def rows(changed=()):
    return {"form": "0f" * 16, "rows": [(sample, ("cd" if sample in changed else "ab") * 16) for sample in range(9)]}


def content_of(*epochs):
    def act(loader):
        for changed in epochs:
            loader.begin()
            loader.train([0], **rows(changed))

    return [each[:2] for each in told(run_of(act), CONTENT)]


def test_a_sample_that_changes_where_others_stood_still_is_told():
    assert content_of((), (), (3,)) == [("info", 2)]


@pytest.mark.parametrize("epochs", [[(), (3,), (3,), (3, 4)], [(), range(0, 9, 2), range(9), ()]])
def test_samples_that_change_before_enough_stood_still_are_augmented(epochs):
    assert content_of(*epochs) == []
