from __future__ import annotations

import itertools

import msgspec
import pytest

from doors.cli.cli_home import SealedRun
from judgement.seals import CREATOR, JOSE, MARIA, plain_seal_file, signed_file
from saksi.judgement.approvals import (
    Approvers,
    add_signature,
    approvers_of,
    assurance_of,
    has_approval,
    signatures_of,
    was_changed,
)
from saksi.judgement.seal_file import EnvironmentTree, format_seal_file
from saksi.judgement.verdict import NOTHING_ASSURED, judge
from saksi.proofs.attest.envelope import MAX_SIGNATURES, EnvelopeSignature
from saksi.proofs.tlog.note_key import NoteSigner
from saksi.words.digest import sha256
from saksi.words.errors import UsageError
from simulated_run import train

KEYS = Approvers(approvers=(MARIA.key,), known=(CREATOR.key,))
replace = msgspec.structs.replace


def states(signed, keys=KEYS):
    return [each.state for each in signatures_of(signed.envelope, keys)]


def with_signatures(signed, signatures):
    return format_seal_file(replace(signed.envelope, signatures=tuple(signatures)))


def forged(signer):
    """A signature under the label of `signer` that is not of these bytes."""
    return EnvelopeSignature(signer.key.label, signer.sign_envelope(b"DSSEv1 other"))


def test_each_signature_is_judged_by_itself():
    signed = signed_file(plain_seal_file(), CREATOR, JOSE, MARIA)
    assert states(signed) == ["known", "unknown", "approver"]
    bad = with_signatures(signed, (*signed.envelope.signatures, forged(MARIA)))
    assert states(bad) == ["known", "unknown", "approver", "refused"]
    assert approvers_of(signatures_of(bad.envelope, KEYS)) == (MARIA.key.label,)


def test_the_creators_key_approves_only_where_it_is_enrolled():
    signed = signed_file(plain_seal_file(), CREATOR)
    assert approvers_of(signatures_of(signed.envelope, KEYS)) == ()
    own = Approvers(approvers=(CREATOR.key,), known=(CREATOR.key,))
    assert approvers_of(signatures_of(signed.envelope, own)) == (CREATOR.key.label,)


def test_leaving_signatures_out_never_makes_an_approval():
    # Every mixture of signatures that count, that are unknown, and that do not verify; every subset of it.
    signed = signed_file(plain_seal_file(), CREATOR, JOSE, MARIA)
    pool = [*signed.envelope.signatures, forged(MARIA), forged(CREATOR), forged(JOSE)]
    approved = {}
    for size in range(1, len(pool) + 1):
        for subset in itertools.combinations(range(len(pool)), size):
            file = with_signatures(signed, [pool[each] for each in subset])
            approved[frozenset(subset)] = bool(approvers_of(signatures_of(file.envelope, KEYS)))
    for subset, is_approved in approved.items():
        for left_out in subset:
            if not is_approved:
                assert not approved.get(subset - {left_out}, False)
    assert any(approved.values())
    assert not all(approved.values())


def test_a_signature_of_another_key_under_a_known_label_does_not_count():
    stranger = NoteSigner("maria", bytes(range(9, 41)))
    signed = signed_file(plain_seal_file(), stranger)
    assert states(signed) == ["unknown"]  # another key id
    under = EnvelopeSignature(MARIA.key.label, signed.envelope.signatures[0].sig)
    assert states(with_signatures(signed, [under])) == ["refused"]


def test_a_file_was_changed_if_nothing_verifies_and_something_should():
    honest = signed_file(plain_seal_file(), CREATOR, MARIA)
    other = signed_file(plain_seal_file(kernel="other"), CREATOR)
    changed = with_signatures(other, honest.envelope.signatures)
    assert was_changed(signatures_of(changed.envelope, KEYS))
    assert not was_changed(signatures_of(honest.envelope, KEYS))
    assert not was_changed(signatures_of(signed_file(plain_seal_file(), JOSE).envelope, KEYS))
    assert not was_changed(signatures_of(changed.envelope, Approvers(approvers=())))


def test_approving_twice_is_once():
    signed = signed_file(plain_seal_file(), CREATOR)
    more = add_signature(signed, MARIA)
    assert states(more) == ["known", "approver"]
    assert more.file == signed.file
    assert add_signature(more, MARIA) is None
    both = add_signature(more, JOSE)
    assert states(both) == ["known", "approver", "unknown"]


