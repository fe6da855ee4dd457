from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damage import flipped, replaced
from judgement.expectations import expectation
from judgement.rehearsals import rehearsal
from judgement.seals import CREATOR, JOSE, MARIA, plain_seal, plain_seal_file, seal_files, seals, signed_file
from saksi.judgement.approvals import Approvers, signatures_of
from saksi.judgement.plan.data import DataPlan
from saksi.judgement.rehearsal.values import RehearsedCode, RehearsedFunction
from saksi.judgement.seal import Seal, make_statement, parse_seal
from saksi.judgement.seal_file import (
    MAX_SEAL_FILE_BYTES,
    EnvironmentTree,
    SealFile,
    make_file_statement,
    parse_seal_file,
    seal_file_of,
)
from saksi.proofs.attest.envelope import IN_TOTO, format_envelope, sign
from saksi.words.digest import sha256
from saksi.words.errors import MalformedInput

ROOT = Path(__file__).parents[2]
DATA = DataPlan(items=4096, order="shuffled", each="once", drop_last=False, content="same")
TREE = EnvironmentTree(digest=str(sha256(b"tree")), files=21_034, manifest=str(sha256(b"manifest")))
SMOOTHED = RehearsedFunction(name="smoothed", code="a" * 32, defaults=(("eps", "0.1"),))
CODE = RehearsedCode(place="module", name="torch.nn.functional.cross_entropy", functions=(SMOOTHED,))
REHEARSAL = msgspec.structs.replace(rehearsal(), code=(CODE,))
EXPECTED = (expectation(steps=((21, 21),)),)
SIGNED = signed_file(plain_seal_file(), CREATOR, MARIA)
KEYS = Approvers(approvers=(MARIA.key,), known=(CREATOR.key,))


@given(seal_files, st.lists(st.sampled_from([CREATOR, MARIA, JOSE]), min_size=1, max_size=3, unique=True))
def test_a_seal_file_comes_back_from_its_bytes(file, signers):
    signed = signed_file(file, *signers)
    again = parse_seal_file(signed.content)
    assert again == signed
    assert again.file == file
    assert [each.keyid for each in again.envelope.signatures] == [each.key.label for each in signers]
    assert again.digest == sha256(signed.content)


@given(seals)
def test_a_seal_file_holds_all_of_a_seal_but_what_is_another_for_each_launch(seal):
    file = seal_file_of(seal)
    left_out = {"run", "attempt", "approved", "environment_changed_by_saksi", "launch_key"}
    assert set(Seal.__struct_fields__) - set(SealFile.__struct_fields__) == left_out
    assert all(getattr(file, each) == getattr(seal, each) for each in set(Seal.__struct_fields__) - left_out)


@given(st.integers(0, len(SIGNED.content) * 8 - 1))
def test_a_changed_bit_is_refused_or_costs_a_signature_that_counted(bit):
    try:
        changed = parse_seal_file(flipped(SIGNED.content, bit))
    except MalformedInput:
        return
    before, after = (
        {each.label for each in signatures_of(signed.envelope, KEYS) if each.state in {"approver", "known"}}
        for signed in (SIGNED, changed)
    )
    assert after < before


def test_the_page_shows_every_member_in_order():
    page = (ROOT / "spec" / "seal-file.md").read_text()
    blocks = [each.split("```")[0] for each in page.split("```json\n")[1:]]
    shown = json.loads(blocks[0])
    shown["predicate"] |= json.loads("{" + blocks[1] + "}")
    file = plain_seal_file(environment_tree=TREE, rehearsal=REHEARSAL, expect=EXPECTED, data=DATA)
    assert members(shown) == members(json.loads(make_file_statement(file)))


def members(value):
    names = {}
    for name, inner in value.items():
        of_the_user = name in {"seeds", "environment", "unobserved"}
        names[name] = members(inner) if isinstance(inner, dict) and not of_the_user else None
    return names if not names else [(name, names[name]) for name in names]


def test_a_seal_is_no_seal_file_and_a_seal_file_no_seal():
    envelope = sign(IN_TOTO, make_statement(plain_seal()), [CREATOR])
    with pytest.raises(MalformedInput, match="the seal of one launch"):
        parse_seal_file(format_envelope(envelope) + b"\n")
    with pytest.raises(MalformedInput, match="predicate type"):
        parse_seal(make_file_statement(plain_seal_file()))


