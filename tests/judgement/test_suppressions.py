from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.suppressions import (
    MAX_ACTS,
    MAX_DAYS,
    Ended,
    Made,
    Scope,
    Suppression,
    check_made,
    format_act,
    parse_suppressions,
    set_apart,
)
from saksi.words.errors import UsageError
from saksi.words.findings import CODES, SEVERITIES, Finding, at_or_above

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
RUN = "00112233445566aa"
SCOPE = Scope(RUN, "vision")


def made(**changes):
    fields = {
        "id": "0a1b2c3d",
        "at": NOW,
        "account": 1000,
        "code": "live.hook_added",
        "subject": "ema.*",
        "run": None,
        "project": None,
        "up_to": "warning",
        "reason": "averaged weights of our own",
        "owner": "training-team",
        "until": date(2026, 6, 1),
    }
    return Made(**fields | changes)


def finding(**changes):
    fields = {
        "code": "live.hook_added",
        "severity": "warning",
        "first_step": 3,
        "last_step": 9,
        "ranks": (0,),
        "subject": "ema.forward",
        "check": "live_code",
        "message": "A hook was added.",
    }
    return Finding(**fields | changes)


def apart(findings, *acts, now=NOW, scope=SCOPE):
    return set_apart(findings, [Suppression(each, None) for each in acts], scope, now=now)


def journal(*acts):
    return b"".join(format_act(each) for each in acts)


TEXTS = st.text(st.characters(categories=("L", "N", "P", "S"), include_characters=" "), min_size=1, max_size=40)
MADE = st.builds(
    Made,
    id=st.binary(min_size=4, max_size=4).map(bytes.hex),
    at=st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the zone is given
    account=st.integers(0, 2**32),
    code=st.sampled_from([each for each in CODES if not each.startswith(("witness.", "seal.signature"))]),
    subject=TEXTS,
    run=st.none() | st.just(RUN),
    project=st.none() | TEXTS,
    up_to=st.sampled_from(SEVERITIES),
    reason=TEXTS,
    owner=TEXTS,
    until=st.just(date(2000, 1, 1)),
).map(lambda act: msgspec.structs.replace(act, until=(act.at + timedelta(days=30)).date()))


# -- the journal


@given(st.lists(MADE, max_size=6, unique_by=lambda act: act.id), st.data())
def test_what_is_written_is_read(acts, data):
    ends = [Ended(id=act.id, at=NOW, account=0) for act in acts if data.draw(st.booleans(), label=f"{act.id} is ended")]
    ended = {each.id: each for each in ends}
    assert parse_suppressions(journal(*acts, *ends), where="j") == tuple(
        Suppression(act, ended.get(act.id)) for act in acts
    )


@given(st.lists(MADE, min_size=1, max_size=4, unique_by=lambda act: act.id), st.integers(1, 40))
def test_a_line_that_was_never_finished_does_not_count(acts, lost):
    assert parse_suppressions(journal(*acts)[:-lost], where="j") == parse_suppressions(journal(*acts[:-1]), where="j")


@given(st.binary(max_size=400))
def test_bytes_of_anybody_are_read_or_refused_in_one_line(content):
    said = ""
    try:
        parse_suppressions(content, where="j")
    except UsageError as refused:
        said = str(refused)
    assert "\n" not in said


LINE = format_act(made())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\n", "line 1"),
        (LINE + b"{}\n", "line 2"),
        (LINE + LINE, "a second time"),
        (LINE.replace(b'"act"', b' "act"'), "not written as saksi writes it"),
        (LINE.replace(b'"owner":"training-team"', b'"owner":""'), "owner"),
        (LINE.replace(b'"owner"', b'"boss"'), "boss"),
        (LINE.replace(b"live.hook_added", b"witness.chain_broken"), "never suppressed"),
        (LINE.replace(b"live.hook_added", b"seal.signature_unknown"), "never suppressed"),
        (LINE.replace(b"2026-06-01", b"2026-05-03"), "is over"),
        (LINE.replace(b"2026-06-01", b"2028-06-01"), "days away"),
        (LINE.replace(b"12:00:00Z", b"12:00:00"), "no zone"),
        (LINE.replace(b"2026-05-04T12:00:00Z", b"9999-12-31T12:00:00-23:00"), "not in the calendar"),
        (LINE.replace(b"2026-05-04T12:00:00Z", b"0001-01-01T12:00:00+23:00"), "not in the calendar"),
        (LINE.replace(b"training-team", b"a\\nb"), "cannot be shown"),
        (LINE.replace(b"0a1b2c3d", b"0A1B2C3D"), "id"),
        (LINE.replace(b"0a1b2c3d", b"0a1b2c3d\\n"), "id"),
        (format_act(Ended(id="0a1b2c3d", at=NOW, account=1)), "not in force"),
        (LINE.replace(b"ema.*", b"x" * 20_000), "longer than"),
        (LINE.replace(b"1000", b"-1"), "account"),
        (b"[" * 100_000 + b"\n", "longer than"),
        (b"[" * 10_000 + b"\n", "line 1"),
        (LINE * (MAX_ACTS + 1), "more than"),
    ],
)
def test_a_journal_that_somebody_changed_is_refused_with_file_line_and_remedy(content, said):
    with pytest.raises(UsageError) as refused:
        parse_suppressions(content, where="/home/j")
    assert "/home/j" in str(refused.value)
    assert said in str(refused.value)
    assert refused.value.remedy is not None


