"""`[data]` as it is written by hand."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from judgement.seals import data_plans, plain_seal
from saksi.judgement.configuration import parse_configuration
from saksi.judgement.plan.data import DATA_KEYS, DataPlan
from saksi.judgement.seal import make_statement, parse_seal
from saksi.words.errors import MalformedInput, UsageError

WHOLE = b"""
[data]
items = 4096
order = "shuffled"
each = "once"
drop_last = true
content = "same"
batch = 64
"""


def parse(text):
    return parse_configuration(text, where="saksi.toml").data


def test_every_key_has_its_place_in_what_is_declared():
    assert parse(WHOLE) == DataPlan(items=4096, order="shuffled", each="once", drop_last=True, content="same", batch=64)
    assert all(key.encode() in WHOLE for key in DATA_KEYS)


def test_what_is_left_out_is_held_to_nothing():
    assert parse(b"[data]") == DataPlan(items=None, order="any", each="any", drop_last=None, content="any")
    assert parse(b"level = 'full'") is None


@given(data_plans)
def test_it_is_the_same_after_it_was_written(data):
    assert msgspec.json.decode(msgspec.json.encode(data), type=DataPlan) == data


def test_a_seal_that_says_nothing_of_data_has_the_form_that_it_had():
    seal = plain_seal()
    assert b'"data"' not in make_statement(seal)
    planned = make_statement(msgspec.structs.replace(seal, data=parse(WHOLE)))
    assert planned.endswith(
        b',"data":{"items":4096,"order":"shuffled","each":"once","dropLast":true,"content":"same","batch":64}}}'
    )
    assert parse_seal(planned).data == parse(WHOLE)
    with pytest.raises(MalformedInput):
        parse_seal(make_statement(seal)[:-2] + b',"data":null}}')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data = 1", "data is not a table"),
        ("[data]\nitem = 1", "data: unknown key 'item'.*known keys: batch, content, drop_last, each, items, order"),
        ("[data]\nitems = 0", "data.items is not a number of samples"),
        ("[data]\nitems = true", "data.items is not a number of samples"),
        ("[data]\nitems = 9007199254740993", "data.items is not a number of samples"),
        ("[data]\nbatch = 0", "data.batch is not a number of samples"),
        ("[data]\norder = 'random'", "data.order is not one of shuffled, sequential, any"),
        ("[data]\neach = 1", "data.each is not one of once, any"),
        ("[data]\ncontent = true", "data.content is not one of same, any"),
        ("[data]\ndrop_last = 'no'", "data.drop_last is neither true nor false"),
    ],
)
def test_refusals_name_the_file_and_the_place(text, said):
    with pytest.raises(UsageError, match=f"saksi.toml: {said}"):
        parse(text.encode())
