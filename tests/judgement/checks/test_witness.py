from saksi.judgement.checks import ALL, Judging
from saksi.judgement.verdict import judge
from saksi.words.records import Peer, RefusedRecord
from simulated_run import SimulatedRun, honest_run, run_with_other_bytes


def report(simulated: SimulatedRun):
    return judge(simulated.items(), run=simulated.run).report


def codes(simulated: SimulatedRun) -> set[str]:
    return {each.code for each in report(simulated).items}


def refused(simulated: SimulatedRun, **changes) -> None:
    fields = {"connection": 0, "peer": None, "rank": 0, "reason": "unknown field", "sample": "", "count": 1}
    simulated.add(RefusedRecord(**simulated.stamp(), **fields | changes))


def broken_run(*, tell: int | None) -> SimulatedRun:
    """One frame vanished without being dropped; `tell` frames are recorded as refused."""
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.update()
    connection.pending and connection.frame("seeded", generator="torch", seed="1", caller=None)
    connection.update()
    if tell is not None:
        refused(simulated, count=tell)
    connection.goodbye()
    simulated.exit()
    return simulated


def test_a_frame_that_is_missing_and_not_dropped_breaks_the_chain():
    found = report(broken_run(tell=None))
    assert [each.code for each in found.items] == ["witness.chain_broken"]
    assert found.items[0].severity == "critical"
    assert found.verdict == "affected"


def test_a_refused_frame_explains_its_gap():
    found = report(broken_run(tell=1))
    assert [each.code for each in found.items] == ["witness.frame_refused"]
    assert found.verdict == "unknown"
    assert not found.coverage.complete


def test_nothing_is_said_early_that_a_refusal_may_explain():
    judging = Judging(ALL)
    assert [each for item in broken_run(tell=None).items() for each in judging.take(item)] == []


def test_other_bytes_before_a_frame_break_the_chain():
    assert codes(run_with_other_bytes()) == {"witness.chain_broken"}


def test_frames_that_come_twice_break_the_chain():
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.update()
    again = connection.pending[-1]
    connection.pending.append(again)
    connection.goodbye()
    simulated.exit()
    assert "witness.chain_broken" in codes(simulated)


def test_dropped_frames_do_not_break_the_chain():
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.drop_update()
    connection.update()
    connection.goodbye()
    simulated.exit()
    assert "witness.chain_broken" not in codes(simulated)


def test_a_block_with_other_bytes_is_critical():
    simulated = honest_run()
    block = next(each.record for each in simulated.items() if each.lines)
    for digest in simulated.blobs:
        if str(digest) == block.blob:
            simulated.blobs[digest] = b"other"
    assert "witness.block_differs" in codes(simulated)
    assert report(simulated).verdict == "affected"


def test_an_absent_block_does_not_break_the_chain_of_what_follows():
    simulated = honest_run(steps=8)
    for item in simulated.items():
        if item.index == 4:
            simulated.blobs = {d: c for d, c in simulated.blobs.items() if str(d) != item.record.blob}
    assert "witness.chain_broken" not in codes(simulated)


def test_a_recorder_fault_leaves_coverage_incomplete_and_accuses_nobody():
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.update()
    connection.send("fault", where="batches", error="TypeError: x")
    connection.goodbye()
    simulated.exit()
    found = report(simulated)
    assert [(each.code, each.severity) for each in found.items] == [("witness.recorder_fault", "info")]
    assert (found.verdict, found.coverage.complete) == ("unknown", False)
    assert found.coverage.not_checkable[0].startswith("batches: ")


def test_a_peer_of_the_jobs_account_is_refused_without_alarm():
    simulated = honest_run()
    refused(simulated, connection=None, rank=None, peer=Peer(pid=9, uid=1000, gid=1000), reason="wrong token")
    (found,) = report(simulated).items
    assert (found.code, found.severity) == ("witness.peer_refused", "info")


def test_a_peer_of_another_account_turns_no_run_to_affected():
    simulated = honest_run()
    refused(simulated, connection=None, rank=None, peer=Peer(pid=9, uid=1001, gid=1001), reason="another account")
    (found,) = report(simulated).items
    assert (found.code, found.severity) == ("witness.peer_refused", "info")
    assert "It is not the job's account" in found.message


def test_of_peers_that_nobody_could_name_no_account_is_alleged():
    simulated = honest_run()
    refused(simulated, connection=None, rank=None, peer=None, reason="other refusals")
    (found,) = report(simulated).items
    assert "account" in found.subject
    assert "job's" not in found.message


def test_a_new_agent_counts_connections_from_0_again():
    simulated = honest_run()
    simulated._connections = 0
    simulated.admit()
    connection = simulated.attach(pid=4900)
    connection.update()
    connection.goodbye()
    simulated.exit()
    assert "witness.chain_broken" not in codes(simulated)
