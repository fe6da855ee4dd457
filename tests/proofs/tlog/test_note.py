from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damage import one_bit_changes, spliced
from saksi.proofs.tlog.note import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    NoteSignature,
    NoteSigner,
    SignatureRefused,
    SignedNote,
    VerifierKey,
    add_signature,
    enrol,
    format_note,
    parse_note,
    sign_note,
    signers_of,
    verify_note,
)
from saksi.proofs.tlog.signature_types import ML_DSA_44, verify_typed
from saksi.words.errors import MalformedInput, MissingKey, UnsupportedVersion

SIGNER = NoteSigner("saksi/run/0001", b"\x01" * 32)
TEXT = "Some text:\n\nwith an empty line\nand — a dash\n"
NOTE = sign_note(TEXT, [SIGNER])

lines = st.text(st.characters(codec="utf-8", min_codepoint=32), max_size=20)
texts = st.lists(lines, min_size=1, max_size=4).map(lambda each: "\n".join(each) + "\n")
signature_lines = st.builds(
    NoteSignature,
    name=st.sampled_from(["a", "example.com/log", "ŝtono/7"]),
    key_id=st.binary(min_size=4, max_size=4),
    signature=st.binary(min_size=1, max_size=80),
)
notes = st.builds(SignedNote, texts, st.lists(signature_lines, min_size=1, max_size=4).map(tuple))


@given(notes)
def test_note_and_bytes_are_inverse(note):
    assert parse_note(format_note(note)) == note


@given(texts)
def test_signed_note_verifies_and_returns_its_text(text):
    verified = verify_note(sign_note(text, [SIGNER]), [SIGNER.key])
    assert (verified.text, verified.keys) == (text, (SIGNER.key,))


def test_every_one_bit_change_of_a_note_is_refused():
    for changed in one_bit_changes(NOTE):
        with pytest.raises((MalformedInput, SignatureRefused)):
            verify_note(changed, [SIGNER.key])


def test_every_truncation_of_a_note_is_malformed():
    for length in range(len(NOTE)):
        with pytest.raises(MalformedInput):
            parse_note(NOTE[:length])


@given(st.binary(max_size=120) | st.text(alphabet="\n — ab+=", max_size=60).map(str.encode))
def test_any_bytes_are_a_note_or_malformed(content):
    with suppress(MalformedInput):
        assert format_note(parse_note(content)) == content


@given(spliced(NOTE, st.binary(max_size=6)))
def test_spliced_note_is_a_note_or_malformed(content):
    with suppress(MalformedInput):
        assert format_note(parse_note(content)) == content


