from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference_merkle as reference
from saksi.proofs.tlog import merkle
from saksi.proofs.tlog.merkle import (
    EMPTY_ROOT,
    CompactRange,
    ProofRefused,
    consistency_proof,
    hash_reader,
    inclusion_proof,
    leaf_hash,
    leaf_hashes,
    root_of,
    verify_consistency,
    verify_inclusion,
)

MOST = 64
ENTRIES = [b"entry %d" % number for number in range(MOST)]
LEAVES = leaf_hashes(ENTRIES)
ROOTS = [reference.mth(ENTRIES[:size]) for size in range(MOST + 1)]
READ = hash_reader(LEAVES)


def flipped(hashed, bit=0):
    return bytes([hashed[0] ^ (1 << bit)]) + hashed[1:]


def broken(proof):
    """Every way to break one hash of a proof, to drop one, to add one."""
    for at in range(len(proof)):
        yield [*proof[:at], flipped(proof[at], at % 8), *proof[at + 1 :]]
        yield [*proof[:at], *proof[at + 1 :]]
        yield [*proof[:at], proof[at][:-1], *proof[at + 1 :]]
        yield [*proof[:at], proof[at], *proof[at:]]
    yield [*proof, LEAVES[0]]
    yield [LEAVES[0], *proof]


