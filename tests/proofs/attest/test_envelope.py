from __future__ import annotations

import base64
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damage import one_bit_changes, spliced
from saksi.proofs.attest.envelope import (
    IN_TOTO,
    MAX_PAYLOAD_BYTES,
    MAX_SIGNATURES,
    Envelope,
    EnvelopeSignature,
    format_envelope,
    pae,
    parse_envelope,
    sign,
    verify,
    verify_signers,
)
from saksi.proofs.tlog.note import NoteSigner, SignatureRefused
from saksi.words.errors import MalformedInput, MissingKey

SIGNER = NoteSigner("installation", b"\x01" * 32)
OTHER = NoteSigner("auditor", b"\x02" * 32)
GOOD = format_envelope(sign(IN_TOTO, b'{"hello":"world"}', [SIGNER]))

envelopes = st.builds(
    Envelope,
    payload_type=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30),
    payload=st.binary(max_size=60),
    signatures=st.lists(
        st.builds(
            EnvelopeSignature, st.text(st.characters(codec="utf-8"), max_size=10), st.binary(min_size=1, max_size=70)
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
)


def test_pae_of_the_dsse_document():
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(envelopes)
def test_envelope_and_bytes_are_inverse(envelope):
    assert parse_envelope(format_envelope(envelope)) == envelope


@given(st.binary(max_size=60))
def test_exactly_the_signed_bytes_come_out(payload):
    envelope = parse_envelope(format_envelope(sign(IN_TOTO, payload, [SIGNER])))
    assert verify(envelope, [OTHER.key, SIGNER.key]) == payload


def test_key_id_is_the_label_of_the_note_key():
    assert sign(IN_TOTO, b"", [SIGNER]).signatures[0].keyid == SIGNER.key.label
    assert SIGNER.vkey.startswith(SIGNER.key.label)


def test_every_one_bit_change_of_an_envelope_is_refused():
    for changed in one_bit_changes(GOOD):
        with pytest.raises((MalformedInput, SignatureRefused)):
            verify(parse_envelope(changed), [SIGNER.key])


@given(spliced(GOOD, st.binary(max_size=6)))
def test_spliced_envelope_is_one_or_malformed(content):
    with suppress(MalformedInput):
        envelope = parse_envelope(content)
        assert parse_envelope(format_envelope(envelope)) == envelope


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:0123456789eE.-\\u pay', max_size=60).map(str.encode))
def test_any_bytes_are_an_envelope_or_malformed(content):
    with pytest.raises(MalformedInput):
        parse_envelope(content)


def test_other_spacing_and_order_of_members_are_the_same_envelope():
    members = msgspec.json.decode(GOOD)
    turned = msgspec.json.format(msgspec.json.encode(dict(reversed(members.items()))), indent=2)
    assert parse_envelope(turned) == parse_envelope(GOOD)


def test_envelope_without_a_known_signer_is_refused():
    envelope = parse_envelope(GOOD)
    with pytest.raises(MissingKey):
        verify(envelope, [])
    with pytest.raises(SignatureRefused, match="no signature"):
        verify(envelope, [OTHER.key])


def test_cosigner_keys_do_not_judge_envelopes(cosigner):
    with pytest.raises(MissingKey):
        verify(parse_envelope(GOOD), [cosigner.key])
    with pytest.raises(MalformedInput):
        sign(IN_TOTO, b"", [cosigner])


def test_signers_are_told_and_a_false_signature_by_one_of_them_refuses_all():
    both = sign(IN_TOTO, b"{}", [SIGNER, OTHER, SIGNER])
    assert verify_signers(both, [OTHER.key, SIGNER.key]) == (SIGNER.key, OTHER.key)
    false = Envelope(
        payload_type=IN_TOTO,
        payload=b"{}",
        signatures=(both.signatures[0], EnvelopeSignature(OTHER.key.label, bytes(64))),
    )
    assert verify(false, [SIGNER.key]) == b"{}"
    with pytest.raises(SignatureRefused, match="does not verify"):
        verify(false, [SIGNER.key, OTHER.key])


def test_signature_does_not_carry_over_to_another_type_or_payload():
    envelope = sign(IN_TOTO, b"{}", [SIGNER])
    for kind, payload in (("application/json", b"{}"), (IN_TOTO, b"{} ")):
        moved = Envelope(payload_type=kind, payload=payload, signatures=envelope.signatures)
        with pytest.raises(SignatureRefused):
            verify(moved, [SIGNER.key])


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b"[]",
        b'{"payload":"","payloadType":"t","signatures":[]}',
        b'{"payload":"","payloadType":"","signatures":[{"sig":"AA=="}]}',
        b'{"payload":"","payloadType":"t\\u0000","signatures":[{"sig":"AA=="}]}',
        b'{"payload":"","payloadType":"t\xc3\xa9","signatures":[{"sig":"AA=="}]}',
        b'{"payload":"AB==","payloadType":"t","signatures":[{"sig":"AA=="}]}',
        b'{"payload":"__==","payloadType":"t","signatures":[{"sig":"AA=="}]}',
        b'{"payload":"","payloadType":"t","signatures":[{"sig":""}]}',
        b'{"payload":"","payloadType":"t","signatures":[{"sig":"AA==","cert":"x"}]}',
        b'{"payload":"","payloadType":"t","signatures":[{"sig":"AA=="}],"more":1}',
        b'{"payload":"","payload":"","payloadType":"t","signatures":[{"sig":"AA=="}]}',
        b'{"payload":1,"payloadType":"t","signatures":[{"sig":"AA=="}]}',
        b'{"payload":"\\ud800","payloadType":"t","signatures":[{"sig":"AA=="}]}',
    ],
)
def test_malformed_envelopes_are_refused(content):
    with pytest.raises(MalformedInput):
        parse_envelope(content)


def test_envelope_limits():
    with pytest.raises(MalformedInput, match="above the limit"):
        sign(IN_TOTO, bytes(MAX_PAYLOAD_BYTES + 1), [SIGNER])
    with pytest.raises(MalformedInput, match="above the limit"):
        parse_envelope(bytes(MAX_PAYLOAD_BYTES * 2))
    with pytest.raises(MalformedInput, match="0 signatures"):
        sign(IN_TOTO, b"", [])
    with pytest.raises(MalformedInput, match="media type"):
        sign("", b"", [SIGNER])
    line = b'{"sig":"AA=="}'
    many = b",".join([line] * (MAX_SIGNATURES + 1))
    with pytest.raises(MalformedInput, match="more than 16"):
        parse_envelope(b'{"payload":"","payloadType":"t","signatures":[%b]}' % many)
    long = base64.b64encode(bytes(9000))
    with pytest.raises(MalformedInput, match="impossible length"):
        parse_envelope(b'{"payload":"","payloadType":"t","signatures":[{"sig":"%b"}]}' % long)


def test_largest_payload_fits_into_an_envelope():
    envelope = sign(IN_TOTO, b"a" * MAX_PAYLOAD_BYTES, [SIGNER] * MAX_SIGNATURES)
    assert parse_envelope(format_envelope(envelope)) == envelope
