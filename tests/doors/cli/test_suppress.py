"""Suppressions on the command line: shown apart, not counted, written down, and of no weight elsewhere."""

import json
from datetime import UTC, datetime, timedelta

import jsonschema
import pytest

from doors.cli.cli_home import OTHER, SealedRun
from saksi.doors.cli import findings as listing
from saksi.doors.cli.schemas import schema_text
from simulated_run import INSTALLATION, RUN

TODAY = datetime.now(UTC).date()
SOON = (TODAY + timedelta(days=30)).isoformat()
CODE = "plan.hyper_parameter_changed"
WHY = ("--reason", "a schedule of our own", "--owner", "training-team", "--until", SOON)


def changed(run: str = RUN, **seal) -> SealedRun:
    """A run in which a hyper-parameter stood still and then changed."""
    simulated = SealedRun(run, **seal)
    connection = simulated.attach()
    for step in range(60):
        connection.update(groups=[{"lr": 0.1, "weight_decay": 0.01 if step < 40 else 0.02}])
    connection.goodbye()
    simulated.exit()
    return simulated


@pytest.fixture
def kept(home):
    home.trust()
    home.keep(changed())
    return home


def document(home, *words, schema="saksi.findings/v1"):
    code, out, err = home.call("findings", *words, "--json")
    assert err == ""
    found = json.loads(out)
    jsonschema.validate(found, json.loads(schema_text(schema)), jsonschema.Draft202012Validator)
    return code, found


def subject_of(home):
    return next(each["subject"] for each in document(home, "last")[1]["items"] if each["code"] == CODE)


def suppress(home, *words):
    code, out, err = home.call("findings", "suppress", *words)
    assert (code, err) == (0, "")
    return out.partition(":")[0]


def test_show_leaves_out_what_is_suppressed_and_says_how_many(kept):
    before = json.loads(kept.call("show", "last", "--json")[1])
    assert (before["verdict"], before["suppressed"]) == ("affected", 0)
    suppress(kept, CODE, "--subject", "*", *WHY)
    after = json.loads(kept.call("show", "last", "--json")[1])
    assert (after["verdict"], after["suppressed"]) == (document(kept, "last")[1]["verdict"], 1)
    assert CODE in {each["code"] for each in before["findings"]}
    assert CODE not in {each["code"] for each in after["findings"]}
    assert "1 finding is suppressed in this home, and not counted: saksi findings" in kept.call("show", "last")[1]


def test_a_suppressed_finding_is_shown_apart_and_does_not_count(kept):
    before_code, before = document(kept, "last")
    assert (before_code, before["verdict"]) == (1, "affected")
    identity = suppress(kept, CODE, "--subject", "*", *WHY)
    code, after = document(kept, "last")
    assert (code, after["verdict"]) == (3, "unknown")
    assert CODE not in {each["code"] for each in after["items"]}
    apart = [each["finding"] for each in after["suppressed"]]
    assert sorted([*after["items"], *apart], key=str) == sorted(before["items"], key=str)
    assert {each["suppression"]["id"] for each in after["suppressed"]} == {identity}
    code, out, _ = kept.call("findings", "last")
    assert code == 3
    flat = " ".join(out.split())
    assert CODE in flat
    assert f"suppressed until {SOON}, because a schedule of our own (by training-team, account" in flat


def test_what_was_ended_counts_again_and_both_acts_stay(kept):
    identity = suppress(kept, CODE, "--subject", "*", *WHY)
    assert kept.call("findings", "unsuppress", identity)[0] == 0
    assert document(kept, "last")[0] == 1
    (line,) = document(kept, "suppressions", schema="saksi.suppressions/v1")[1]["suppressions"]
    assert (line["id"], line["state"], line["owner"]) == (identity, "ended", "training-team")
    acts = [json.loads(each)["act"] for each in (kept.root / "suppressions.jsonl").read_text().splitlines()]
    assert acts == ["made", "ended"]
    assert "ended" in kept.call("findings", "suppressions")[1]


def test_what_is_over_does_nothing_and_is_said(kept, monkeypatch):
    suppress(kept, CODE, "--subject", "*", *WHY)

    class Later:
        @staticmethod
        def now(zone):
            return datetime.now(zone) + timedelta(days=31)

    monkeypatch.setattr(listing, "datetime", Later)
    code, found = document(kept, "last")
    assert (code, found["suppressed"], [each["state"] for each in found["expired"]]) == (1, [], ["expired"])
    assert f"A suppression is over since {SOON}" in kept.call("findings", "last")[1]