def test_published_example_verifies():
    # golang/mod sumdb/note, package example; also C2SP signed-note, "Format".
    key = enrol("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    content = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
        "\n"
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert verify_note(content.encode(), [key]).keys == (key,)


def test_signatures_by_unknown_keys_are_ignored(other_signer):
    both = sign_note(TEXT, [other_signer, SIGNER])
    assert verify_note(both, [SIGNER.key]).keys == (SIGNER.key,)
    assert verify_note(both, [SIGNER.key, other_signer.key]).keys == (other_signer.key, SIGNER.key)


def test_key_that_shares_only_the_name_or_only_the_id_is_unknown():
    namesake = NoteSigner(SIGNER.name, b"\x09" * 32)
    with pytest.raises(SignatureRefused, match="no signature"):
        verify_note(NOTE, [namesake.key])
    line = NoteSignature(name="elsewhere", key_id=SIGNER.key.key_id, signature=b"x")
    content = format_note(SignedNote(TEXT, (*parse_note(NOTE).signatures, line)))
    assert verify_note(content, [SIGNER.key]).keys == (SIGNER.key,)


def test_bad_signature_by_a_known_key_refuses_the_note(other_signer):
    content = add_signature(NOTE, other_signer.key, bytes(64))
    assert verify_note(content, [SIGNER.key]).keys == (SIGNER.key,)
    with pytest.raises(SignatureRefused, match="does not verify"):
        verify_note(content, [SIGNER.key, other_signer.key])


def test_bad_signature_beside_a_good_one_by_the_same_key_refuses_the_note():
    with pytest.raises(SignatureRefused):
        verify_note(add_signature(NOTE, SIGNER.key, bytes(64)), [SIGNER.key])
    repeated = add_signature(NOTE, SIGNER.key, parse_note(NOTE).signatures[0].signature)
    assert verify_note(repeated, [SIGNER.key]).keys == (SIGNER.key,)


def test_signature_of_another_note_by_the_same_key_is_refused():
    other = parse_note(sign_note("Other text\n", [SIGNER]))
    with pytest.raises(SignatureRefused):
        verify_note(format_note(SignedNote(TEXT, other.signatures)), [SIGNER.key])


def test_note_without_any_key_to_judge_it_is_not_accepted():
    with pytest.raises(MissingKey):
        verify_note(NOTE, [])
    with pytest.raises(SignatureRefused):
        verify_note(NOTE, [NoteSigner("stranger", b"\x08" * 32).key])
    assert signers_of(parse_note(NOTE), []) == ()


def test_ml_dsa_signature_is_kept_ignored_or_named_as_not_judged():
    key = VerifierKey.of("later", ML_DSA_44, bytes(1312))
    content = add_signature(NOTE, key, bytes(2428))
    assert verify_note(content, [SIGNER.key]).keys == (SIGNER.key,)
    with pytest.raises(UnsupportedVersion, match="type 0x06"):
        verify_note(content, [SIGNER.key, key])


def test_cosignature_that_is_shorter_than_its_time_or_beyond_time_is_refused(cosigner):
    for signature in (bytes(8), b"\xff" * 72, b"x"):
        with pytest.raises(SignatureRefused, match="cosignature by"):
            verify_typed(
                algorithm=cosigner.key.algorithm,
                public=cosigner.key.public,
                text=TEXT,
                signature=signature,
                name="w",
            )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"text\n",
        b"text\n\n",
        b"text\n\n\n",
        "text\n\n— name QUJDREVG".encode(),
        "text\n\n—  QUJDREVG\n".encode(),
        "text\n\n— name  QUJDREVG\n".encode(),
        b"text\n\n- name QUJDREVG\n",
        "text\n\n— name QUJDREVG \n".encode(),
        "text\n\n— name QUJDREVG\r\n".encode(),
        "te\txt\n\n— name QUJDREVG\n".encode(),
        "text\n\n— na+me QUJDREVG\n".encode(),
        "text\n\n— name QUJDRA==\n".encode(),
        "text\n\n— name QUJD\n".encode(),
        "text\n\n— name QUJDREVG=\n".encode(),
        "text\n\n— name QUJDREW=\n".encode(),
        "text\n\n— name QUJDRE_-\n".encode(),
        b"te\xffxt\n\n\xe2\x80\x94 name QUJDREVG\n",
        b"text\n\n\xe2\x80\x94 name QUJDREVG\n\n",
    ],
)
def test_malformed_notes_are_refused(content):
    with pytest.raises(MalformedInput):
        parse_note(content)


def test_note_limits():
    line = NoteSignature(name="a", key_id=bytes(4), signature=b"x")
    assert len(parse_note(format_note(SignedNote("t\n", (line,) * MAX_SIGNATURES))).signatures) == 16
    with pytest.raises(MalformedInput, match="17 signatures"):
        SignedNote("t\n", (line,) * (MAX_SIGNATURES + 1))
    with pytest.raises(MalformedInput, match="17 signatures"):
        parse_note(b"t\n\n" + "— a AAAAAHg=\n".encode() * (MAX_SIGNATURES + 1))
    with pytest.raises(MalformedInput, match="above the limit"):
        parse_note(bytes(MAX_NOTE_BYTES + 1))
    with pytest.raises(MalformedInput, match="above the limit"):
        sign_note("t" * MAX_NOTE_BYTES + "\n", [SIGNER])
    with pytest.raises(MalformedInput, match="0 signatures"):
        sign_note("t\n", [])
    with pytest.raises(MalformedInput, match="newline"):
        sign_note("t", [SIGNER])
    with pytest.raises(MalformedInput, match="Unicode"):
        SignedNote("\ud800\n", (line,))
    with pytest.raises(MalformedInput, match="key id of 3"):
        NoteSignature(name="a", key_id=bytes(3), signature=b"x")
