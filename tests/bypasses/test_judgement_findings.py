"""A frame whose text, once escaped, would make a finding larger than an entry. Found in review, finding A."""

from __future__ import annotations

import msgspec
import pytest

from saksi.judgement.checks import ALL, Judging
from saksi.judgement.checks.fold import MAX_EVIDENCE, MAX_TEXT, observation
from saksi.words.codec import decode_record, encode_record
from saksi.words.records import FindingRecord, RefusedRecord
from simulated_run import SimulatedRun

LONGEST = 4096


@pytest.mark.parametrize("character", ["\x01", '"', "\u00e9", "\U0001f600", "x"])
def test_every_finding_fits_an_entry(character):
    text = character * LONGEST
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.update()
    connection.send("fault", where=text, error="x")
    connection.send("uncovered", what="x", reason=text, step=0)
    connection.flush()
    refused = {"connection": 0, "peer": None, "rank": 2**63 - 1, "reason": text, "sample": "", "count": 1}
    simulated.add(RefusedRecord(**simulated.stamp(), **refused))
    judging = Judging(ALL)
    news = [each for item in simulated.items() for each in judging.take(item)]
    assert {each.code for each in news} == {"witness.recorder_fault", "coverage.uncovered", "witness.frame_refused"}
    for each in news:
        entry = encode_record(FindingRecord(finding=each, **simulated.stamp()))
        assert decode_record(entry).finding == each


@pytest.mark.parametrize("character", ["\x01", "\\", "\u00e9", "\U0001f600"])
def test_a_text_is_cut_at_a_whole_character_and_says_so(character):
    found = observation(check="c", code="coverage.gap", subject="s", message=character * LONGEST)
    assert found.message.lstrip(character) == "\u2026"
    assert MAX_TEXT - 12 < len(msgspec.json.encode(found.message)) - 2 <= MAX_TEXT


def test_a_text_that_fits_is_left_as_it_is():
    assert observation(check="c", code="coverage.gap", subject="s", message="x" * MAX_TEXT).message == "x" * MAX_TEXT


def test_evidence_is_cut_to_what_a_record_holds():
    found = observation(check="c", code="coverage.gap", subject="s", message="m", evidence=tuple(range(1000)))
    assert len(found.evidence) == MAX_EVIDENCE
