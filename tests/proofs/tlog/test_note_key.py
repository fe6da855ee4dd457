from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from saksi.proofs.tlog.note_key import (
    NoteSigner,
    VerifierKey,
    enrol,
    format_verifier_key,
    parse_verifier_key,
    require_sound_ed25519,
)
from saksi.proofs.tlog.signature_types import COSIGNATURE, ED25519, ML_DSA_44, PUBLIC_KEY_BYTES
from saksi.words.errors import MalformedInput

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(
    lambda name: not any(each.isspace() or each == "+" or each < " " for each in name)
)
keys = st.sampled_from([ED25519, COSIGNATURE, ML_DSA_44]).flatmap(
    lambda kind: st.builds(
        VerifierKey.of,
        names,
        st.just(kind),
        st.binary(min_size=PUBLIC_KEY_BYTES[kind], max_size=PUBLIC_KEY_BYTES[kind]),
    )
)


@given(keys)
def test_vkey_text_and_key_are_inverse(key):
    assert parse_verifier_key(format_verifier_key(key)) == key
    assert str(key).startswith(key.label + "+")


@given(keys.map(format_verifier_key), st.data())
def test_changed_vkey_text_is_refused(text, data):
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda each: each != text[at]))
    with pytest.raises(MalformedInput):
        parse_verifier_key(text[:at] + other + text[at + 1 :])


@given(st.text(max_size=80))
def test_any_text_is_a_vkey_or_malformed(text):
    with pytest.raises(MalformedInput):
        parse_verifier_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "name+33d7b496+",
        "name+33D7B496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
        "name+33d7b496+AuHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
        "name+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkk",
        "n" * 5000,
        "",
        "name",
    ],
)
def test_unsound_vkey_text_is_refused(text):
    with pytest.raises(MalformedInput):
        parse_verifier_key(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\x01b", "n" * 256, "\ud800"])
def test_names_that_a_note_cannot_hold_are_refused(name):
    with pytest.raises(MalformedInput):
        VerifierKey.of(name, ED25519, bytes(32))


def test_unknown_type_or_wrong_length_or_foreign_id_is_refused():
    with pytest.raises(MalformedInput, match="not known"):
        VerifierKey.of("name", 0x02, bytes(32))
    with pytest.raises(MalformedInput, match="not known"):
        VerifierKey(name="name", key_id=bytes(4), algorithm=0x02, public=bytes(32))
    with pytest.raises(MalformedInput, match="31 bytes"):
        VerifierKey.of("name", ED25519, bytes(31))
    with pytest.raises(MalformedInput, match="key id"):
        VerifierKey(name="name", key_id=bytes(4), algorithm=ED25519, public=bytes(32))


def test_enrolment_refuses_exactly_the_keys_flagged_as_low_order_or_non_canonical(vectors):
    cases = json.loads((vectors / "ed25519" / "ed25519vectors.json").read_text())
    refused = 0
    for case in cases:
        flagged = not {"low_order_A", "non_canonical_A"}.isdisjoint(case["flags"] or [])
        text = format_verifier_key(VerifierKey.of("edge", ED25519, bytes.fromhex(case["key"])))
        try:
            enrol(text)
        except MalformedInput:
            refused += 1
            assert flagged, case
        else:
            assert not flagged, case
    assert (len(cases), refused) == (914, 526)


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        ("01" + "00" * 30 + "80", "negative of x = 0"),
        ("ec" + "ff" * 31, "negative of x = 0"),
        ("ed" + "ff" * 30 + "7f", "not below"),
        ("00" * 32, "small order"),
        ("02" + "00" * 31, "not a point"),
        ("00" * 31, "31 bytes"),
    ],
)
def test_refusal_of_a_key_says_why(encoded, reason):
    with pytest.raises(MalformedInput, match=reason):
        require_sound_ed25519(bytes.fromhex(encoded))


@given(st.binary(min_size=32, max_size=32))
def test_generated_keys_are_enrolled(seed):
    signer = NoteSigner("someone", seed)
    assert enrol(signer.vkey) == signer.key


def test_ml_dsa_key_is_enrolled_for_later():
    key = VerifierKey.of("later", ML_DSA_44, bytes(1312))
    assert enrol(format_verifier_key(key)) == key


def test_signer_from_a_private_key_is_that_from_its_seed_and_hides_it():
    seed = b"\x07" * 32
    signer = NoteSigner("someone", Ed25519PrivateKey.from_private_bytes(seed))
    assert signer.vkey == NoteSigner("someone", seed).vkey
    assert signer.name == "someone"
    assert repr(signer) == f"NoteSigner('{signer.key.label}')"
    assert not hasattr(signer, "__dict__")


def test_signer_refuses_a_short_seed_and_ml_dsa():
    with pytest.raises(MalformedInput, match="32 bytes"):
        NoteSigner("someone", b"short")
    with pytest.raises(MalformedInput, match="ML-DSA"):
        NoteSigner("someone", bytes(32), algorithm=ML_DSA_44)


def test_signer_never_signs_one_kind_of_message_as_another(log_signer, cosigner):
    for text in ("DSSEv1 4 type 1 x\n", "cosignature/v1\ntime 1\nx\n"):
        with pytest.raises(MalformedInput, match="another signed message"):
            log_signer.sign_text(text)
    with pytest.raises(MalformedInput, match="pre-authentication"):
        log_signer.sign_envelope(b"anything")
    with pytest.raises(MalformedInput, match="type 0x01"):
        log_signer.sign_cosignature("text\n", timestamp=1)
    with pytest.raises(MalformedInput, match="type 0x04"):
        cosigner.sign_text("text\n")
    with pytest.raises(MalformedInput, match="type 0x04"):
        cosigner.sign_envelope(b"DSSEv1 ")
