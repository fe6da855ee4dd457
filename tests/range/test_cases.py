"""Every case and every honest variant is written so that it can be played, and has its truth drawn from a seed."""

from __future__ import annotations

import ast
import re
from importlib import resources
from random import Random

import pytest

from saksi.range.cases import ALL as CASES
from saksi.range.compose import STARTUP, clean_files, compiled_files, program_text, sabotaged_files, site_files
from saksi.range.honest import ALL as VARIANTS

FROZEN_GROUPS = "ABCDEFGHIJLMX"
UPDATES = 60
"""What every program that payloads are put into makes of optimizer 0."""
SEEDS = range(40)


def drawn(case, seed):
    return case.draw(Random(seed))


def test_there_are_cases_of_every_group_and_ids_are_unique():
    assert {each.group for each in CASES} == set(FROZEN_GROUPS)
    names = [each.id for each in (*CASES, *VARIANTS)]
    assert len(names) == len(set(names))


def test_at_least_as_many_as_are_promised():
    assert len(CASES) >= 80
    assert len(VARIANTS) >= 60


def test_every_module_of_the_folder_is_on_the_list_and_every_program_is_played():
    folder = resources.files("saksi.range") / "cases"
    modules = {each.name[:-3] for each in folder.iterdir() if each.name.endswith(".py") and each.name[0] != "_"}
    assert modules == {f"{each.row.lower()}_{each.name.replace('-', '_')}" for each in CASES}
    programs = {each.name for each in (resources.files("saksi.range") / "programs").iterdir()} - {"__pycache__"}
    assert programs == {each.program for each in VARIANTS}
    assert {each.program for each in CASES} < programs


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_what_is_put_in_is_python_and_says_that_it_acts(case):
    made = (sabotaged_files, site_files, compiled_files)
    files = {name: text for each in made for name, text in each(case, drawn(case, 1), "/nowhere/acted").items()}
    assert files
    for name, text in files.items():
        if name.endswith(".py"):
            tree = ast.parse(text)
            called = {
                node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and hasattr(node.func, "id")
            }
            assert "acted" in called or (case.bytecode and name == case.program)  # what is compiled acts


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_same_seed_draws_the_same_and_others_draw_others(case):
    assert drawn(case, 7) == drawn(case, 7)
    assert case.first is None or case.first in drawn(case, 7)
    assert len({str(drawn(case, seed)) for seed in SEEDS}) > 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_whatever_is_drawn_can_be_put_in_and_acts_within_the_training(case):
    for seed in SEEDS:
        parameters = drawn(case, seed)
        if case.first is not None:
            assert 0 <= parameters[case.first] + case.delay < UPDATES
        for name, text in sabotaged_files(case, parameters, "/nowhere/acted").items():
            if name.endswith(".py"):
                compile(text, name, "exec")
        for each in case.named:
            re.compile(each.code)
            re.compile(each.pattern.format(**parameters) if "{" in each.pattern else each.pattern)


@pytest.mark.parametrize("program", sorted({each.program for each in CASES}))
def test_a_program_makes_as_many_updates_as_payloads_count_on(program):
    """Epochs times batches, as they stand in its text."""
    text = program_text(program)
    epochs = int(re.search(r"for epoch in range\((\d+)\)", text)[1])
    size = int(re.search(r"batch_size=(\d+), shuffle=True", text)[1])
    samples, ranks = {"recipe.py": (160, 1), "ranks.py": (640, 2)}.get(program, (320, 1))
    assert str(samples) in text
    assert epochs * (samples // ranks // size) == UPDATES


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


@pytest.mark.parametrize("program", sorted({each.program for each in VARIANTS}))
def test_a_program_draws_from_a_seed_of_its_own_alone(program):
    """So that whoever plays it again plays the same."""
    text = program_text(program)
    assert "torch.manual_seed(0)" in text
    for unseeded in ("torch.seed()", "urandom", "secrets", "random.random()", "np.random"):
        assert unseeded not in text
