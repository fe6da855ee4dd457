from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.proofs.canonical import decimal, decode_base64, encode_base64, refuse_repeated_members
from saksi.words.errors import MalformedInput


@given(st.integers(0, 2**63 - 1))
def test_decimal_reads_what_str_writes(number):
    assert decimal(str(number), what="size") == number


@pytest.mark.parametrize(
    "text", ["", "00", "01", "+1", "-1", " 1", "1 ", "1\n", "1_0", "0x1", "\u0661", str(2**63), "9" * 5000]
)
def test_other_spellings_of_a_number_are_refused(text):
    with pytest.raises(MalformedInput, match=r"^size: "):
        decimal(text, what="size")


def test_decimal_keeps_to_its_limit():
    assert decimal("255", what="width", most=255) == 255
    with pytest.raises(MalformedInput, match="above the limit of 255"):
        decimal("256", what="width", most=255)


@given(st.binary(max_size=40))
def test_base64_and_bytes_are_inverse(content):
    assert decode_base64(encode_base64(content), what="root") == content


@given(st.text(alphabet="ABab01+/=-_\n ", max_size=12) | st.text(max_size=12))
def test_only_one_spelling_of_base64_is_accepted(text):
    with suppress(MalformedInput):
        assert encode_base64(decode_base64(text, what="root")) == text


def refusal(content):
    try:
        refuse_repeated_members(content, what="statement")
    except MalformedInput as refused:
        return str(refused)
    return None


@pytest.mark.parametrize("content", [b"{}", b'{"a":{"a":1},"b":[{"a":1},{"a":2}]}', b"[1e999, 123456789]", b"null"])
def test_json_without_repeated_members_passes(content):
    assert refusal(content) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"a":1,"a":1}', "twice"),
        (b'[{"b":{"a":1,"\\u0061":2}}]', "twice"),
        (b'{"a":1', "not JSON"),
        (b'{"a":NaN}', "not JSON"),
        (b"[-Infinity]", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_json_that_readers_could_read_in_two_ways_is_refused(content, reason):
    assert reason in refusal(content)


def test_long_numbers_cost_nothing():
    assert refusal(b"[" + b"9" * 100_000 + b"]") is None
