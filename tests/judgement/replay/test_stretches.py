"""A run can be replayed from its start, and from each model checkpoint that holds a known content."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.replay.stretches import Restart, Stretch, saves_within, stretches_of
from saksi.words.records import FileRecord
from simulated_run import SimulatedRun

DIGEST = f"sha256:{'a' * 64}"


def restart(step, path="ckpt.pt"):
    return Restart(step=step, path=path, digest=DIGEST, size=1)


def run_that_saved(*saves, action="saved", digest=DIGEST):
    run = SimulatedRun()
    for step, path in saves:
        run.add(
            FileRecord(
                **run.stamp(), connection=0, seq=0, rank=0, action=action, path=path, step=step, digest=digest, size=1,
                claimed_digest=None, reason=None,
            )
        )  # fmt: skip
    return run.items()


def test_what_was_saved_behind_a_step_begins_the_next_one():
    assert stretches_of(40, [restart(9), restart(29)]) == (
        Stretch(first=0, behind=10),
        Stretch(first=10, behind=30, restart=restart(9)),
        Stretch(first=30, behind=40, restart=restart(29)),
    )


def test_what_was_saved_behind_the_last_step_begins_nothing():
    assert stretches_of(10, [restart(9)]) == (Stretch(first=0, behind=10),)
    assert stretches_of(0, []) == ()


@given(st.integers(0, 60), st.sets(st.integers(0, 80)))
def test_stretches_are_all_steps_once_and_in_order(steps, saved):
    found = stretches_of(steps, [restart(each) for each in sorted(saved)])
    assert [step for each in found for step in range(each.first, each.behind)] == list(range(steps))
    assert all(each.restart is None if each.first == 0 else each.restart.step == each.first - 1 for each in found)


def test_of_several_files_behind_a_step_the_last_that_fits_counts():
    items = run_that_saved((4, "out/model.pt"), (4, "out/ckpt-5.pt"), (4, "out/optimizer.pt"), (9, "out/ckpt-10.pt"))
    assert [each.path for each in saves_within(items, 0, named="ckpt-*.pt")] == ["out/ckpt-5.pt", "out/ckpt-10.pt"]
    assert [each.path for each in saves_within(items, 0)] == ["out/optimizer.pt", "out/ckpt-10.pt"]


def test_what_was_loaded_or_saved_before_the_first_step_or_elsewhere_or_not_read_is_none():
    assert saves_within(run_that_saved((4, "a"), action="loaded"), 0) == ()
    assert saves_within(run_that_saved((-1, "a")), 0) == ()
    assert saves_within(run_that_saved((4, "a"), digest=None), 0) == ()
    assert saves_within(run_that_saved((4, "a")), 1) == ()
