import msgspec
import pytest

from saksi.judgement.checks import ALL, merge
from saksi.judgement.checks.coverage import COVERAGE
from saksi.judgement.checks.fold import MAX_EVIDENCE
from saksi.judgement.verdict import Assurance, exit_code, judge, verdict_of, verdict_sentence
from saksi.words.findings import CODES, Finding
from saksi.words.records import FindingRecord
from simulated_run import SimulatedRun, honest_run

ASSURED = Assurance(seal_approved=True, environment_verified=True)


def finding(**changes) -> Finding:
    fields = {
        "code": "witness.chain_broken",
        "severity": "critical",
        "first_step": 3,
        "last_step": 3,
        "ranks": (0,),
        "subject": "frames",
        "check": "witness",
        "message": "They do not follow.",
        "evidence": (4,),
    }
    return Finding(**fields | changes)


def record(simulated: SimulatedRun, found: Finding) -> None:
    simulated.add(FindingRecord(**simulated.stamp(), finding=found))


def test_nothing_found_is_not_yet_proof():
    judgement = judge(honest_run(steps=60).items(), run="00112233445566aa")
    said = verdict_sentence(judgement)
    assert said.text == ("Nothing found in 60 of 60 steps. Not yet proof: seal not approved, environment not verified.")
    assert said.next_command == "saksi verify 00112233445566aa"
    assert judgement.report.verdict == "unknown"
    assert exit_code(judgement.report) == 3


def test_clean_needs_seal_environment_and_coverage():
    judgement = judge(honest_run().items(), run="r", assurance=ASSURED)
    assert judgement.report.verdict == "clean"
    assert exit_code(judgement.report) == 0
    assert verdict_sentence(judgement).text == "Nothing found in 6 of 6 steps."


def test_the_verdict_on_what_still_counts_is_never_better_than_coverage_and_assurance_allow():
    simulated = honest_run()
    record(simulated, finding(code="live.hook_added", severity="warning"))
    judgement = judge(simulated.items(), run="r", assurance=ASSURED)
    assert (judgement.report.verdict, verdict_of(judgement, judgement.report.items)) == ("affected", "affected")
    assert verdict_of(judgement, ()) == "clean"
    for lacking in (
        msgspec.structs.replace(judgement, ran_all=False),
        judge(simulated.items(), run="r", assurance=ASSURED, live=True),
        judge(simulated.items(), run="r"),
    ):
        assert verdict_of(lacking, ()) == "unknown"


@pytest.mark.parametrize(
    "lacking",
    [
        Assurance(seal_approved=False, environment_verified=True),
        Assurance(seal_approved=True, environment_verified=False),
        Assurance(seal_approved=True, environment_verified=True, planned_steps=7),
    ],
)
def test_anything_lacking_is_unknown(lacking):
    assert judge(honest_run().items(), run="r", assurance=lacking).report.verdict == "unknown"


def test_a_check_that_did_not_run_is_unknown():
    report = judge(honest_run().items(), run="r", assurance=ASSURED, checks=(COVERAGE,)).report
    assert report.verdict == "unknown"
    with pytest.raises(ValueError, match="not in"):
        judge(honest_run().items(), run="r", checks=[each for each in ALL if each is not COVERAGE])


def test_a_running_job_is_never_clean():
    judgement = judge(honest_run().items(), run="r", assurance=ASSURED, live=True)
    assert judgement.report.verdict == "unknown"
    said = verdict_sentence(judgement)
    assert "the run goes on" in said.text
    assert said.next_command == "saksi show r --follow"


def test_coverage_findings_make_unknown_and_exit_3_at_any_severity():
    simulated = SimulatedRun()
    simulated.exit()
    judgement = judge(simulated.items(), run="r", assurance=ASSURED)
    assert judgement.report.verdict == "unknown"
    assert exit_code(judgement.report, fail_on="info") == 3
    assert verdict_sentence(judgement).text.startswith("No training was seen.")


def test_a_recorded_finding_stands_though_nothing_follows_from_the_records():
    simulated = honest_run()
    record(simulated, finding())
    judgement = judge(simulated.items(), run="r", assurance=ASSURED)
    assert judgement.report.verdict == "affected"
    assert exit_code(judgement.report) == 1
    assert verdict_sentence(judgement).text.startswith("1 finding, the first at step 3.")
    assert verdict_sentence(judgement).next_command == "saksi findings r"


def test_a_recorded_finding_that_is_computed_again_appears_once():
    simulated = SimulatedRun()
    simulated.exit(code=1)
    computed = next(
        each for each in judge(simulated.items(), run="r").report.items if each.code == "availability.failed"
    )
    record(simulated, computed)
    again = [each.code for each in judge(simulated.items(), run="r").report.items]
    assert again.count("availability.failed") == 1


@pytest.mark.parametrize(("severity", "expected"), [("info", ["info"]), ("warning", ["info", "warning"])])
def test_a_recorded_finding_that_weighs_more_than_the_computed_one_stands_beside_it(severity, expected):
    simulated = SimulatedRun()
    simulated.exit(code=1)
    computed = next(
        each for each in judge(simulated.items(), run="r").report.items if each.code == "availability.failed"
    )
    assert computed.severity == "info"
    record(simulated, msgspec.structs.replace(computed, severity=severity))
    items = judge(simulated.items(), run="r").report.items
    assert [each.severity for each in items if each.code == "availability.failed"] == expected


@pytest.mark.parametrize("order", [("info", "warning"), ("warning", "info"), ("warning", "warning")])
def test_of_two_recorded_findings_the_weightier_stands(order):
    simulated = honest_run()
    for severity in order:
        record(simulated, finding(severity=severity))
    report = judge(simulated.items(), run="r", assurance=ASSURED).report
    assert [each.severity for each in report.items if each.code == finding().code] == ["warning"]
    assert report.verdict == "affected"


@pytest.mark.parametrize(("fail_on", "code"), [("info", 1), ("warning", 1), ("critical", 3)])
def test_fail_on(fail_on, code):
    simulated = honest_run()
    record(simulated, finding(severity="warning"))
    assert exit_code(judge(simulated.items(), run="r", assurance=ASSURED).report, fail_on=fail_on) == code


def test_an_info_finding_leaves_clean_clean():
    simulated = honest_run()
    record(simulated, finding(severity="info"))
    assert judge(simulated.items(), run="r", assurance=ASSURED).report.verdict == "clean"


def test_findings_merge_by_cause():
    merged = merge([finding(first_step=9, last_step=9, evidence=(9,), ranks=(2,)), finding(), finding(subject="x")])
    assert [(each.subject, each.first_step, each.last_step, each.ranks) for each in merged] == [
        ("frames", 3, 9, (0, 2)),
        ("x", 3, 3, (0,)),
    ]
    many = merge(finding(evidence=(at,)) for at in range(500))
    assert len(many[0].evidence) == MAX_EVIDENCE


def test_no_check_makes_a_code_that_is_not_listed():
    simulated = SimulatedRun()
    connection = simulated.attach(world_size=3)
    connection.drop_update()
    connection.send("fault", where="x", error="y")
    connection.send("uncovered", what="x", reason="y", step=0)
    connection.prev = "0" * 64
    connection.update()
    connection.vanish()
    simulated.process()
    simulated.exit(signal=9, code=None)
    report = judge(simulated.items(), run="r").report
    assert len({each.code for each in report.items}) > 6
    assert {each.code for each in report.items} <= set(CODES)
