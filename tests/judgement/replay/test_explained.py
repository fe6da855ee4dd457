"""What a matching replay explains is what the program computes, and nothing that acts on it."""

from __future__ import annotations

from saksi.judgement.replay.explained import is_of_numbers, is_own_doing
from saksi.words.findings import CODES

NOT_OF_NUMBERS = {"availability", "ckpt", "coverage", "environment", "live", "rehearsal", "seal", "witness"}


def test_every_family_of_findings_is_on_one_side():
    of_numbers = {code.partition(".")[0] for code in CODES if is_of_numbers(code)}
    others = {code.partition(".")[0] for code in CODES if not is_of_numbers(code)}
    assert of_numbers & others == set()
    assert others == NOT_OF_NUMBERS


def test_what_a_replayed_program_does_to_its_own_limits_speaks_against_no_replay():
    own = {"live.limit_changed", "live.stream_changed", "availability.update_overran", "data.order_not_planned"}
    assert {code for code in own if is_own_doing(code)} == own
    assert not any(map(is_own_doing, ("live.flag_changed", "live.code_replaced", "optimizer.update_differs")))