def test_a_suppression_is_held_to_a_run_or_a_project(kept):
    kept.keep(changed(OTHER, name="other", project="speech"))
    suppress(kept, CODE, "--subject", subject_of(kept), "--run", "other", *WHY)
    assert [document(kept, run)[0] for run in (RUN, OTHER)] == [1, 3]
    kept.call("findings", "unsuppress", suppress(kept, CODE, "--subject", "*", "--project", "nobody", *WHY))
    assert document(kept, RUN)[0] == 1
    suppress(kept, CODE, "--subject", "*", "--project", "nobody", *WHY)
    assert document(kept, RUN)[0] == 1


def test_one_that_covers_nothing_of_its_run_says_so(kept):
    code, out, err = kept.call("findings", "suppress", CODE, "--subject", "weigth*", "--run", "last", *WHY)
    assert (code, out.count("\n"), err.count("\n")) == (0, 1, 1)
    assert f"covers no finding of run {RUN}" in err


def test_others_who_verify_the_run_see_what_is_suppressed_here(kept, tmp_path, monkeypatch):
    suppress(kept, CODE, "--subject", "*", "--up-to", "critical", *WHY)
    bundle, trust = tmp_path / "run.saksi", tmp_path / "lab.vkey"
    trust.write_text(f"{INSTALLATION.vkey}\n")
    kept.call("bundle", "last", "-o", str(bundle))
    assert kept.call("verify", "last")[0] == 1
    monkeypatch.setenv("SAKSI_HOME", str(tmp_path / "nowhere"))
    code, out, _ = kept.call("verify", str(bundle), "--trust", str(trust))
    assert (code, f"warning: {CODE}" in out) == (1, True)


def test_verify_ends_by_severity_and_its_verdict_is_of_the_record(kept):
    code, out, _ = kept.call("verify", "last", "--json")
    (target,) = json.loads(out)["targets"]
    assert (code, target["verdict"]) == (1, "accepted")
    assert CODE in {each["code"] for each in target["findings"]}
    assert kept.call("verify", "last", "--fail-on", "critical")[0] == 0
    assert kept.call("verify", "last", "--fail-on", "loud")[0] == 2


def test_a_record_that_is_refused_tells_nothing(kept):
    journal = kept.root / "runs" / RUN / "head"
    journal.write_bytes(journal.read_bytes().replace(b"saksi", b"sakzi"))
    code, out, _ = kept.call("verify", "last", "--fail-on", "critical", "--json")
    assert (code, json.loads(out)["targets"][0]["findings"]) == (1, [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([CODE, *WHY], "--subject"),
        (["no.code", "--subject", "*", *WHY], "no finding has the code"),
        (["witness.chain_broken", "--subject", "*", *WHY], "never suppressed"),
        (["seal.signature_unknown", "--subject", "*", *WHY], "never suppressed"),
        ([CODE, "--subject", "*", *WHY[:4], "--until", "soon"], "is not a day"),
        ([CODE, "--subject", "*", *WHY[:4], "--until", "2020-01-01"], "is over"),
        ([CODE, "--subject", "*", *WHY[:4], "--until", "2999-01-01"], "days away"),
        ([CODE, "--subject", "*", *WHY[:4], "--until", "20300101"], "is not a day"),
        ([CODE, "--subject", "", *WHY], "--subject"),
        ([CODE, "--subject", "*", *WHY, "--owner", " "], "--owner"),
        ([CODE, "--subject", "*", *WHY, "--reason", "a\nb"], "--reason"),
        ([CODE, "--subject", "x" * 2000, *WHY], "--subject"),
        ([CODE, "--subject", "*", *WHY, "--up-to", "loud"], "--up-to"),
        ([CODE, "--subject", "*", *WHY, "--run", "nobody"], "no run"),
        ([CODE, "--subject", "*", *WHY, "--project", "a\nb"], "--project"),
    ],
)
def test_what_cannot_be_suppressed_is_one_line_and_leaves_nothing(kept, words, said):
    code, out, err = kept.call("findings", "suppress", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert not (kept.root / "suppressions.jsonl").exists() or (kept.root / "suppressions.jsonl").read_bytes() == b""


def test_a_journal_that_somebody_changed_is_one_line(kept):
    suppress(kept, CODE, "--subject", "*", *WHY)
    path = kept.root / "suppressions.jsonl"
    path.write_bytes(path.read_bytes().replace(b"training-team", b"nobody\\u001b"))
    code, out, err = kept.call("findings", "last")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "suppressions.jsonl, line 1" in err


def test_a_run_that_is_called_like_a_command_is_found(home):
    home.keep(changed(name="suppress"))
    assert home.call("findings", "--", "suppress")[0] == 1
    assert home.call("findings", RUN)[0] == 1
    home.keep(changed(OTHER, name="findings"))
    assert home.call("findings", "findings")[0] == 1


def test_without_a_suppression_nothing_is_said_of_any(kept):
    assert "uppress" not in kept.call("findings", "last")[1]
    assert kept.call("findings", "suppressions")[1] == "Nothing is suppressed in this home.\n"
    assert not (kept.root / "suppressions.jsonl").exists()
