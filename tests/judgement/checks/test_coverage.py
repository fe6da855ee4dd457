import pytest

from saksi.judgement.checks import ALL, Judging
from saksi.judgement.verdict import judge
from saksi.words.records import DetachRecord, FileRecord, GapRecord, GpuProcess, GpusRecord
from simulated_run import SimulatedRun, honest_run, train


def findings(simulated: SimulatedRun, *, live: bool = False):
    return judge(simulated.items(), run=simulated.run, live=live).report


def codes(simulated: SimulatedRun, *, live: bool = False) -> list[str]:
    return [each.code for each in findings(simulated, live=live).items]


def only(simulated: SimulatedRun, code: str):
    (found,) = [each for each in findings(simulated).items if each.code == code]
    return found


@pytest.mark.parametrize("ranks", [1, 4])
def test_an_honest_run_is_covered(ranks):
    report = findings(honest_run(ranks=ranks, steps=7))
    assert report.items == ()
    assert report.coverage.complete
    assert (report.coverage.steps_expected, report.coverage.steps_witnessed, report.coverage.ranks) == (7, 7, ranks)


def test_dropped_updates_are_missing_steps_and_dropped_records():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for step in range(10):
        connection.drop_update() if step in {3, 4, 8} else connection.update()
    connection.goodbye()
    simulated.exit()
    found = only(simulated, "coverage.steps_missing")
    assert (found.first_step, found.last_step, found.ranks, found.subject) == (3, 8, (0,), "optimizer 0")
    assert set(codes(simulated)) == {"coverage.steps_missing", "coverage.records_dropped"}
    coverage = findings(simulated).coverage
    assert (coverage.steps_expected, coverage.steps_witnessed, coverage.dropped_records) == (10, 7, 3)
    assert not coverage.complete


def test_dropped_updates_at_the_end_are_known_from_the_goodbye():
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.update()
    connection.drop_update()
    connection.goodbye()
    simulated.exit()
    found = only(simulated, "coverage.steps_missing")
    assert (found.first_step, found.last_step) == (1, 1)
    assert findings(simulated).coverage.steps_expected == 2


def test_missing_updates_of_a_second_optimizer_name_it():
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.update()
    connection.update(optimizer=1)
    connection.drop_update(optimizer=1)
    connection.update(optimizer=1)
    connection.goodbye()
    simulated.exit()
    assert only(simulated, "coverage.steps_missing").subject == "optimizer 1"
    assert findings(simulated).coverage.steps_witnessed == 1


def test_a_counter_that_goes_back_is_said_so():
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.update()
    connection.update()
    connection.updates[0] = 0
    connection.update()
    connection.updates[0] = 2
    connection.goodbye()
    simulated.exit()
    assert "went back" in only(simulated, "coverage.steps_missing").message


@pytest.mark.parametrize("recorded", [True, False])
def test_a_rank_that_ends_without_a_goodbye(recorded):
    simulated = SimulatedRun()
    a, b = simulated.attach(0, world_size=2), simulated.attach(1, world_size=2)
    for step in range(6):
        a.update()
        if step < 3:
            b.update()
    if recorded:
        b.vanish()
    else:
        b.flush()
    a.goodbye()
    simulated.exit()
    found = only(simulated, "coverage.rank_ended_silently")
    assert (found.ranks, found.first_step) == ((1,), 2)
    coverage = findings(simulated).coverage
    assert (coverage.steps_expected, coverage.steps_witnessed) == (6, 3)


def test_a_rank_that_is_still_attached_is_not_silent_while_the_run_goes_on():
    simulated = SimulatedRun()
    connection = simulated.attach(world_size=2)
    connection.update()
    connection.flush()
    assert codes(simulated, live=True) == []
    assert not findings(simulated, live=True).coverage.complete


