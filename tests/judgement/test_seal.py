from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damage import replaced
from judgement.seals import plain_seal, seals
from saksi.judgement.seal import Change, digest_of_changes, make_statement, parse_seal
from saksi.words.digest import sha256
from saksi.words.errors import MalformedInput

replace = msgspec.structs.replace


@given(seals)
def test_a_seal_comes_back_from_its_statement(seal):
    assert parse_seal(make_statement(seal)) == seal


def test_the_statement_names_the_run_the_script_the_commit_and_the_interpreter():
    statement = json.loads(make_statement(plain_seal()))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "urn:saksi:predicate:seal:v1"
    assert statement["subject"] == [
        {"name": "run", "digest": {"saksiRun": "00112233445566aa"}},
        {"name": "train.py", "digest": {"sha256": sha256(b"train").hex}},
        {"name": "git", "digest": {"gitCommit": "a" * 40}},
        {"name": "/venv/bin/python", "digest": {"sha256": sha256(b"python").hex}},
    ]


def test_the_page_shows_every_member_in_order():
    page = (Path(__file__).parents[2] / "spec" / "seal.md").read_text()
    shown = json.loads(page.split("```json\n")[1].split("```")[0])
    assert members(shown) == members(json.loads(STATEMENT))


def members(value):
    """The names of members in order, without those of tables whose names are the user's."""
    names = {}
    for name, inner in value.items():
        of_the_user = name in {"seeds", "environment", "environmentChangedBySaksi", "unobserved"}
        names[name] = members(inner) if isinstance(inner, dict) and not of_the_user else None
    return names if not names else [(name, names[name]) for name in names]


def test_a_seal_of_an_unknown_program_still_has_a_subject():
    seal = replace(plain_seal(), script=None, git=None, interpreter=None)
    assert parse_seal(make_statement(seal)) == seal


@given(st.binary(max_size=200))
def test_only_malformed_input_escapes_from_bytes(payload):
    with pytest.raises(MalformedInput):
        parse_seal(payload)


STATEMENT = make_statement(plain_seal())


@given(st.integers(0, len(STATEMENT) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_is_another_seal_in_canonical_form(position, value):
    changed = STATEMENT[:position] + bytes([value]) + STATEMENT[position + 1 :]
    try:
        seal = parse_seal(changed)
    except MalformedInput:
        return
    assert make_statement(seal) == changed
    assert (seal == plain_seal()) == (changed == STATEMENT)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_only_malformed_input_escapes_from_a_field_of_another_kind(data):
    whole = json.loads(STATEMENT)
    place = whole["predicate"]
    while True:
        name = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[name], dict) or not place[name] or data.draw(st.booleans()):
            break
        place = place[name]
    place[name] = data.draw(json_values)
    payload = json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    with suppress(MalformedInput):
        assert make_statement(parse_seal(payload)) == payload


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"approved":false', b'"approved": false'),
        (b'"plan":null,', b""),
        (b'"plan":null', b'"plan":{}'),
        (b'"plan":null', b'"plan":null,"extra":1'),
        (b'"name":"baseline"', b'"name":"baseline","name":"other"'),
        (b'"level":"standard"', b'"level":"loud"'),
        (b"urn:saksi:predicate:seal:v1", b"urn:saksi:predicate:seal:v2"),
        (b'"saksiRun":"00', b'"saksiRun":"01'),
        (b'"HOME":', b'"ZHOME":'),
        (b'{"name":"numpy","version":"2.0.0"}', b'{"name":"zzz","version":"2.0.0"}'),
        (b'"run":"00112233445566aa"', b'"run":"00112233445566AA"'),
        (b"A CPU", b"A\\ud800CPU"),
        (b"A CPU", b"A\xff CPU"),
        (b"A CPU", b"\\u0041 CPU"),
    ],
)
def test_what_is_not_the_one_form_is_refused(before, after):
    with pytest.raises(MalformedInput):
        parse_seal(replaced(STATEMENT, before, after))


def test_a_text_that_is_not_unicode_is_refused_when_writing():
    with pytest.raises(MalformedInput):
        make_statement(replace(plain_seal(), kernel="\ud800"))


def test_the_digest_of_changes_knows_path_content_mode_and_status_but_no_order():
    one = Change(path="a", status="modified", executable=False, digest=str(sha256(b"1")), reason=None)
    other = replace(one, path="b")
    assert digest_of_changes([one, other]) == digest_of_changes([other, one])
    others = [replace(one, path="c"), replace(one, status="added"), replace(one, executable=True)]
    assert len({digest_of_changes([each]) for each in (one, *others, replace(one, digest=None))}) == 5
