import pytest

from saksi.judgement.verdict import judge
from saksi.words.records import SignalRecord
from simulated_run import SimulatedRun, train


def ended(*, code=None, signal=None, forwarded: str | None = None, told: str | None = None):
    simulated = SimulatedRun()
    train(simulated)
    if forwarded is not None:
        simulated.add(SignalRecord(**simulated.stamp(), signal=forwarded, forwarded=True, sender=None))
    if told is not None:
        simulated.add(SignalRecord(**simulated.stamp(), signal=told, forwarded=False, sender=None))
    simulated.exit(code=code, signal=signal)
    return judge(simulated.items(), run=simulated.run).report


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({"code": 0}, []),
        ({}, []),
        ({"code": 1}, [("availability.failed", "info")]),
        ({"signal": 9}, [("availability.killed", "warning")]),
        ({"signal": 15}, [("availability.killed", "warning")]),
        ({"signal": 15, "forwarded": "SIGTERM"}, [("availability.killed", "info")]),
        ({"signal": 2, "forwarded": "SIGINT"}, [("availability.killed", "info")]),
        ({"signal": 9, "forwarded": "SIGINT"}, [("availability.killed", "warning")]),
        ({"signal": 2, "told": "SIGINT"}, [("availability.killed", "info")]),
        ({"signal": 15, "told": "SIGINT"}, [("availability.killed", "warning")]),
        ({"signal": 11}, [("availability.failed", "info")]),
        ({"signal": 63}, [("availability.killed", "warning")]),
    ],
)
def test_how_a_job_ended(how, found):
    report = ended(**how)
    assert [(each.code, each.severity) for each in report.items] == found
    assert report.coverage.complete


@pytest.mark.parametrize(
    ("reached", "how"),
    [
        ({"forwarded": "SIGTERM"}, "and was passed on"),
        ({"told": "SIGTERM"}, "too, as one from a terminal or to a whole group does"),
        ({"forwarded": "SIGTERM", "told": "SIGTERM"}, "and was passed on"),
    ],
)
def test_how_a_signal_reached_the_launcher_is_said(reached, how):
    (found,) = ended(signal=15, **reached).items
    assert found.message == f"The job ended by SIGTERM, which reached the launcher {how}: somebody stopped it."