def test_a_suppression_ends_once():
    end = Ended(id="0a1b2c3d", at=NOW, account=1)
    assert not parse_suppressions(journal(made(), end), where="j")[0].in_force(NOW)
    with pytest.raises(UsageError, match="line 3: ends 0a1b2c3d"):
        parse_suppressions(journal(made(), end, end), where="j")


# -- what is covered


def test_a_covered_finding_is_set_apart_with_what_covers_it():
    act = made()
    found = apart([finding(), finding(subject="loss.forward")], act)
    assert [(each.finding.subject, each.by) for each in found.suppressed] == [("ema.forward", act)]
    assert [each.subject for each in found.standing] == ["loss.forward"]
    assert found.expired == ()


@pytest.mark.parametrize(
    ("act", "changes"),
    [
        ({}, {"code": "live.code_replaced"}),
        ({}, {"severity": "critical"}),
        ({}, {"subject": "an ema.forward"}),
        ({"subject": "ema.forward"}, {"subject": "ema.forward2"}),
        ({"run": "ffeeddccbbaa9988"}, {}),
        ({"project": "speech"}, {}),
        ({"up_to": "info"}, {}),
    ],
)
def test_what_a_suppression_does_not_name_stands(act, changes):
    assert apart([finding(**changes)], made(**act)).suppressed == ()


@pytest.mark.parametrize(
    "act", [{"run": RUN}, {"project": "vision"}, {"run": RUN, "project": "vision"}, {"subject": "*"}]
)
def test_what_a_suppression_names_is_covered(act):
    assert len(apart([finding()], made(**act)).suppressed) == 1


def test_a_run_without_a_project_is_of_none():
    assert apart([finding()], made(project="vision"), scope=Scope(RUN, None)).suppressed == ()


def test_critical_findings_are_covered_only_where_that_was_said():
    assert len(apart([finding(severity="critical")], made(up_to="critical")).suppressed) == 1


@pytest.mark.parametrize("code", [each for each in CODES if each.startswith("witness.")] + ["seal.signature_unknown"])
def test_what_is_about_the_witness_or_a_signature_is_never_covered(code):
    act = made(code=code, subject="*", up_to="critical")
    assert "never suppressed" in check_made(act)
    assert apart([finding(code=code)], act).suppressed == ()


def test_the_last_day_still_counts_and_the_next_one_does_not():
    last = datetime(2026, 6, 1, 23, 59, 59, tzinfo=UTC)
    assert len(apart([finding()], made(), now=last).suppressed) == 1
    after = apart([finding()], made(), now=last + timedelta(seconds=1))
    assert (after.suppressed, [each.id for each in after.expired]) == ((), ["0a1b2c3d"])
    east = datetime(2026, 6, 2, 6, 0, tzinfo=UTC).astimezone()
    assert apart([finding()], made(), now=east).suppressed == ()


def test_what_is_over_and_covers_nothing_is_not_mentioned():
    assert apart([finding(subject="other")], made(), now=NOW + timedelta(days=90)).expired == ()


def test_an_ended_one_does_nothing_and_is_not_told_as_expired():
    ended = Suppression(made(), Ended(id="0a1b2c3d", at=NOW, account=1))
    found = set_apart([finding()], [ended], SCOPE, now=NOW)
    assert (len(found.standing), found.suppressed, found.expired) == (1, (), ())


def test_a_suppression_cannot_be_made_for_longer_than_a_year():
    assert check_made(made(until=NOW.date() + timedelta(days=MAX_DAYS))) is None
    assert "days away" in check_made(made(until=NOW.date() + timedelta(days=MAX_DAYS + 1)))


@given(st.text("ab*", max_size=12), st.text("ab*", max_size=12))
def test_a_star_stands_for_any_text(pattern, subject):
    covered = bool(apart([finding(subject=subject)], made(subject=pattern)).suppressed)
    assert covered == fnmatchcase(subject, pattern)


@pytest.mark.timeout(20)
def test_no_pattern_makes_it_search_for_long():
    assert apart([finding(subject="a" * 1023)], made(subject="a*" * 500 + "b")).suppressed == ()


@given(
    st.lists(st.builds(finding, subject=st.sampled_from(["ema.x", "b"]), severity=st.sampled_from(SEVERITIES))),
    st.lists(MADE, max_size=4),
)
def test_every_finding_is_in_exactly_one_of_the_two(findings, acts):
    found = apart(findings, made(), *acts)
    assert sorted([*found.standing, *(each.finding for each in found.suppressed)], key=str) == sorted(findings, key=str)
    assert all(at_or_above(each.by.up_to, each.finding.severity) for each in found.suppressed)
