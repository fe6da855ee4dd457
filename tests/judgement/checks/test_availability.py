import pytest

from saksi.judgement.verdict import judge
from saksi.words.records import SignalRecord
from simulated_run import SimulatedRun, train


def ended(*, code=None, signal=None, forwarded: str | None = None):
    simulated = SimulatedRun()
    train(simulated)
    if forwarded is not None:
        simulated.add(SignalRecord(**simulated.stamp(), signal=forwarded, forwarded=True, sender=None))
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
        ({"signal": 11}, [("availability.failed", "info")]),
        ({"signal": 63}, [("availability.killed", "warning")]),
    ],
)
def test_how_a_job_ended(how, found):
    report = ended(**how)
    assert [(each.code, each.severity) for each in report.items] == found
    assert report.coverage.complete
