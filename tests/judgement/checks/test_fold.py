from __future__ import annotations

from saksi.judgement.checks.fold import MAX_CAUSES, Noted, observation


def finding(number: int, severity: str = "info"):
    return observation(check="c", code="x.y", subject=f"place {number}", message="m", severity=severity)


def test_what_is_only_told_does_not_crowd_out_what_matters():
    noted = Noted()
    for number in range(MAX_CAUSES + 10):
        noted.note(finding(number))
    noted.note(finding(-1, "warning"))
    assert len(noted.kept()) == MAX_CAUSES + 1
    assert noted.kept()[-1].severity == "warning"
    assert len(noted.news()) == MAX_CAUSES + 1


def test_a_cause_that_is_known_is_stretched_also_when_there_is_no_room_left():
    noted = Noted()
    for number in range(MAX_CAUSES):
        noted.note(finding(number))
    again = observation(check="c", code="x.y", subject="place 0", message="m", severity="info", evidence=(7,))
    noted.note(again)
    assert noted.kept()[0].evidence == (7,)
