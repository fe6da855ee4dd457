"""`[[expect]]` as it is written by hand."""

from __future__ import annotations

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgement.expectations import PRUNED, expectation, expectations, in_form
from saksi.judgement.configuration import parse_configuration
from saksi.judgement.expect.table import EXPECT_KEYS, expectations_in
from saksi.judgement.expect.values import MAX_EXPECTATIONS, NEVER, Expectation, in_order, why_never
from saksi.words.errors import UsageError
from saksi.words.findings import CODES

WHOLE = b"""
[[expect]]
code = "state.changed_between_steps"
subject = "parameters of optimizer *"
steps = ["100-199", 21]
every = 50
offset = 7
rank = 0
why = "The smallest weights are pruned."
"""
PLAIN = f'[[expect]]\ncode = "{PRUNED}"\nwhy = "So it is."\n'


def parse(text):
    content = text if isinstance(text, bytes) else text.encode()
    return parse_configuration(content, where="saksi.toml").expect


def test_every_key_has_its_place():
    assert parse(WHOLE) == (
        expectation(
            subject="parameters of optimizer *", steps=((21, 21), (100, 199)), every=50, offset=7, rank=0,
            why="The smallest weights are pruned.",
        ),
    )  # fmt: skip
    assert all(key.encode() in WHOLE for key in EXPECT_KEYS)


def test_without_the_tables_nothing_is_expected():
    assert parse("level = 'full'") == ()
    assert parse("expect = []") == ()


def test_a_pyproject_has_them_below_its_own_table():
    text = PLAIN.replace("[[expect]]", "[[tool.saksi.expect]]").encode()
    assert parse_configuration(text, where="pyproject.toml", table=("tool", "saksi")).expect == parse(PLAIN)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(EXPECT_KEYS),
            st.sampled_from([*CODES, "1-2", "2-1", ""])
            | st.integers()
            | st.booleans()
            | st.lists(st.integers(), max_size=3),
            max_size=7,
        ),
        max_size=3,
    )
)
def test_only_usage_errors_escape_and_what_comes_out_fits_a_seal(found):
    with suppress(UsageError):
        expected = expectations_in(found, "saksi.toml")
        assert not expected or in_order(expected)


def test_the_order_in_which_they_are_written_says_nothing():
    one, other = PLAIN, PLAIN.replace("So it is.", "Also this.")
    assert parse(one + other) == parse(other + one)
    assert [each.why for each in parse(one + other)] == ["Also this.", "So it is."]


@pytest.mark.parametrize(
    ("written", "spans"),
    [
        ("5", ((5, 5),)),
        ("'5'", ((5, 5),)),
        ("'5-5'", ((5, 5),)),
        ("['7-9', '1-3']", ((1, 3), (7, 9))),
        ("['1-3', '4-6', '5']", ((1, 6),)),
        ("['1-9', '2-3']", ((1, 9),)),
        ("'0-9007199254740992'", ((0, 2**53),)),
    ],
)
def test_spans_are_put_in_order_and_those_that_touch_are_one(written, spans):
    assert parse(f"{PLAIN}steps = {written}")[0].steps == spans


def toml(each: Expectation) -> str:
    lines = ["[[expect]]", f"code = {json.dumps(each.code)}", f"why = {json.dumps(each.why)}"]
    if each.subject is not None:
        lines.append(f"subject = {json.dumps(each.subject)}")
    if each.steps:
        lines.append(f"steps = {[f'{first}-{last}' for first, last in each.steps]}")
    if each.every is not None:
        lines += [f"every = {each.every}", f"offset = {each.offset}"]
    if each.rank is not None:
        lines.append(f"rank = {each.rank}")
    return "\n".join(lines) + "\n"


