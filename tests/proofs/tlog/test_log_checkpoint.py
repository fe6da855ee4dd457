from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damage import one_bit_changes, spliced
from saksi.proofs.tlog.cosignature import Cosignature, cosign, cosignature_message, verify_cosignatures
from saksi.proofs.tlog.log_checkpoint import (
    LogCheckpoint,
    format_log_checkpoint,
    open_log_checkpoint,
    parse_log_checkpoint,
    sign_log_checkpoint,
)
from saksi.proofs.tlog.merkle import EMPTY_ROOT
from saksi.proofs.tlog.note import (
    NoteSigner,
    SignatureRefused,
    SignedNote,
    add_signature,
    enrol,
    format_note,
    parse_note,
    sign_note,
)
from saksi.proofs.tlog.signature_types import COSIGNATURE
from saksi.words.errors import MalformedInput, MissingKey

SIGNER = NoteSigner("saksi/run/0001", b"\x01" * 32)
HEAD = LogCheckpoint(origin=SIGNER.name, size=7, root=b"\x05" * 32)
SIGNED = sign_log_checkpoint(HEAD, SIGNER)

lines = st.text(st.characters(codec="utf-8", min_codepoint=32), min_size=1, max_size=20)
log_checkpoints = st.builds(
    LogCheckpoint,
    origin=lines,
    size=st.integers(1, 2**63 - 1),
    root=st.binary(min_size=32, max_size=32),
    extensions=st.lists(lines, max_size=3).map(tuple),
)


@given(log_checkpoints)
def test_log_checkpoint_and_text_are_inverse(log_checkpoint):
    assert parse_log_checkpoint(format_log_checkpoint(log_checkpoint)) == log_checkpoint


@given(st.text(max_size=60) | st.text(alphabet="\n01ab+/=", max_size=60))
def test_any_text_is_a_log_checkpoint_or_malformed(text):
    with suppress(MalformedInput):
        assert format_log_checkpoint(parse_log_checkpoint(text)) == text


@given(spliced(format_log_checkpoint(HEAD), st.text(max_size=4)))
def test_spliced_log_checkpoint_is_one_or_malformed(text):
    with suppress(MalformedInput):
        assert format_log_checkpoint(parse_log_checkpoint(text)) == text


def test_signed_head_opens_under_its_key():
    assert SIGNED.decode().startswith(
        "saksi/run/0001\n7\nBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=\n\n— saksi/run/0001 "
    )
    assert open_log_checkpoint(SIGNED, [SIGNER.key]) == HEAD


def test_every_one_bit_change_of_a_signed_head_is_refused():
    for changed in one_bit_changes(SIGNED):
        with pytest.raises((MalformedInput, SignatureRefused)):
            open_log_checkpoint(changed, [SIGNER.key])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n7\n",
        "o\n07\n" + "A" * 43 + "=\n",
        "o\n+7\n" + "A" * 43 + "=\n",
        "o\n-1\n" + "A" * 43 + "=\n",
        "o\n\u0667\n" + "A" * 43 + "=\n",
        "o\n9223372036854775808\n" + "A" * 43 + "=\n",
        "\n7\n" + "A" * 43 + "=\n",
        "o\n7\n" + "A" * 43 + "\n",
        "o\n7\n" + "A" * 42 + "B=\n",
        "o\n7\nAAAA\n",
        "o\n7\n" + "A" * 43 + "=\n\n",
        "o\n7\n" + "A" * 43 + "=",
        "o\n7\r\n" + "A" * 43 + "=\n",
        "o\n0\n" + "A" * 43 + "=\n",
    ],
)
def test_other_spellings_of_a_log_checkpoint_are_refused(text):
    with pytest.raises(MalformedInput):
        parse_log_checkpoint(text)


@pytest.mark.parametrize(
    "changed",
    [{"size": -1}, {"size": 2**63}, {"root": b"short"}, {"size": 0}, {"origin": "a\nb"}, {"extensions": ("",)}],
)
def test_impossible_log_checkpoint_cannot_be_made(changed):
    with pytest.raises(MalformedInput):
        LogCheckpoint(**({"origin": "o", "size": 7, "root": b"\x05" * 32} | changed))


def test_empty_log_has_the_empty_root():
    empty = LogCheckpoint(origin=SIGNER.name, size=0, root=EMPTY_ROOT)
    assert open_log_checkpoint(sign_log_checkpoint(empty, SIGNER), [SIGNER.key]) == empty