STATEMENT = make_file_statement(plain_seal_file(environment_tree=TREE, rehearsal=REHEARSAL, expect=EXPECTED))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"plan":null', b'"plan": null'),
        (b'"plan":null,', b""),
        (b'"plan":null', b'"plan":null,"extra":1'),
        (b'"name":"baseline"', b'"name":"baseline","name":"other"'),
        (b"urn:saksi:predicate:seal-file:v1", b"urn:saksi:predicate:seal-file:v2"),
        (b'"saksiCommand":"', b'"saksiCommand":"0'),
        (b'"HOME":', b'"ZHOME":'),
        (b'"rehearsal":{"steps":4', b'"rehearsal":{"steps":0'),
        (b'"rehearsal":{"steps":4', b'"rehearsal":{"steps":1001'),
        (b'"ranks":[{"rank":0', b'"ranks":[],"x":[{"rank":0'),
        (b'"betas":[0.9,0.999],"lr":0.001', b'"lr":0.001,"betas":[0.9,0.999]'),
        (b'"update":1', b'"update":0'),
        (b'"loss":"2.0"', b'"loss":2.0'),
        (b'"rehearsal":{', b'"rehearsals":{'),
        (b'"code":[{"place"', b'"code":[{"places"'),
        (b'"defaults":[["eps","0.1"]]', b'"defaults":[["eps"]]'),
        (b'"environmentTree":{"digest"', b'"environmentTree":null,"x":{"digest"'),
        (b'"manifest":"sha256', b'"manifest":"sha512'),
        (b'"steps":[[21,21]]', b'"steps":[[21,20]]'),
        (b'"steps":[[21,21]]', b'"steps":[[21,22],[23,24]]'),
        (b'"every":null', b'"every":0'),
        (b'"offset":0', b'"offset":1'),
        (b'"why":"It is pruned by hand."', b'"why":" "'),
        (b'"why":"It is pruned by hand."', b'"why":"It is pruned by hand.","by":"x"'),
        (b'"expect":[', b'"expects":['),
    ],
)
def test_what_is_not_the_one_form_of_the_statement_is_refused(before, after):
    payload = replaced(STATEMENT, before, after)
    with pytest.raises(MalformedInput):
        parse_seal_file(format_envelope(sign(IN_TOTO, payload, [CREATOR])) + b"\n")


@pytest.mark.parametrize("member", ["environmentTree", "rehearsal", "expect"])
def test_a_member_that_may_be_absent_is_never_null(member):
    whole = json.loads(STATEMENT)
    whole["predicate"][member] = None
    payload = json.dumps(whole, separators=(",", ":")).encode()
    with pytest.raises(MalformedInput):
        parse_seal_file(format_envelope(sign(IN_TOTO, payload, [CREATOR])) + b"\n")
    del whole["predicate"][member]
    payload = json.dumps(whole, separators=(",", ":")).encode()
    assert parse_seal_file(format_envelope(sign(IN_TOTO, payload, [CREATOR])) + b"\n").file.kernel == "Linux 6.1"


@pytest.mark.parametrize(
    "content",
    [
        SIGNED.content[:-1],
        SIGNED.content + b"\n",
        b" " + SIGNED.content,
        SIGNED.content.replace(b'","', b'", "', 1),
        b"",
        b"{}",
        b"\0" * 100,
        b" " * (MAX_SEAL_FILE_BYTES + 1),
        format_envelope(sign("text/plain", STATEMENT, [CREATOR])) + b"\n",
    ],
)
def test_a_file_of_another_spelling_is_refused(content):
    with pytest.raises(MalformedInput):
        parse_seal_file(content)


@given(st.binary(max_size=200))
def test_only_malformed_input_escapes_from_bytes(content):
    with pytest.raises(MalformedInput):
        parse_seal_file(content)


def test_a_text_that_is_not_unicode_is_refused_when_writing():
    with pytest.raises(MalformedInput):
        make_file_statement(msgspec.structs.replace(plain_seal_file(), kernel="\ud800"))


def test_a_file_that_expects_nothing_has_no_member_for_it_and_one_that_does_has_them_in_order():
    assert b'"expect"' not in make_file_statement(plain_seal_file())
    two = (expectation(), expectation(why="So it is."))
    payload = make_file_statement(plain_seal_file(expect=two))
    assert parse_seal_file(signed_file(plain_seal_file(expect=two)).content).file.expect == two
    first, second = (msgspec.json.encode(each) for each in two)
    for other in (second + b"," + first, first + b"," + first, b""):
        changed = payload.replace(first + b"," + second, other)
        assert changed != payload
        with pytest.raises(MalformedInput):
            parse_seal_file(format_envelope(sign(IN_TOTO, changed, [CREATOR])) + b"\n")