@given(st.lists(expectations.filter(lambda each: why_never(each.code) is None), max_size=4, unique=True))
def test_what_is_written_by_hand_comes_out_as_it_was_meant(found):
    assert parse("".join(map(toml, found))) == in_form(found)
    again = msgspec.json.decode(msgspec.json.encode(in_form(found)), type=tuple[Expectation, ...])
    assert again == in_form(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("expect = 1", "saksi.toml: expect is not a list of tables"),
        ("[expect]\ncode = 'x'", "expect is not a list of tables"),
        ("expect = [1]", "expect is not a list of tables"),
        (PLAIN * 2, r"expect\[1\] is there twice"),
        (PLAIN * (MAX_EXPECTATIONS + 1), "more than 64 tables"),
        (PLAIN + "step = 1", r"expect\[0\]: unknown key 'step'.*known keys: code, every"),
        ("[[expect]]\nwhy = 'x y'", r"expect\[0\].code is no code of a finding: nothing"),
        ("[[expect]]\ncode = 7\nwhy = 'x y'", r"expect\[0\].code is no code of a finding: a int"),
        ("[[expect]]\ncode = 'state.changed'\nwhy = 'x y'", "no code of a finding: 'state.changed'"),
        ("[[expect]]\ncode = 'state.*'\nwhy = 'x y'", "no code of a finding"),
        (f"[[expect]]\ncode = '{PRUNED}'", r"expect\[0\].why is missing.*say in a sentence"),
        (f"[[expect]]\ncode = '{PRUNED}'\nwhy = '  '", r"expect\[0\].why is missing"),
        (f"[[expect]]\ncode = '{PRUNED}'\nwhy = 3", r"expect\[0\].why is not a text"),
        (f"[[expect]]\ncode = '{PRUNED}'\nwhy = '{'x' * 257}'", r"expect\[0\].why is not a text of 1 to 256"),
        (f'[[expect]]\ncode = "{PRUNED}"\nwhy = "a\\u001b[31m"', r"expect\[0\].why is not a text"),
        (PLAIN + "subject = ''", r"expect\[0\].subject is not a text"),
        (PLAIN + 'subject = "a\\nb"', r"expect\[0\].subject is not a text"),
        (PLAIN + "steps = []", r"expect\[0\].steps is not 1 to 64 spans"),
        (PLAIN + f"steps = {list(range(0, 130, 2))}", r"expect\[0\].steps is not 1 to 64 spans"),
        (PLAIN + "steps = '9-3'", r"expect\[0\].steps: '9-3' ends before it begins"),
        (PLAIN + "steps = '3-'", r"expect\[0\].steps: '3-' is no span of steps"),
        (PLAIN + "steps = ['1', true]", r"expect\[0\].steps: a bool is no span of steps"),
        (PLAIN + "steps = -1", r"expect\[0\].steps: a int is no span"),
        (PLAIN + "steps = 0x" + "f" * 9000, r"expect\[0\].steps: a int is no span"),
        (PLAIN + "steps = '0-9007199254740993'", "beyond step 9007199254740992"),
        (PLAIN + "steps = {a = 1}", r"expect\[0\].steps: a dict is no span"),
        (PLAIN + "every = 0", r"expect\[0\].every is not a number from 1 on"),
        (PLAIN + "every = true", r"expect\[0\].every is not a number"),
        (PLAIN + "offset = 5", r"expect\[0\].offset stands without every"),
        (PLAIN + "every = 5\noffset = -1", r"expect\[0\].offset is not a number from 0 on"),
        (PLAIN + "rank = '0'", r"expect\[0\].rank is not a number from 0 on"),
        ("[[expect]]\ncode = 'witness.chain_broken'\nwhy = 'x y'", r"expect\[0\].code: witness.chain_broken is never"),
    ],
)  # fmt: skip
def test_refusals_are_one_line_that_names_the_file_the_table_and_the_key(text, said):
    with pytest.raises(UsageError, match=said) as refused:
        parse(text)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("saksi.toml: expect")


def test_many_long_ones_are_more_than_a_seal_holds():
    tables = "".join(
        PLAIN.replace("So it is.", f"{at} {'ä' * 250}") + f"steps = {list(range(1, 128, 2))}\n" for at in range(60)
    )
    with pytest.raises(UsageError, match="longer than 65536 bytes"):
        parse(tables)


@pytest.mark.parametrize("code", [code for code in CODES if why_never(code) is not None])
def test_what_would_blind_saksi_is_refused_with_the_reason(code):
    with pytest.raises(UsageError, match=f"{code} is never expected") as refused:
        expectations_in([{"code": code, "why": "We are told to."}], "saksi.toml")
    assert any(reason in str(refused.value) for _, reason in NEVER)


def test_which_codes_are_never_expected_is_a_list_that_somebody_read():
    never = {code for code in CODES if why_never(code) is not None}
    families = ("coverage.", "environment.", "live.", "rehearsal.", "seal.", "witness.")
    assert {code for code in CODES if code.startswith(families)} - never == {
        "live.flag_changed",
        "live.limit_changed",
        "live.stream_changed",
    }
    assert {code for code in never if not code.startswith(families)} == {
        code for code in CODES if code.endswith("not_checkable") and not code.startswith(families)
    }
