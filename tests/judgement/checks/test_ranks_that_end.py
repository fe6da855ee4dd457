"""How single ranks end, stop and fall silent, as findings."""

from __future__ import annotations

import pytest

from saksi.judgement.verdict import judge
from saksi.words.records import ExitRecord, SignalRecord, StateRecord
from simulated_run import SimulatedRun


def two_ranks():
    simulated = SimulatedRun()
    connections = [simulated.attach(rank, world_size=2, pid=5000 + rank) for rank in range(2)]
    for each in connections:
        for _ in range(3):
            each.update()
        each.flush()
    return simulated


def end(simulated, rank, **how):
    facts = {"signal": None, "code": None, "source": "proc", "rank": rank, "last_step": 2, **how}
    simulated.process(5000 + rank, event="ended", attached=True, torch=True, **facts)


def changed(simulated, event, step, *, launcher_stopped=False, **more):
    record = StateRecord(
        event=event, pid=5001, rank=1, last_step=step, since_wall_ns=1, launcher_stopped=launcher_stopped,
        **more, **simulated.stamp(),
    )  # fmt: skip
    simulated.add(record)


def found(simulated):
    report = judge(simulated.items(), run=simulated.run).report
    return [each for each in report.items if each.code.startswith("availability.")]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"signal": 9}, ("availability.killed", "warning")),
        ({"signal": 15}, ("availability.killed", "warning")),
        ({"signal": 11}, ("availability.failed", "info")),
        ({"code": 1}, ("availability.failed", "info")),
    ],
)
def test_a_rank_that_ends_is_told_with_its_last_step(how, expected):
    simulated = two_ranks()
    end(simulated, 1, **how)
    simulated.exit()
    (only,) = found(simulated)
    assert (only.code, only.severity) == expected
    assert (only.subject, only.ranks, only.first_step) == ("rank 1", (1,), 2)
    assert "after step 2" in only.message


@pytest.mark.parametrize("how", [{"code": 0}, {}])
def test_an_end_without_fault_or_of_which_nothing_is_known_is_no_finding(how):
    simulated = two_ranks()
    end(simulated, 1, **how)
    simulated.exit()
    assert found(simulated) == []


def test_ranks_that_follow_the_first_are_told_as_its_consequence():
    simulated = two_ranks()
    end(simulated, 1, signal=9)
    end(simulated, 0, signal=15)
    simulated.exit(code=1)
    by_rank = {each.ranks: each for each in found(simulated)}
    assert by_rank[1,].severity == "warning"
    assert by_rank[0,].severity == "info"
    assert "torchrun" in by_rank[0,].message


def test_want_of_memory_is_said_where_the_kernel_counted_it():
    simulated = two_ranks()
    end(simulated, 1, signal=9, killed_for_memory=1)
    simulated.exit()
    assert "memory that its cgroup may use" in found(simulated)[0].message


def test_a_command_that_trains_is_told_once():
    simulated = two_ranks()
    simulated.add(SignalRecord(**simulated.stamp(), signal="SIGTERM", forwarded=True, sender=None))
    end(simulated, 1, signal=15)
    exited = {"pid": 5001, "code": None, "signal": 15, "reason": "ended", "left_running": 0}
    simulated.add(ExitRecord(started_wall_ns=1, elapsed_ns=1, **exited, **simulated.stamp()))
    (only,) = found(simulated)
    assert (only.subject, only.severity) == ("rank 1", "info")


@pytest.mark.parametrize(("whole", "severity"), [(False, "warning"), (True, "info")])
def test_a_stop_begins_and_ends_at_a_step(whole, severity):
    simulated = two_ranks()
    changed(simulated, "stopped", 2, launcher_stopped=whole)
    changed(simulated, "continued", 2)
    simulated.exit()
    (only,) = found(simulated)
    assert (only.code, only.severity, only.ranks) == ("availability.stopped", severity, (1,))
    assert (only.first_step, only.last_step) == (2, 2)


def test_a_silence_that_lasts_has_no_last_step():
    simulated = two_ranks()
    changed(simulated, "silent", 2, after="ckpt", process_state="D")
    simulated.exit()
    (only,) = found(simulated)
    assert "after step 2, last heard of a model checkpoint, and was waiting for a disk" in only.message
    assert (only.code, only.severity, only.first_step, only.last_step) == ("availability.silent", "info", 2, None)