def test_no_signature_is_added_beside_one_that_does_not_verify_nor_beyond_the_limit():
    signed = signed_file(plain_seal_file(), CREATOR)
    with pytest.raises(UsageError, match="does not verify"):
        add_signature(with_signatures(signed, [forged(MARIA)]), MARIA)
    full = with_signatures(signed, [EnvelopeSignature(f"k{each}+00000000", b"s") for each in range(MAX_SIGNATURES)])
    with pytest.raises(UsageError, match="16 signatures"):
        add_signature(full, MARIA)


# -- a whole run


def launched(*contents, **seal):
    """A run with an attempt under each of the seal files; `None` for one without."""
    simulated = SealedRun(**seal)
    for number, content in enumerate(contents):
        if number:
            simulated.resume()
        if content is not None:
            simulated.approve(content)
        train(simulated)
        simulated.exit()
    return simulated


def assured(simulated, keys=KEYS):
    return assurance_of(simulated.entries, simulated.blob, keys)


APPROVED = signed_file(plain_seal_file(), CREATOR, MARIA).content
UNAPPROVED = signed_file(plain_seal_file(), CREATOR).content
FOREIGN = signed_file(plain_seal_file(), JOSE).content


def codes(assurance):
    return [(each.code, each.subject) for each in assurance.findings]


def test_an_approved_launch_alleges_nothing():
    simulated = launched(APPROVED)
    found = assured(simulated)
    assert (found.seal_approved, found.seal_compared, found.findings) == (True, True, ())
    report = judge(simulated.items(), run=simulated.run, assurance=replace(found, environment_verified=True)).report
    assert (report.verdict, report.items) == ("clean", ())


def test_a_launch_without_a_seal_file_is_as_it_was():
    simulated = launched(None)
    assert not has_approval(simulated.entries)
    assert assured(simulated) == NOTHING_ASSURED


def test_a_launch_that_nobody_approved_is_not_clean():
    simulated = launched(UNAPPROVED)
    found = assured(simulated)
    assert not found.seal_approved
    assert codes(found) == [("seal.not_approved", "attempt 0")]
    report = judge(simulated.items(), run=simulated.run, assurance=replace(found, environment_verified=True)).report
    assert (report.verdict, [each.severity for each in report.items]) == ("unknown", ["info"])


def test_a_signature_of_an_unknown_key_is_told():
    found = assured(launched(FOREIGN))
    assert not found.seal_approved
    assert codes(found) == [("seal.not_approved", "attempt 0"), ("seal.signature_unknown", JOSE.key.label)]


def test_without_any_key_nothing_is_approved():
    assert not assured(launched(APPROVED), Approvers(approvers=())).seal_approved


def test_one_attempt_without_approval_leaves_the_run_without():
    assert assured(launched(APPROVED, APPROVED)).seal_approved
    found = assured(launched(APPROVED, None))
    assert not found.seal_approved
    assert codes(found) == [("seal.not_approved", "attempt 1")]
    assert not assured(launched(None, APPROVED)).seal_approved


def test_a_seal_file_that_is_not_at_hand_approves_nothing():
    simulated = launched(APPROVED)
    del simulated.blobs[sha256(APPROVED)]
    found = assured(simulated)
    assert (found.seal_approved, found.seal_compared) == (False, False)
    simulated.blobs[sha256(APPROVED)] = UNAPPROVED  # other bytes under its name
    assert not assured(simulated).seal_approved


def test_what_could_not_be_compared_is_approved_and_never_clean():
    tree = EnvironmentTree(digest=str(sha256(b"tree")), files=1)
    unknown = {"git": None, "unobserved": {"git": "no"}}
    for file, seal, compared, code in (
        (plain_seal_file(environment_tree=tree), {}, True, "environment.not_checkable"),
        (plain_seal_file(**unknown), unknown, False, "seal.not_checkable"),
    ):
        simulated = launched(signed_file(file, MARIA).content, **seal)
        found = replace(assured(simulated), environment_verified=True)
        assert (found.seal_approved, found.seal_compared) == (True, compared)
        report = judge(simulated.items(), run=simulated.run, assurance=found).report
        assert report.verdict == "unknown"
        assert [each.code for each in report.items] == [code]
