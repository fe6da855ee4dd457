from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damage import one_bit_changes, spliced
from saksi.proofs.tlog.log_checkpoint import LogCheckpoint, sign_log_checkpoint
from saksi.proofs.tlog.merkle import ProofRefused, hash_reader, inclusion_proof, leaf_hashes, root_of
from saksi.proofs.tlog.note import NoteSigner, SignatureRefused
from saksi.proofs.tlog.proof_file import TlogProof, format_proof_file, parse_proof_file, verify_proof_file
from saksi.words.errors import MalformedInput

SIGNER = NoteSigner("saksi/run/0001", b"\x01" * 32)
ENTRIES = [b"entry %d" % number for number in range(11)]
LEAVES = leaf_hashes(ENTRIES)
HEAD = LogCheckpoint(origin=SIGNER.name, size=11, root=root_of(LEAVES))
NOTE = sign_log_checkpoint(HEAD, SIGNER)


def proof_of(index, extra=None):
    path = inclusion_proof(index=index, size=11, read_hash=hash_reader(LEAVES))
    return TlogProof(index=index, proof=tuple(path), log_checkpoint=NOTE, extra=extra)


GOOD = format_proof_file(proof_of(6))

proofs = st.builds(
    TlogProof,
    index=st.integers(0, 2**63 - 1),
    proof=st.lists(st.binary(min_size=32, max_size=32), max_size=4).map(tuple),
    log_checkpoint=st.just(NOTE),
    extra=st.none() | st.binary(min_size=1, max_size=20),
)


@given(proofs)
def test_proof_file_and_bytes_are_inverse(proof):
    assert parse_proof_file(format_proof_file(proof)) == proof


def test_every_entry_is_proved_and_no_other():
    for index, entry in enumerate(ENTRIES):
        content = format_proof_file(proof_of(index))
        assert content.startswith(b"c2sp.org/tlog-proof@v1\nindex %d\n" % index)
        assert verify_proof_file(content, entry=entry, keys=[SIGNER.key]) == HEAD
        with pytest.raises(ProofRefused):
            verify_proof_file(content, entry=entry + b"!", keys=[SIGNER.key])


def test_extra_bytes_are_carried_and_vouch_for_nothing():
    content = format_proof_file(proof_of(6, b"extra"))
    assert content.startswith(b"c2sp.org/tlog-proof@v1\nextra ZXh0cmE=\nindex 6\n")
    assert parse_proof_file(content).extra == b"extra"
    assert verify_proof_file(content, entry=ENTRIES[6], keys=[SIGNER.key]) == HEAD


def test_proof_under_a_stranger_s_key_is_refused(other_signer):
    with pytest.raises(SignatureRefused):
        verify_proof_file(GOOD, entry=ENTRIES[6], keys=[other_signer.key])


def test_every_one_bit_change_of_a_proof_file_is_refused():
    for changed in one_bit_changes(GOOD):
        with pytest.raises((MalformedInput, SignatureRefused, ProofRefused)):
            verify_proof_file(changed, entry=ENTRIES[6], keys=[SIGNER.key])


@given(spliced(GOOD, st.binary(max_size=6)))
def test_spliced_proof_file_is_one_or_malformed(content):
    with suppress(MalformedInput):
        assert format_proof_file(parse_proof_file(content)) == content


@pytest.mark.parametrize(
    "head",
    [
        "",
        "c2sp.org/tlog-proof@v2\nindex 6",
        "c2sp.org/tlog-proof@v1",
        "c2sp.org/tlog-proof@v1\nindex 06",
        "c2sp.org/tlog-proof@v1\nindex -6",
        "c2sp.org/tlog-proof@v1\nindex 9223372036854775808",
        "c2sp.org/tlog-proof@v1\nextra \nindex 6",
        "c2sp.org/tlog-proof@v1\nindex 6\nextra QUJD",
        "c2sp.org/tlog-proof@v1\nextra QUJD\nextra QUJD\nindex 6",
        "c2sp.org/tlog-proof@v1\nindex 6\nAAAA",
        "c2sp.org/tlog-proof@v1\nindex 6\n" + "A" * 43,
        "c2sp.org/tlog-proof@v1\r\nindex 6",
        "c2sp.org/tlog-proof@v1\nindex \u0666",
        "c2sp.org/tlog-proof@v1\nindex 6" + ("\n" + "A" * 43 + "=") * 64,
    ],
)
def test_malformed_proof_files_are_refused(head):
    with pytest.raises(MalformedInput):
        parse_proof_file(head.encode() + b"\n\n" + NOTE)


def test_proof_file_limits():
    with pytest.raises(MalformedInput, match="above the limit"):
        parse_proof_file(bytes(300_000))
    with pytest.raises(MalformedInput, match="blank line"):
        parse_proof_file(b"c2sp.org/tlog-proof@v1\nindex 6\n")
    for wrong in (
        {"index": -1},
        {"proof": (b"short",)},
        {"extra": b""},
        {"extra": bytes(65_536)},
        {"log_checkpoint": b""},
    ):
        with pytest.raises(MalformedInput):
            TlogProof(**({"index": 0, "proof": (), "log_checkpoint": NOTE} | wrong))