def test_ranks_that_never_trained_are_named():
    simulated = SimulatedRun()
    train(simulated, ranks=2)
    connection = simulated.attach(0, world_size=4, pid=4500)
    connection.update()
    connection.goodbye()
    simulated.exit()
    found = only(simulated, "coverage.rank_missing")
    assert (found.ranks, found.subject) == ((1, 2, 3), "attempt 0, restart 1")


def test_a_rank_that_is_missing_is_news_a_minute_after_the_others_trained():
    simulated = SimulatedRun()
    present = [simulated.attach(rank, world_size=3) for rank in (0, 2)]
    for _ in range(4):
        assert codes(simulated, live=True) == []
        for each in present:
            each.update()
            each.flush()
        simulated.wait(25)
    judging = Judging(ALL)
    news = [each for item in simulated.items() for each in judging.take(item)]
    assert [(each.code, each.ranks) for each in news] == [("coverage.rank_missing", (1,))]
    assert codes(simulated, live=True) == ["coverage.rank_missing"]


def test_a_rank_that_starts_late_is_not_missing():
    simulated = SimulatedRun()
    first = simulated.attach(0, world_size=2)
    first.update()
    first.flush()
    simulated.wait(50)
    second = simulated.attach(1, world_size=2)
    for _ in range(3):
        for each in (first, second):
            each.update()
            each.flush()
        simulated.wait(50)
    assert codes(simulated, live=True) == []


def test_a_world_of_impossible_size_costs_nothing():
    simulated = SimulatedRun()
    connection = simulated.attach(world_size=2**62)
    connection.update()
    connection.goodbye()
    simulated.exit()
    assert len(only(simulated, "coverage.rank_missing").ranks) == 256


def test_a_torch_process_that_never_attached():
    simulated = honest_run()
    simulated.process(pid=5000)
    found = only(simulated, "coverage.process_unwitnessed")
    assert found.subject == "process 5000 (python3 -I train.py)"
    coverage = findings(simulated).coverage
    assert coverage.steps_expected is None
    assert not coverage.complete


@pytest.mark.parametrize("changes", [{"forked": True}, {"torch": False}, {"attached": True}])
def test_processes_that_need_no_witness(changes):
    simulated = honest_run()
    simulated.process(**changes)
    assert codes(simulated) == []


def on_gpu(simulated, pid, *, witnessed):
    each = GpuProcess(gpu="GPU-0", pid=pid, started_ticks=100, used_bytes=None, witnessed=witnessed)
    simulated.add(GpusRecord(processes=[each], others=0, **simulated.stamp()))


def test_a_process_on_a_gpu_that_never_attached():
    simulated = SimulatedRun()
    train(simulated)
    on_gpu(simulated, 5000, witnessed=False)
    on_gpu(simulated, 5001, witnessed=True)
    simulated.exit()
    found = only(simulated, "coverage.process_unwitnessed")
    assert (found.subject, "GPU-0" in found.message) == ("process 5000", True)


def test_a_process_on_a_gpu_that_attached_later_is_witnessed():
    simulated = SimulatedRun()
    on_gpu(simulated, 4000, witnessed=False)
    train(simulated)
    simulated.exit()
    assert codes(simulated) == []


def test_a_process_that_may_not_be_looked_into_is_not_checkable():
    simulated = honest_run()
    simulated.process(torch=None)
    assert codes(simulated) == ["coverage.process_not_checkable"]
    assert not findings(simulated).coverage.complete


def test_a_process_seen_before_it_attached_is_witnessed():
    simulated = SimulatedRun()
    simulated.process(pid=4000)
    train(simulated)
    simulated.exit()
    assert codes(simulated) == []


def test_a_job_that_does_not_train():
    simulated = SimulatedRun()
    simulated.exit()
    assert codes(simulated) == ["coverage.no_training_seen"]
    assert findings(simulated).coverage.steps_expected is None


