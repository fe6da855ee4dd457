"""Each row of what breaks a replay on a CPU is named, and each that does not break it is left alone.

Real training under the real recorder, killed and resumed (`ward.py`); what is left of the whole command, its launches
under an agent, is tested in `tests/end_to_end/test_doctor.py`.
"""

from __future__ import annotations

import pytest

from judgement.doctor.ward import Ward, examine

pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.timeout(400)]

EXACT = {
    "everything put back, generators last": (["workers=2"], []),
    "resumed without workers": (["workers=2"], ["workers=0"]),
    "resumed without a DataLoader": ([], ["loader=tape"]),
    "bf16 autocast": (["precision=bf16"], []),
    "fused, then foreach": (["optimizer=fused"], ["optimizer=foreach"]),
    "foreach, then for-loop": ([], ["optimizer=loop"]),
    "augmentation seeded by sample": (["augment=sample", "workers=2"], []),
    "a loader's own generator": (["loader=shuffled", "save=10"], []),
    "a gradient scaler": (["scale=1"], []),
    "batch norm": (["norm=1"], []),
    "averaged weights": (["ema=1"], []),
    "a history that begins anew": (["history=1"], []),
    "saved under another name first": (["whole=1"], []),
}
MISSING = {
    "augmentation drawn in workers": (["augment=drawn", "workers=2"], [], ["worker_rng"]),
    "generator put back before the iterator": (["workers=2"], ["rng=before"], ["generator_order"]),
    "generator not put back": (["workers=2"], ["rng=none"], ["generator"]),
    "other threads": (["threads=2", "wide=1", "width=256"], ["threads=1"], ["threads"]),
    "other threads in bf16": (["threads=2", "wide=1", "width=256", "precision=bf16"], ["threads=1"], ["threads"]),
    "two micro-batches": ([], ["accumulate=2"], ["accumulation"]),
    "bf16, then fp32": (["precision=bf16"], ["precision=fp32"], ["forward"]),
    "no optimizer state": ([], ["forget=optimizer"], ["optimizer_state", "schedule"]),  # the rate is in its groups
    "no data position": ([], ["forget=position"], ["data_position"]),
    "no schedule": ([], ["forget=schedule"], ["schedule"]),
    "no weights": ([], ["forget=weights"], ["weights"]),
    "weights stored in bf16": ([], ["forget=precision"], ["rounded_weights"]),
    "no buffers": (["norm=1"], ["forget=norm"], ["buffers"]),
    "no scaler": (["scale=1"], ["forget=scaler"], ["scaler"]),
    "no averaged weights": (["ema=1"], ["forget=ema"], ["other_state"]),
    "no generator of the loader": (
        ["loader=shuffled", "save=10"],
        ["forget=generator"],
        ["loader_generator", "data_position"],
    ),
}
NOT_TWICE = {
    "nothing seeded": (["seed=none"], ["unseeded_generator"]),
    "seeded after the model": (["seed=late"], ["initial_state"]),
    "seeded by the clock": (["seed=clock"], ["seed_varies"]),
    "augmentation by the clock": (["augment=clock"], ["augmentation"]),
    "order by an unseeded generator": (["order=python"], ["sample_order"]),
}


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    made = Ward(tmp_path_factory.mktemp("ward"))
    yield made
    made.end()


def codes(found, phase):
    return [each.code for each in found.ingredients if each.phase == phase and each.missing]


@pytest.mark.parametrize("row", EXACT)
def test_a_resume_that_is_exact_is_left_alone(ward, tmp_path, row):
    words, resumed = EXACT[row]
    found = examine(ward, tmp_path, words, resumed)
    assert (found.verdict, found.ingredients) == ("continues", ()), found.sentence
    assert (found.repeats, found.continues, found.steps.compared) == (True, True, 4)


@pytest.mark.parametrize("row", MISSING)
def test_what_a_resume_lacks_is_named(ward, tmp_path, row):
    words, resumed, expected = MISSING[row]
    found = examine(ward, tmp_path, words, resumed)
    assert (found.verdict, found.repeats, found.continues) == ("missing", True, False), found.sentence
    assert [each.code for each in found.ingredients] == expected
    assert all(each.seen is not None and each.seen.expected != each.seen.found for each in found.ingredients)


@pytest.mark.parametrize("row", NOT_TWICE)
def test_what_is_not_the_same_twice_is_named(ward, tmp_path, row):
    words, expected = NOT_TWICE[row]
    found = examine(ward, tmp_path, words, [])
    assert (found.verdict, found.repeats) == ("missing", False), found.sentence
    assert codes(found, "repeat") == expected
    assert codes(found, "resume") == []


def test_a_line_that_draws_after_a_generator_was_put_back_is_told(ward, tmp_path):
    (found,) = examine(ward, tmp_path, ["workers=2"], ["rng=before"]).ingredients
    assert "rows.py:" in found.sentence
    assert "a DataLoader's iterator made after that" in found.sentence


def test_that_results_depend_on_the_number_of_threads_is_a_condition(ward, tmp_path):
    found = examine(ward, tmp_path, ["wide=1", "width=256"], [], threaded=["threads=2"])
    assert (found.verdict, found.threads.same) == ("continues", False)
    assert [(each.code, each.phase, each.missing) for each in found.ingredients] == [("threads", "threads", False)]


@pytest.mark.parametrize(
    ("ranks", "resumed", "expected"), [(2, [], []), (4, [], ["cold_buckets"]), (4, ["warm=2"], [])]
)
def test_buckets_that_are_cold_are_named_where_more_than_two_ranks_add(ward, tmp_path, ranks, resumed, expected):
    found = examine(ward, tmp_path, ["width=2048"], resumed, ranks=ranks)
    assert codes(found, "resume") == expected, found.sentence
    assert found.continues is not bool(expected)
