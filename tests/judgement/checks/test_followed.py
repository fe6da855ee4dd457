"""What checks keep of processes is bounded, and who is connected is never let go for who is not."""

import pytest

from saksi.judgement.checks import ALL, Judging, merge
from saksi.judgement.checks import followed as module
from saksi.judgement.checks.continuity import CONTINUITY
from saksi.judgement.checks.fold import Noted
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.live_code import LIVE_CODE
from saksi.words.frames import UpdateFrame
from simulated_run import SimulatedRun, hex64


class Counted:
    def __init__(self):
        self.size = 0
        self.updates = 0


def followed_over(simulated, *, size=1_000_000, max_resting=256, each=0):
    noted, gone = Noted(), []
    followed = Followed(
        Counted, size=size, noted=noted, what="nothing is counted", gone=gone.append, max_resting=max_resting
    )
    for item in simulated.items():
        for _, kept in followed.take(item, UpdateFrame):
            kept.updates += 1
            kept.size += each
    return followed, gone, noted


def test_a_process_without_a_goodbye_is_found_again_on_its_next_connection():
    simulated = SimulatedRun()
    first = simulated.attach()
    first.update()
    first.vanish()
    again = simulated.reattach(first)
    again.update()
    again.flush()
    followed, gone, _ = followed_over(simulated)
    assert [each.updates for each in followed.kept()] == [2]
    assert gone == []


def test_a_goodbye_lets_go_at_once():
    simulated = SimulatedRun()
    first = simulated.attach()
    first.update()
    first.goodbye()
    followed, gone, _ = followed_over(simulated)
    assert list(followed.kept()) == []
    assert [each.updates for each in gone] == [1]


def test_of_those_that_left_the_last_are_kept_and_whoever_is_connected_stays():
    simulated = SimulatedRun()
    honest = simulated.attach()
    honest.update()
    honest.flush()
    for pid in range(5_000, 5_010):
        other = simulated.attach(pid=pid)
        other.update()
        other.vanish()
    honest.update()
    honest.flush()
    followed, gone, _ = followed_over(simulated, max_resting=3)
    assert sorted(each.updates for each in followed.kept()) == [1, 1, 1, 2]
    assert len(gone) == 7


def test_where_there_is_no_room_those_that_left_go_first():
    simulated = SimulatedRun()
    honest = simulated.attach()
    honest.update()
    honest.flush()
    for pid in range(5_000, 5_010):
        other = simulated.attach(pid=pid)
        other.update()
        other.vanish()
    for _ in range(5):
        honest.update()
    honest.flush()
    followed, gone, _ = followed_over(simulated, size=6, each=1)
    assert [each.updates for each in followed.kept()] == [6]
    assert len(gone) == 10
    assert followed.room == 0


def test_more_processes_at_a_time_than_are_followed_are_told_once_by_name_of_what_is_not_judged(monkeypatch):
    monkeypatch.setattr(module, "MAX_PROCESSES", 2)
    simulated = SimulatedRun()
    for pid in range(5_000, 5_004):
        other = simulated.attach(pid=pid)
        other.update()
        other.flush()
    followed, _, noted = followed_over(simulated)
    assert len(list(followed.kept())) == 2
    (told,) = noted.kept()
    assert told.code == "coverage.not_followed"
    assert told.severity == "warning"
    assert told.message == ("More processes speak at a time than are followed (2); of the others nothing is counted.")


@pytest.mark.parametrize("check", [CONTINUITY, LIVE_CODE], ids=["continuity", "live_code"])
def test_what_was_found_of_a_process_is_told_after_it_was_let_go(check, monkeypatch):
    def findings():
        simulated = SimulatedRun()
        other = simulated.attach(answers=False)
        del other.pending[1:]
        other.seq = 1
        for step, start in enumerate(("0a", "0b", "0d")):
            print_of = {"name": "sum64-4096", "over": "parameters", "share": 0, "of": 1}
            other.update(fingerprints=[print_of | {"start": start * 16, "end": f"0{'bcd'[step]}" * 16}])
        other.vanish()
        simulated.attach(pid=4_711).vanish()
        state = check.start()
        for item in simulated.items():
            state, _ = check.step(state, item)
        return check.finish(state, ended=True)

    kept = findings()
    assert kept
    monkeypatch.setattr(module, "MAX_RESTING", 0)
    monkeypatch.setattr("saksi.judgement.checks.live_code.MAX_RESTING", 0)
    assert findings() == kept


def test_checks_that_share_their_ears_say_what_each_says_alone():
    simulated = SimulatedRun()
    first, second = simulated.attach(0, world_size=2), simulated.attach(1, world_size=2)
    for step in range(6):
        for connection in (first, second):
            connection.update(fingerprints=[], rng={"torch": hex64(f"{connection.rank}{step % 4}")})
    first.vanish()
    second.goodbye()
    simulated.exit()
    alone = [finding for check in ALL for finding in findings_of([check], simulated)]
    assert {each.code for each in alone} >= {"randomness.state_repeated", "coverage.rank_ended_silently"}
    assert merge(alone) == merge(findings_of(ALL, simulated))


def findings_of(checks, simulated):
    judging = Judging(checks)
    for item in simulated.items():
        judging.take(item)
    return judging.findings(ended=True)
