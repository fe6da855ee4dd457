"""Batches that stood still and changed, and attempts that begin an epoch again, judged from records alone."""

from __future__ import annotations

from judgement.checks.loaders import RANDOM, SEQUENTIAL, Loader, judged, run_of, said
from saksi.judgement.checks import data_content
from simulated_run import SimulatedRun, hex64

CONTENT, EPOCH = "data.content_changed", "data.epoch_repeated"
OTHER = f"sha256:{hex64('other')}"


def epochs(loader, count):
    for _ in range(count):
        loader.whole()


def changed_at(loader, *places):
    """An epoch in which batches at these places hold other values."""
    loader.begin()
    for place in loader.places:
        loader.train([place], **({"digest": OTHER} if place in places else {}))
    loader.exhaust()


def test_one_batch_that_changes_among_others_that_stand_still_is_told_at_its_step():
    def act(loader):
        epochs(loader, 3)
        changed_at(loader, 2)

    found, news = judged(run_of(act, sampler=SEQUENTIAL))
    assert [(each.code, each.severity, each.first_step, each.alleges) for each in found] == [
        (CONTENT, "warning", 17, "unknown")
    ]
    assert len(news) == 1


def test_where_everything_changes_from_one_batch_on_it_is_only_told():
    def act(loader):
        epochs(loader, 3)
        changed_at(loader, 2, 3, 4)
        epochs(loader, 1)

    assert said(run_of(act, sampler=SEQUENTIAL)) == [(CONTENT, "info", 17, 17)]


def test_a_change_of_the_last_batch_is_told_as_the_run_ends():
    def act(loader):
        epochs(loader, 3)
        changed_at(loader, 4)

    simulated = run_of(act, sampler=SEQUENTIAL)
    assert said(simulated) == [(CONTENT, "info", 19, 19)]
    unended = SimulatedRun()
    act(Loader(unended.attach(), sampler=SEQUENTIAL))
    assert judged(unended, ended=False)[0] == ()


def test_content_that_never_stood_still_is_random_augmentation():
    def act(loader):
        for number in range(6):
            loader.begin()
            for place in loader.places:
                loader.train([place], digest=f"sha256:{hex64(f'{number // 2} {place}')}")

    assert said(run_of(act, sampler=SEQUENTIAL)) == []


def test_a_loader_that_varied_once_is_not_judged_later():
    def act(loader):
        epochs(loader, 1)
        changed_at(loader, 0)
        epochs(loader, 5)
        changed_at(loader, 2)

    assert said(run_of(act, sampler=SEQUENTIAL)) == []


def test_a_shuffled_loader_has_no_batches_that_come_again():
    def act(loader):
        epochs(loader, 3)
        changed_at(loader, 2)

    assert said(run_of(act)) == []
    assert said(run_of(act, size=1)) == [(CONTENT, "warning", 62, 62)]  # but single samples do


def test_what_was_forgotten_is_not_judged(monkeypatch):
    monkeypatch.setattr(data_content, "MAX_KEPT", 4)

    def act(loader):
        epochs(loader, 3)
        changed_at(loader, 2)

    assert said(run_of(act, sampler=SEQUENTIAL)) == []


NOTHING = {"digest": None, "size": None, "device": None, "inode": None, "mtime_ns": None}


def resumed(**how):
    """What is said of an epoch that is begun again, by what every reader knows."""
    return [each for each in judged(went_on(SimulatedRun(), **how))[0] if each.code == EPOCH]


def went_on(
    simulated, approve=lambda _: None, *, saved_after=7, again=0, load="last.pt", act=None, sampler=RANDOM, width=1
):
    """Two attempts: the first makes two epochs of ten batches, the second goes on with the order of epoch `again`."""
    approve(simulated)
    first = simulated.attach()
    loader = Loader(first, length=40, sampler=sampler)
    orders = []
    for _ in range(2):
        loader.begin()
        orders.append(loader.order)
        for place in loader.places:
            loader.train([place])
            if first.updates[0] - 1 == saved_after:
                first.send("ckpt", action="saved", path="last.pt", step=saved_after, **NOTHING)
    first.vanish()
    simulated.resume()
    approve(simulated)
    second = simulated.attach(pid=4100)
    if load is not None:
        second.send("ckpt", action="loaded", path=load, step=-1, **NOTHING)
    loader = Loader(second, length=40, sampler=sampler)
    loader.begin(state=None)
    loader.order = orders[again] if again is not None else loader.order[::-1]
    if act is not None:
        act(loader)
    for at in range(0, 10, width):
        second.update(batches=[loader.batch(place) for place in range(at, min(10, at + width))])
    second.goodbye()
    simulated.exit()
    return simulated


def test_an_attempt_that_begins_the_epoch_again_that_it_goes_on_from_is_told():
    (found,) = resumed()
    assert (found.severity, found.first_step, found.ranks) == ("info", 0, (0,))
    assert "began at step 0 of the attempt before" in found.message
    assert "goes on from step 7" in found.message
    assert len(found.evidence) == 2
    (found,) = resumed(saved_after=14, again=1)
    assert "began at step 10" in found.message
    assert len(resumed(width=2)) == 1


def test_an_attempt_that_goes_on_where_an_epoch_ended_makes_the_next_one_again():
    assert resumed(saved_after=9, again=1) == []


def test_an_attempt_that_starts_from_nothing_or_from_another_file_is_not_told():
    assert resumed(load=None) == []
    assert resumed(load="base.pt") == []


def test_another_order_and_one_in_turn_are_not_told():
    assert resumed(again=None) == []
    assert resumed(sampler=SEQUENTIAL) == []


def test_an_attempt_that_skips_what_was_done_is_not_told():
    def skip(loader):
        loader.connection.update(batches=[loader.batch(place) for place in range(8)])
        loader.connection.update(batches=[loader.batch(8)])

    assert resumed(act=skip) == []