def test_constants_of_rfc_6962():
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle.node_hash(b"N123", b"N456").hex() == (
        "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    )


@pytest.mark.parametrize("size", range(MOST + 1))
def test_root_is_that_of_the_reference_however_it_is_made(size):
    growing = CompactRange()
    growing.extend(LEAVES[:size])
    resumed = CompactRange.read(size, READ)
    assert growing.size == resumed.size == size
    assert growing.hashes == resumed.hashes
    assert ROOTS[size] == root_of(LEAVES[:size]) == growing.root() == resumed.root()


def test_resumed_range_grows_like_the_original():
    for size in range(MOST):
        resumed = CompactRange(size, CompactRange.read(size, READ).hashes)
        resumed.append(LEAVES[size])
        assert resumed.root() == ROOTS[size + 1]


@pytest.mark.parametrize(("size", "count"), [(1, 0), (3, 1), (0, 1), (-1, 0), (2**63, 1)])
def test_range_with_another_number_of_hashes_than_its_size_is_refused(size, count):
    with pytest.raises(ValueError, match="right edge"):
        CompactRange(size, LEAVES[:count])


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_every_inclusion_proof_is_the_reference_and_verifies(size):
    for index in range(size):
        proof = inclusion_proof(index=index, size=size, read_hash=READ)
        assert proof == reference.path(index, ENTRIES[:size])
        verify_inclusion(index=index, size=size, leaf=LEAVES[index], proof=proof, root=ROOTS[size])


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_every_broken_inclusion_proof_is_refused(size):
    for index in range(size):
        proof = inclusion_proof(index=index, size=size, read_hash=READ)
        for wrong in broken(proof):
            with pytest.raises(ProofRefused):
                verify_inclusion(index=index, size=size, leaf=LEAVES[index], proof=wrong, root=ROOTS[size])


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_every_consistency_proof_is_the_reference_and_verifies(size):
    for old in range(1, size + 1):
        proof = consistency_proof(old_size=old, new_size=size, read_hash=READ)
        assert proof == reference.proof(old, ENTRIES[:size])
        verify_consistency(old_size=old, new_size=size, old_root=ROOTS[old], new_root=ROOTS[size], proof=proof)


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_every_broken_consistency_proof_is_refused(size):
    for old in range(1, size + 1):
        proof = consistency_proof(old_size=old, new_size=size, read_hash=READ)
        for wrong in broken(proof):
            with pytest.raises(ProofRefused):
                verify_consistency(old_size=old, new_size=size, old_root=ROOTS[old], new_root=ROOTS[size], proof=wrong)


def test_proof_for_another_index_is_refused():
    size = 33
    for index in range(size):
        proof = inclusion_proof(index=index, size=size, read_hash=READ)
        for other in {*range(size)} - {index}:
            with pytest.raises(ProofRefused):
                verify_inclusion(index=other, size=size, leaf=LEAVES[index], proof=proof, root=ROOTS[size])


def test_proof_with_another_leaf_or_root_is_refused():
    proof = inclusion_proof(index=5, size=11, read_hash=READ)
    for leaf, root in ((LEAVES[4], ROOTS[11]), (LEAVES[5], ROOTS[12]), (LEAVES[5], flipped(ROOTS[11]))):
        with pytest.raises(ProofRefused):
            verify_inclusion(index=5, size=11, leaf=leaf, proof=proof, root=root)


def test_consistency_with_another_old_or_new_root_is_refused():
    for old, new in ((4, 11), (6, 11), (7, 8), (11, 11)):
        proof = consistency_proof(old_size=old, new_size=new, read_hash=READ)
        for old_root, new_root in ((flipped(ROOTS[old]), ROOTS[new]), (ROOTS[old], flipped(ROOTS[new]))):
            with pytest.raises(ProofRefused):
                verify_consistency(old_size=old, new_size=new, old_root=old_root, new_root=new_root, proof=proof)


def test_consistency_from_the_empty_tree_is_refused():
    with pytest.raises(ProofRefused, match="from 0 to 4"):
        verify_consistency(old_size=0, new_size=4, old_root=EMPTY_ROOT, new_root=ROOTS[4], proof=[])


@pytest.mark.parametrize(("index", "size"), [(4, 4), (-1, 4), (0, 0), (0, 2**63)])
def test_index_outside_the_tree_has_no_proof(index, size):
    with pytest.raises(ProofRefused):
        verify_inclusion(index=index, size=size, leaf=LEAVES[0], proof=[], root=ROOTS[4])
    if size <= MOST:
        with pytest.raises(ValueError, match="not in a tree"):
            inclusion_proof(index=index, size=size, read_hash=READ)


@pytest.mark.parametrize(("old", "new"), [(0, 4), (5, 4), (-1, 4)])
def test_no_consistency_proof_is_made_from_nothing_or_backwards(old, new):
    with pytest.raises(ValueError, match="no consistency proof"):
        consistency_proof(old_size=old, new_size=new, read_hash=READ)


@given(size=st.integers(1, 2**63 - 1), index=st.integers(0, 2**63 - 1), hashes=st.integers(0, 66))
def test_arbitrary_proof_of_arbitrary_length_is_refused(size, index, hashes):
    with pytest.raises(ProofRefused):
        verify_inclusion(index=index, size=size, leaf=LEAVES[0], proof=[LEAVES[1]] * hashes, root=EMPTY_ROOT)


def cases(vectors, kind):
    found = sorted((vectors / "merkle" / kind).rglob("*.json"))
    assert len(found) == 98
    for each in found:
        yield each.relative_to(vectors), json.loads(each.read_text())


def judged_wrong(verify, **arguments):
    try:
        verify(**arguments)
    except ProofRefused:
        return True
    return False


def test_published_inclusion_cases_are_judged_as_published(vectors):
    decode = base64.b64decode
    for name, case in cases(vectors, "inclusion"):
        wrong = judged_wrong(
            verify_inclusion,
            index=case["leafIdx"],
            size=case["treeSize"],
            leaf=decode(case["leafHash"]),
            proof=[decode(each) for each in case["proof"] or []],
            root=decode(case["root"]),
        )
        assert wrong == case["wantErr"], name


def test_published_consistency_cases_are_judged_as_published(vectors):
    decode = base64.b64decode
    for name, case in cases(vectors, "consistency"):
        wrong = judged_wrong(
            verify_consistency,
            old_size=case["size1"],
            new_size=case["size2"],
            old_root=decode(case["root1"]),
            new_root=decode(case["root2"]),
            proof=[decode(each) for each in case["proof"] or []],
        )
        assert wrong == case["wantErr"], name
