from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damage import replaced, spliced
from saksi.proofs.attest.predicates import ATTEMPT_KEY, SEAL, AttemptKey, parse_attempt_key
from saksi.proofs.attest.statement import (
    ResourceDescriptor,
    Statement,
    format_statement,
    make_statement,
    parse_statement,
)
from saksi.proofs.tlog.note import NoteSigner, VerifierKey, format_verifier_key
from saksi.proofs.tlog.signature_types import COSIGNATURE, ED25519
from saksi.words.errors import MalformedInput

VKEY = NoteSigner("saksi/run/0001", b"\x01" * 32).vkey
KEY = AttemptKey(run="0001", attempt=2, vkey=VKEY, previous_size=7, previous_root="05" * 32)
SUBJECT = ResourceDescriptor(name="run 0001", digest={"sha256": "ab" * 32})
GOOD = format_statement(make_statement([SUBJECT], ATTEMPT_KEY, KEY))

short = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
optional = st.none() | short
descriptors = st.builds(
    ResourceDescriptor,
    name=optional,
    uri=optional,
    digest=st.dictionaries(short.filter(lambda name: name != "sha256"), short, min_size=1, max_size=3),
    content=optional,
    download_location=optional,
    media_type=optional,
    annotations=st.dictionaries(short, st.integers(0, 9) | short, max_size=2),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | short,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(short, inner, max_size=3),
    max_leaves=8,
)
statements = st.builds(
    Statement,
    subject=st.lists(descriptors, min_size=1, max_size=3).map(tuple),
    predicate_type=short,
    predicate=st.dictionaries(short, values, max_size=3).map(lambda each: msgspec.Raw(msgspec.json.encode(each))),
)


@given(statements)
def test_statement_and_bytes_are_inverse(statement):
    content = format_statement(statement)
    assert parse_statement(content) == statement
    assert format_statement(parse_statement(content)) == content


def test_statement_has_the_form_of_the_in_toto_document():
    assert GOOD.startswith(
        b'{"_type":"https://in-toto.io/Statement/v1",'
        b'"subject":[{"name":"run 0001","digest":{"sha256":"' + b"ab" * 32 + b'"}}],'
        b'"predicateType":"urn:saksi:predicate:attempt-key:v1","predicate":{"run":"0001","attempt":2,"vkey":"'
    )
    assert SEAL == "urn:saksi:predicate:seal:v1"


def test_predicate_stays_the_bytes_that_were_signed():
    content = GOOD.replace(b'{"run":"0001",', b'{ "run" : "0001" , ')
    assert bytes(parse_statement(content).predicate).startswith(b'{ "run" : "0001" , ')


def test_attempt_key_is_read_from_its_statement():
    statement = parse_statement(GOOD)
    assert statement.predicate_type == ATTEMPT_KEY
    assert parse_attempt_key(statement.predicate) == KEY
    first = AttemptKey(run="0001", attempt=0, vkey=VKEY)
    assert parse_attempt_key(msgspec.json.encode(first)) == first


@given(spliced(GOOD, st.binary(max_size=6)))
def test_spliced_statement_is_one_or_malformed(content):
    with suppress(MalformedInput):
        statement = parse_statement(content)
        assert parse_statement(format_statement(statement)) == statement
        key = parse_attempt_key(statement.predicate)
        assert parse_attempt_key(msgspec.json.encode(key)) == key


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:0123456789eE.-\\u pay', max_size=60).map(str.encode))
def test_any_bytes_are_a_statement_or_malformed(content):
    for parse in (parse_statement, parse_attempt_key):
        with pytest.raises(MalformedInput):
            parse(content)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Statement/v1", b"Statement/v0.1"),
        (b'"_type":', b'"type":'),
        (b'"predicateType":', b'"more":1,"predicateType":'),
        (b'"run":"0001",', b'"run":"0001","run":"0002",'),
        (b'"name":"run 0001",', b'"name":"run 0001","color":"red",'),
        (b'"digest":{"sha256":"' + b"ab" * 32 + b'"}', b'"uri":"x"'),
        (b'"digest":{"sha256":"' + b"ab" * 32 + b'"}', b'"mediaType":"x"'),
        (b"ab" * 32, b"AB" * 32),
        (b"ab" * 32, b"ab" * 31),
        (b'"sha256"', b'""'),
        (b'"predicateType":"urn:saksi:predicate:attempt-key:v1"', b'"predicateType":""'),
    ],
)
def test_malformed_statements_are_refused(old, new):
    with pytest.raises(MalformedInput):
        parse_statement(replaced(GOOD, old, new))


@pytest.mark.parametrize("predicate", [b"1", b"[]", b"null", b'"{"'])
def test_predicate_that_is_no_object_is_refused(predicate):
    with pytest.raises(MalformedInput, match="not an object"):
        Statement(subject=(SUBJECT,), predicate_type="t", predicate=msgspec.Raw(predicate))


def test_statement_is_made_from_members_too():
    made = make_statement([SUBJECT], "https://slsa.dev/provenance/v1", {"a": [1]})
    assert bytes(made.predicate) == b'{"a":[1]}'


def test_statement_about_nothing_is_refused():
    with pytest.raises(MalformedInput, match="no subject"):
        make_statement([], ATTEMPT_KEY, KEY)


def test_statement_above_the_limit_is_refused():
    with pytest.raises(MalformedInput, match="above the limit"):
        parse_statement(bytes(16 * 1024 * 1024 + 1))


@pytest.mark.parametrize(
    "changed",
    [
        {"run": ""},
        {"attempt": -1},
        {"vkey": "no key"},
        {"vkey": format_verifier_key(VerifierKey.of("w", ED25519, bytes(32)))},
        {"vkey": NoteSigner("w", b"\x01" * 32, algorithm=COSIGNATURE).vkey},
        {"previous_size": None},
        {"previous_root": None},
        {"previous_size": -1},
        {"previous_root": "05" * 31},
        {"previous_root": "5A" * 32},
    ],
)
def test_unsound_attempt_key_is_refused(changed):
    with pytest.raises(MalformedInput):
        msgspec.structs.replace(KEY, **changed)


def test_attempt_key_with_unknown_members_is_refused():
    with pytest.raises(MalformedInput):
        parse_attempt_key(msgspec.json.encode(KEY).replace(b'"run"', b'"more":1,"run"'))
