"""`[plan]` as it is written by hand."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from judgement.seals import plans
from saksi.judgement.configuration import parse_configuration
from saksi.judgement.plan.table import PLAN_KEYS
from saksi.judgement.plan.values import Plan
from saksi.words.errors import UsageError

WHOLE = b"""
[plan]
optimizer = "AdamW"
steps = 5000
lr = [[100, 1e-3], [5000, 1e-4]]
between = "cosine"
warm_up = 100
warm_up_from = 1e-5
max_norm = 1
hyper_parameters = { eps = 1e-8, betas = [0.9, 0.95] }
groups = [{ weight_decay = 0.1, lr_scale = 0.5 }, { weight_decay = 0 }]
accumulation = 4
trained = ["head.*", "norm.weight"]
longest_update = 30
reported = ["train/loss"]
"""


def parse(text):
    return parse_configuration(text, where="saksi.toml").plan


def test_every_key_has_its_place_in_the_plan():
    assert parse(WHOLE) == Plan(
        optimizer="AdamW", steps=5000, lr=((100, 1e-3), (5000, 1e-4)), between="cosine", warm_up=100,
        warm_up_from=1e-5, max_norm=1.0, hyper_parameters={"betas": (0.9, 0.95), "eps": 1e-8},
        groups=({"lr_scale": 0.5, "weight_decay": 0.1}, {"weight_decay": 0}), accumulation=4,
        trained=("head.*", "norm.weight"), longest_update=30.0, reported=("train/loss",),
    )  # fmt: skip
    assert all(key.encode() in WHOLE for key in PLAN_KEYS)


def test_a_rate_that_stays_is_one_point():
    assert parse(b"[plan]\nlr = 1").lr == ((0, 1.0),)
    assert parse(b"[plan]\nlr = 0.1\nwarm_up = 7").lr == ((7, 0.1),)


def test_all_that_is_trained_is_one_pattern():
    assert parse(b"[plan]\ntrained = 'all'").trained == ("*",)


def test_what_earlier_versions_did_not_know_is_in_no_plan_that_does_not_say_it():
    written = msgspec.json.decode(msgspec.json.encode(parse(b"[plan]\nlr = 1")))
    assert not {"accumulation", "trained", "longestUpdate", "reported"} & set(written)


def test_without_the_table_there_is_no_plan():
    assert parse(b"level = 'full'") is None


@given(plans)
def test_a_plan_is_the_same_after_it_was_written(plan):
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plan = 1", "plan is not a table"),
        ("[plan]\nlrs = 1", "unknown key 'lrs'.*known keys: accumulation, between"),
        ("[plan]\nlr = true", "plan.lr is not a number"),
        ("[plan]\nlr = []", "plan.lr has no point"),
        ("[plan]\nlr = [[0, 1], [0, 2]]", "whose steps do not rise"),
        ("[plan]\nlr = [[1, 1]]", "not at the end of the warm-up"),
        ("[plan]\nlr = [[0, 1], [2, true]]", r"plan.lr\[1\] is not a number"),
        ("[plan]\nlr = [[0, 1, 2]]", r"plan.lr\[0\] is not a point"),
        ("[plan]\nlr = [[-1, 1]]", r"plan.lr\[0\] has no step"),
        ("[plan]\nlr = inf", "plan.lr is not a finite number"),
        ("[plan]\nlr = 1" + "0" * 400, "plan.lr is not a finite number"),
        ("[plan]\nlr = 1e200", "too large"),
        ("[plan]\nlr = -1", "negative"),
        ("[plan]\nwarm_up = 3", "a warm-up without a learning rate"),
        ("[plan]\ngroups = [" + f"{{a = '{'x' * 250}'}}, " * 300 + "]", "longer than 65536 bytes"),
        ("[plan]\naccumulation = 0", "plan.accumulation is not a number of backwards"),
        ("[plan]\naccumulation = true", "plan.accumulation is not a number of backwards"),
        ("[plan]\ntrained = 'most'", 'plan.trained is neither "all" nor a list'),
        ("[plan]\ntrained = [1]", 'plan.trained is neither "all" nor a list'),
        ("[plan]\ntrained = []", "length >= 1"),
        ("[plan]\ntrained = ['" + "x" * 257 + "']", "length <= 256"),
        ("[plan]\nlongest_update = 0", "longestUpdate is not a number of seconds above 0"),
        ("[plan]\nlongest_update = 1e10", "longestUpdate is not a number of seconds above 0"),
        ("[plan]\nlongest_update = '30 s'", "plan.longest_update is not a number"),
        ("[plan]\nreported = 'loss'", "plan.reported is not a list of metrics' names"),
        ("[plan]\nreported = ['']", "plan.reported is not a list of metrics' names"),
        ("[plan]\nreported = []", "length >= 1"),
        ("[plan]\nsteps = 0", "plan.steps is not a number of steps, at least 1"),
        ("[plan]\nmax_norm = 0", "maxNorm is not a number above 0"),
        ("[plan]\nbetween = 'spline'", "plan.between is not one of linear, cosine, hold"),
        ("[plan]\noptimizer = ''", "plan.optimizer is not a text"),
        ("[plan]\ngroups = {}", "plan.groups is not a list"),
        ("[plan]\ngroups = [{a = {b = 1}}]", r"plan.groups\[0\].a is not a number"),
        ("[plan]\ngroups = [{lr_scale = 0}]", "lr_scale is not a number above 0"),
        ("[plan]\nhyper_parameters = {lr = 1}", "lr is no hyper-parameter"),
        ("[plan]\nhyper_parameters = {lr_scale = 1}", "lr_scale belongs to a group"),
        ("[plan]\nhyper_parameters = {x = 1979-05-27}", "plan.hyper_parameters.x is not a number"),
        ("[plan]\nhyper_parameters = {betas = [1, 2, 3, 4, 5, 6, 7, 8, 9]}", "length <= 8"),
    ],
)
def test_refusals_name_the_file_and_the_place(text, said):
    with pytest.raises(UsageError, match=f"saksi.toml: .*{said}|saksi.toml: {said}") as refused:
        parse(text.encode())
    assert "\n" not in str(refused.value)
