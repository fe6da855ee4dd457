"""Every case and every honest variant is written so that it can be played, and has its truth drawn from a seed."""

from __future__ import annotations

import ast
from random import Random

import pytest

from saksi.range.cases import ALL as CASES
from saksi.range.compose import STARTUP, clean_files, program_text, sabotaged_files, site_files
from saksi.range.honest import ALL as VARIANTS

FROZEN_GROUPS = "ABCDEFGHIJLM"


def drawn(case, seed):
    return case.draw(Random(seed))


def test_there_are_cases_of_every_group_and_ids_are_unique():
    assert {each.group for each in CASES} == set(FROZEN_GROUPS)
    names = [each.id for each in (*CASES, *VARIANTS)]
    assert len(names) == len(set(names))


def test_at_least_as_many_as_are_promised():
    assert len(CASES) >= 30
    assert len(VARIANTS) >= 25


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_what_is_put_in_is_python_and_says_that_it_acts(case):
    files = {**sabotaged_files(case, drawn(case, 1), "/nowhere/acted"), **site_files(case, drawn(case, 1), "/nowhere")}
    assert files
    for name, text in files.items():
        if name.endswith(".py"):
            tree = ast.parse(text)
            called = {
                node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and hasattr(node.func, "id")
            }
            assert "acted" in called


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_same_seed_draws_the_same_and_others_draw_others(case):
    assert drawn(case, 7) == drawn(case, 7)
    assert case.first is None or case.first in drawn(case, 7)
    assert len({str(drawn(case, seed)) for seed in range(40)}) > 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_nothing_of_a_payload_is_in_the_clean_files(case):
    clean = clean_files(case.program)
    assert "acted" not in "".join(clean.values())
    assert STARTUP not in clean


def test_what_is_clean_runs_as_it_is_where_only_files_beside_it_are_sabotaged():
    (beside,) = (each for each in CASES if each.id == "A05-startup-file")
    assert set(sabotaged_files(beside, drawn(beside, 1), "/nowhere/acted")) == {STARTUP}


def test_a_place_that_a_program_does_not_have_is_refused():
    (case,) = (each for each in CASES if each.id == "G08-one-weight")
    changed = type(case)(**{
        **{name: getattr(case, name) for name in case.__struct_fields__}, "script": {"nowhere": "acted()"}
    })  # fmt: skip
    with pytest.raises(ValueError, match="no place nowhere"):
        sabotaged_files(changed, drawn(case, 1), "/nowhere/acted")


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.id)
def test_the_program_of_a_variant_is_there_and_knows_it(variant):
    text = program_text(variant.program)
    ast.parse(text)
    for each in variant.arguments:
        assert f'"{each}"' in text or f"def {each.replace('-', '_')}(" in text
