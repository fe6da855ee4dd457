"""What an audit adds of how far apart records are: only where nothing is proved, and it changes nothing else."""

from types import SimpleNamespace

import msgspec
import pytest

from judgement.replay.test_judge import REPLAY, audited, trained
from range.test_with_replay import audit
from saksi.doors.cli import audit_distance
from saksi.doors.cli.audit_distance import with_distance
from saksi.doors.cli.audit_screen import draw_audit
from saksi.doors.cli.drawing import render
from saksi.doors.cli.screen import Screen
from saksi.processes.auditor.launches import NotReplayed
from saksi.processes.auditor.replaying import Replay, Replayed

RUN = trained(altered={7: {"loss": 9.0}})
ONE, OTHER = trained(REPLAY), trained("aa" * 8, altered={3: {"loss": 1.5}})
UNPROVED = msgspec.structs.replace(audit("mismatch", step=7), verdict="not_checkable", first_bad_step=None)


class Replays:
    """An audit's replays, whose next one comes to what is given."""

    def __init__(self, *, threads=None, again=None):
        self.asked = SimpleNamespace(reading=RUN, attempt=0, threads=threads)
        self.task = Replay(
            invocation=None, level="standard", segment=None, project=None, redaction_key=None, placed=(), written=(),
            hidden=(), cache=None, limit_s=1.0,
        )  # fmt: skip
        self.again, self.made = again, []

    def once(self, _name, _what, task):
        self.made.append(task)
        if isinstance(self.again, Exception):
            raise self.again
        return Replayed(reading=self.again, code=0, last_words="", observed=None)


@pytest.fixture(autouse=True)
def _simulated(monkeypatch):
    monkeypatch.setattr(audit_distance, "items_of", lambda each: each.items())
    monkeypatch.setattr(audit_distance, "items_within", lambda each, _: each.items())


@pytest.mark.parametrize("verdict", ["match", "mismatch"])
def test_where_something_is_proved_nothing_is_added(verdict):
    replays, found = Replays(threads=1, again=OTHER), audit(verdict, step=7 if verdict == "mismatch" else None)
    assert with_distance(replays, found, ONE, OTHER) is found
    assert replays.made == []


def test_a_run_that_was_not_replayed_has_no_distance():
    found = msgspec.structs.replace(audit("match"), verdict="not_checkable")
    assert with_distance(Replays(threads=1), found, ONE, None) is found


def test_where_nothing_is_proved_the_distance_is_told_and_nothing_else_changes():
    replays = Replays()
    found = with_distance(replays, UNPROVED, ONE, None)
    assert found.distance.loss.at.update == 7
    assert (found.distance.between_replays, found.distance.reason, replays.made) == (None, None, [])
    assert msgspec.structs.replace(found, distance=None) == UNPROVED


def test_two_replays_at_hand_are_compared_and_none_is_made():
    replays = Replays(threads=1)
    found = with_distance(replays, UNPROVED, ONE, OTHER)
    assert (found.distance.between_replays.loss.at.update, found.replays, replays.made) == (3, 1, [])


def test_where_it_is_asked_for_one_more_replay_has_other_threads():
    replays = Replays(threads=3, again=OTHER)
    found = with_distance(replays, UNPROVED, ONE, None)
    assert (found.distance.between_replays.updates, found.replays) == (12, 2)
    assert [each.threads for each in replays.made] == [3]


def test_one_more_replay_that_comes_to_nothing_takes_nothing_back():
    found = with_distance(Replays(threads=3, again=NotReplayed("no room for it")), UNPROVED, ONE, None)
    assert (found.distance.loss.at.update, found.distance.between_replays) == (7, None)
    assert (found.distance.reason, found.replays) == ("no room for it", 1)
    found = with_distance(Replays(threads=3), UNPROVED, ONE, None)
    assert found.distance.reason == "it left no record: it ended with exit code 0"


def test_the_screen_has_the_rows_of_a_distance():
    screen = Screen(width=100, height=None, colour=False, unicode=True, zone=None)
    shown = render(draw_audit(with_distance(Replays(), UNPROVED, ONE, None), screen), screen)
    assert "apart      equal in all 12 updates: model and optimizer" in shown
    assert "losses: 11 of 12 equal" in " ".join(shown.split())
    assert audited(RUN, ONE).distance is None
