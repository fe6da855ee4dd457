"""What was saved is known by name, rank, Step and turn; what differs is told with how."""

import pytest

from doors.cli.cli_home import SealedRun
from judgement.replay.test_judge import trained
from saksi.judgement.replay.recorded import recorded_of
from saksi.judgement.replay.saved import MAX_SAVED, Saved, last_compared, saved_beside, saved_of


def saved(path="/out/best.pt", *, step=9, rank=0, content="a"):
    return Saved(path=path, rank=rank, step=step, content=content)


ONE = (saved(), saved("/out/last.pt", step=19))


def told(found):
    return [(each.path, each.step, each.how) for each in found.named]


def test_the_same_files_are_equal():
    found = saved_beside(ONE, ONE)
    assert (found.equal, found.differing, found.named) == (2, 0, ())


def test_a_folder_may_have_another_name():
    assert saved_beside(ONE, tuple(saved(f"/elsewhere/{each.path[5:]}", step=each.step) for each in ONE)).equal == 2


@pytest.mark.parametrize(
    ("replayed", "other"),
    [
        ((saved(content="b"), ONE[1]), [("/out/best.pt", 9, "other content")]),
        ((saved(content=None), ONE[1]), [("/out/best.pt", 9, "not known")]),
        (ONE[1:], [("/out/best.pt", 9, "in the record alone")]),
        ((*ONE, saved(step=29)), [("/out/best.pt", 29, "in the replay alone")]),
        (
            (saved(step=10), ONE[1]),
            [("/out/best.pt", 9, "in the record alone"), ("/out/best.pt", 10, "in the replay alone")],
        ),
        ((*ONE, saved()), [("/out/best.pt", 9, "in the replay alone")]),
        ((saved(rank=1), *ONE), [("/out/best.pt", 9, "in the replay alone")]),
    ],
)
def test_what_differs_is_told_with_how(replayed, other):
    found = saved_beside(ONE, replayed)
    assert told(found) == other
    assert found.differing == len(other)


def test_several_of_one_name_behind_a_step_may_come_in_any_order():
    assert saved_beside((saved(), saved(content="b")), (saved(content="b"), saved())).equal == 2
    found = saved_beside((saved(), saved(content="b")), (saved(content="c"), saved()))
    assert (found.equal, told(found)) == (1, [("/out/best.pt", 9, "other content")])


def test_behind_the_last_step_of_the_shorter_one_nothing_is_compared():
    found = saved_beside(ONE, ONE[:1], before=19)
    assert (found.equal, found.differing) == (1, 0)
    assert saved_beside(ONE[1:], (), before=19) is None


@pytest.mark.parametrize(
    ("steps", "made", "ended", "last"),
    [(20, 20, False, None), (20, 20, True, 19), (12, 20, False, 11), (20, 12, False, 11)],
)
def test_where_one_of_them_went_on_what_can_be_compared_ends_before_the_last_step_of_the_other(
    steps, made, ended, last
):
    recorded, replayed = (
        recorded_of(trained(run, steps=count).items(), 0) for run, count in (("a" * 16, steps), ("b" * 16, made))
    )
    assert last_compared(recorded, replayed, ended=ended) == last


def test_where_nothing_or_too_much_was_saved_nothing_is_compared():
    assert saved_beside((), ()) is None
    assert saved_beside((saved(),) * (MAX_SAVED + 1), ()) is None


def test_files_are_those_that_an_attempt_saved_with_what_the_agent_read():
    run = SealedRun()
    run.attach()
    run.file(path="/out/best.pt", digest="sha256:" + "a" * 64, step=3)
    run.file(path="/out/best.pt", digest=None, step=4)
    run.file(path="/out/old.pt", digest="sha256:" + "b" * 64, step=-1, action="loaded")
    assert [(each.step, each.content) for each in saved_of(run.items(), 0)] == [(3, "sha256:" + "a" * 64), (4, None)]
    assert saved_of(run.items(), 1) == ()
