"""What the next agent says of what the dead one had judged, written down or neither."""

from __future__ import annotations

from saksi.processes.agent.live import LiveChecks
from saksi.processes.agent.takeover import LeftBehind
from saksi.words.records import FindingRecord, GapRecord

STAMP = {"run": "r", "attempt": 0, "wall_ns": 1, "mono_ns": 1, "boot": "b"}
GAP = (0, GapRecord(reason="the log could not be written", since_wall_ns=0, **STAMP))


def relived(*records):
    checks = LiveChecks()
    LeftBehind(records=records, keys=(), known_heads=(), since_wall_ns=1, blob=lambda _: None).relive(checks)
    return checks


def test_what_was_judged_and_not_written_down_is_the_next_agents_news():
    (found,) = relived(GAP).news()
    assert found.code == "coverage.gap"


def test_what_was_written_down_is_no_news():
    (found,) = relived(GAP).news()
    assert relived(GAP, (1, FindingRecord(finding=found, **STAMP))).news() == ()
