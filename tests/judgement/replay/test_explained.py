"""What a matching replay explains is what the program computes, and nothing that acts on it."""

from __future__ import annotations

from saksi.judgement.replay.explained import is_of_numbers
from saksi.words.findings import CODES

NOT_OF_NUMBERS = {"availability", "ckpt", "coverage", "environment", "live", "rehearsal", "seal", "witness"}


def test_every_family_of_findings_is_on_one_side():
    of_numbers = {code.partition(".")[0] for code in CODES if is_of_numbers(code)}
    others = {code.partition(".")[0] for code in CODES if not is_of_numbers(code)}
    assert of_numbers & others == set()
    assert others == NOT_OF_NUMBERS