def test_a_log_without_an_exit_record():
    simulated = SimulatedRun()
    train(simulated)
    assert codes(simulated) == ["coverage.no_exit_record"]
    assert codes(simulated, live=True) == []


def test_an_attempt_without_an_exit_record_is_found_after_a_resume():
    simulated = SimulatedRun()
    train(simulated)
    simulated.resume()
    train(simulated)
    simulated.exit()
    assert only(simulated, "coverage.no_exit_record").subject == "attempt 0"
    assert codes(simulated, live=True) == ["coverage.no_exit_record"]


def test_steps_of_all_attempts_and_restarts_are_added():
    simulated = honest_run(steps=5)
    simulated.resume()
    train(simulated, steps=3)
    train(simulated, steps=2)
    simulated.exit()
    coverage = findings(simulated).coverage
    assert (coverage.complete, coverage.steps_expected, coverage.steps_witnessed) == (True, 10, 10)


def test_a_gap_is_found_with_its_reason():
    simulated = honest_run()
    simulated.add(GapRecord(**simulated.stamp(), reason="the agent was started again", since_wall_ns=None))
    assert "started again" in only(simulated, "coverage.gap").message


def test_what_the_recorder_does_not_see_is_listed():
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.update()
    connection.send("uncovered", what="compiled regions", reason="calls in a graph are not seen", step=0)
    connection.send("uncovered", what="compiled regions", reason="calls in a graph are not seen", step=5)
    connection.goodbye()
    simulated.exit()
    found = only(simulated, "coverage.uncovered")
    assert (found.first_step, found.last_step, found.severity) == (0, 5, "info")
    assert findings(simulated).coverage.not_checkable[0].startswith("compiled regions: ")


def test_absent_blocks_leave_the_rest_standing():
    simulated = honest_run(steps=6)
    block = next(each for each in simulated.items() if each.index == 4)
    for digest in list(simulated.blobs):
        if str(digest) == block.record.blob:
            del simulated.blobs[digest]
    assert set(codes(simulated)) == {"coverage.block_absent", "coverage.steps_missing"}
    assert findings(simulated).verdict == "unknown"


@pytest.mark.parametrize(
    ("digest", "claimed", "found"),
    [
        ("a" * 64, "a" * 64, []),
        ("a" * 64, None, []),
        (None, "a" * 64, ["ckpt.not_checkable"]),
        ("a" * 64, "b" * 64, ["ckpt.not_checkable"]),
    ],
)
def test_a_model_checkpoint_is_compared_with_what_the_job_said(digest, claimed, found):
    simulated = honest_run()
    simulated.add(
        FileRecord(
            **simulated.stamp(),
            connection=0,
            seq=3,
            rank=0,
            action="saved",
            path="/tmp/a.pt",
            step=3,
            digest=None if digest is None else f"sha256:{digest}",
            size=3,
            claimed_digest=None if claimed is None else f"sha256:{claimed}",
            reason=None,
        )
    )
    assert codes(simulated) == found


def test_news_comes_once_and_early():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for step in range(20):
        connection.drop_update() if step % 3 == 1 else connection.update()
        connection.flush()
    judging = Judging(ALL)
    news = [(item.index, each.code) for item in simulated.items() for each in judging.take(item)]
    assert [code for _, code in news] == ["coverage.records_dropped", "coverage.steps_missing"]
    assert news[0][0] < 6


def test_frames_without_an_attach_record_still_count():
    simulated = honest_run()
    simulated.entries = [each for each in simulated.entries if b'"kind":"attach"' not in each]
    assert findings(simulated).coverage.steps_witnessed == 6


def test_a_detach_of_an_unknown_connection_is_harmless():
    simulated = honest_run()
    detach = next(each.record for each in simulated.items() if isinstance(each.record, DetachRecord))
    simulated.entries = [each for each in simulated.entries if b'"kind":"block"' not in each]
    simulated.add(detach)
    assert "coverage.no_training_seen" in codes(simulated)
