"""Honest programs that declare what cannot be told from sabotage: alleged nothing, unless they do something else."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from saksi.range.honest import ALL
from saksi.range.session import Question, play_all
from saksi_run import Home

DECLARED = [each for each in ALL if "[[expect]]" in each.settings]

pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.timeout(300)]


def accused(tmp_path, variant):
    question = Question(
        entries=(variant,),
        seed=1,
        seeds=1,
        python=Path(sys.executable),
        folder=tmp_path / "range",
        cache=Path(Home(tmp_path).environment["XDG_CACHE_HOME"]),
        limit_s=90.0,
        jobs=1,
    )
    (line,) = play_all(question, version="", hear=lambda _: None).variants
    assert (line.error, line.complete) == (None, True)
    return line.accused


STEPS = {
    '"5-55"': '"10-55"',
    "steps = 21": "steps = 22",
    "steps = 20": "steps = 19",
    'steps = "10-39"': 'steps = "10-38"',
}


@pytest.mark.parametrize("variant", DECLARED, ids=lambda each: each.id)
def test_what_was_declared_and_approved_is_alleged_nothing_and_the_same_at_another_step_is_found(tmp_path, variant):
    assert accused(tmp_path / "declared", variant) == ()
    (said,) = (each for each in STEPS if each in variant.settings)
    elsewhere = msgspec.structs.replace(variant, settings=variant.settings.replace(said, STEPS[said]))
    found = accused(tmp_path / "elsewhere", elsewhere)
    assert found
    assert all(f'code = "{each.code}"' in variant.settings for each in found)