def test_extension_lines_are_kept_but_never_signed():
    extended = LogCheckpoint(origin=HEAD.origin, size=7, root=HEAD.root, extensions=("more", "lines"))
    with pytest.raises(MalformedInput, match="extension"):
        sign_log_checkpoint(extended, SIGNER)
    foreign = sign_note(format_log_checkpoint(extended), [SIGNER])
    assert open_log_checkpoint(foreign, [SIGNER.key]) == extended


def test_key_of_another_log_does_not_vouch_for_this_one(other_signer):
    with pytest.raises(MalformedInput, match="not named after"):
        sign_log_checkpoint(HEAD, other_signer)
    content = sign_note(format_log_checkpoint(HEAD), [other_signer])
    with pytest.raises(SignatureRefused, match="no trusted key of the log"):
        open_log_checkpoint(content, [other_signer.key, SIGNER.key])


def test_cosigner_alone_does_not_vouch_for_a_log(cosigner):
    content = cosign(SIGNED, cosigner, timestamp=5)
    with pytest.raises(SignatureRefused, match="no trusted key of the log"):
        open_log_checkpoint(content, [cosigner.key])
    namesake = NoteSigner(SIGNER.name, b"\x04" * 32, algorithm=COSIGNATURE)
    with pytest.raises(SignatureRefused, match="no trusted key of the log"):
        open_log_checkpoint(cosign(SIGNED, namesake, timestamp=5), [namesake.key])


def test_signed_text_that_is_no_log_checkpoint_is_malformed():
    with pytest.raises(MalformedInput):
        open_log_checkpoint(sign_note("hello\n", [SIGNER]), [SIGNER.key])
    with pytest.raises(MissingKey):
        open_log_checkpoint(SIGNED, [])


def test_cosignature_message_is_that_of_the_specification():
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert cosignature_message(1679315147, text).decode() == f"cosignature/v1\ntime 1679315147\n{text}"


@given(st.integers(0, 2**63 - 1))
def test_cosigned_head_opens_and_names_its_cosigner_and_time(timestamp):
    cosigner = NoteSigner("witness.example/w1", b"\x03" * 32, algorithm=COSIGNATURE)
    content = cosign(SIGNED, cosigner, timestamp=timestamp)
    assert open_log_checkpoint(content, [SIGNER.key, cosigner.key]) == HEAD
    assert verify_cosignatures(content, [SIGNER.key, cosigner.key]) == (Cosignature(cosigner.key, timestamp),)


def test_every_one_bit_change_of_a_cosignature_is_refused(cosigner):
    content = cosign(SIGNED, cosigner, timestamp=1679315147)
    for changed in one_bit_changes(content, start=len(SIGNED)):
        with suppress(MalformedInput, SignatureRefused):
            assert verify_cosignatures(changed, [cosigner.key]) == ()


def test_cosigner_that_signed_twice_counts_once_with_the_latest_time(cosigner):
    content = cosign(cosign(SIGNED, cosigner, timestamp=9), cosigner, timestamp=4)
    assert verify_cosignatures(content, [cosigner.key]) == (Cosignature(cosigner.key, 9),)


def test_absent_cosignatures_are_none_and_a_false_one_is_refused(cosigner):
    assert verify_cosignatures(SIGNED, [cosigner.key]) == ()
    assert verify_cosignatures(SIGNED, []) == ()
    with pytest.raises(SignatureRefused):
        verify_cosignatures(add_signature(SIGNED, cosigner.key, bytes(72)), [cosigner.key])


def test_only_log_checkpoints_are_cosigned_and_only_in_time(cosigner):
    with pytest.raises(MalformedInput):
        cosign(sign_note("hello\n", [SIGNER]), cosigner, timestamp=1)
    for timestamp in (-1, 2**63):
        with pytest.raises(MalformedInput, match="time"):
            cosign(SIGNED, cosigner, timestamp=timestamp)
    with pytest.raises(MalformedInput):
        cosign(SIGNED, SIGNER, timestamp=1)


def test_cosignature_moved_to_another_head_is_refused(cosigner):
    line = parse_note(cosign(SIGNED, cosigner, timestamp=5)).signatures[-1]
    other = parse_note(sign_log_checkpoint(LogCheckpoint(origin=HEAD.origin, size=8, root=HEAD.root), SIGNER))
    moved = format_note(SignedNote(other.text, (*other.signatures, line)))
    with pytest.raises(SignatureRefused):
        verify_cosignatures(moved, [cosigner.key])


def test_cosigner_key_is_enrolled_like_any_other(cosigner):
    assert enrol(cosigner.vkey) == cosigner.key
