import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damage import flipped, replaced
from judgement.environment.manifests import digest, distribution, file, manifests, plain_manifest
from saksi.judgement.environment.manifest import (
    ExpectedRoot,
    GeneratedScript,
    Manifest,
    NotCovered,
    expected_files,
    make_statement,
    manifest_digest,
    open_manifest,
    parse_manifest,
)
from saksi.judgement.environment.tree import Root, Tree, TreeFile, tree_digest
from saksi.proofs.attest import envelope
from saksi.proofs.tlog.note_key import NoteSigner
from saksi.proofs.tlog.signature_types import SignatureRefused
from saksi.words.errors import MalformedInput, MissingKey, SaksiError

replace = msgspec.structs.replace
STATEMENT = make_statement(plain_manifest())
SIGNER = NoteSigner("approver", bytes(range(32)))
OTHER = NoteSigner("other", bytes(range(1, 33)))


def signed(payload=STATEMENT, signers=(SIGNER,), kind=envelope.IN_TOTO):
    return envelope.format_envelope(envelope.sign(kind, payload, signers))


@given(manifests())
def test_a_manifest_comes_back_from_its_statement(manifest):
    assert parse_manifest(make_statement(manifest)) == manifest


def test_the_subject_is_the_tree_digest_of_the_listed_files():
    manifest = plain_manifest()
    (root,) = manifest.roots
    files = tuple(TreeFile(path=each.path, digest=each.digest, size=each.size) for each in root.files)
    tree = Tree(roots=(Root(label=root.label, files=files),))
    assert manifest_digest(manifest) == tree_digest(tree)
    (subject,) = json.loads(STATEMENT)["subject"]
    assert subject == {"name": "environment", "digest": {"sha256": tree_digest(tree).hex}}


def test_the_page_shows_every_member_in_order():
    page = (Path(__file__).parents[3] / "spec" / "environment-manifest.md").read_text()
    shown = json.loads(page.split("```json\n")[1].split("```")[0])
    assert members(shown) == members(json.loads(STATEMENT))


def members(value):
    if isinstance(value, list):
        return [members(value[0])] if value else []
    return [(name, members(inner)) for name, inner in value.items()] if isinstance(value, dict) else None


@given(st.binary(max_size=200))
def test_only_malformed_input_escapes_from_bytes(payload):
    with pytest.raises(MalformedInput):
        parse_manifest(payload)


@given(st.integers(0, len(STATEMENT) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_is_another_manifest_in_canonical_form(position, value):
    changed = STATEMENT[:position] + bytes([value]) + STATEMENT[position + 1 :]
    try:
        manifest = parse_manifest(changed)
    except MalformedInput:
        return
    assert make_statement(manifest) == changed
    assert (manifest == plain_manifest()) == (changed == STATEMENT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"source":"wheels"', b'"source":"hearsay"'),
        (b'"source":"wheels",', b""),
        (b'"source":"wheels",', b'"source":"wheels","more":1,'),
        (b'"source":"wheels",', b'"source":"wheels","source":"wheels",'),
        (b'"owner":0,"module":"demo.cli"', b'"module":"demo.cli","owner":0'),
        (b'"owner":0,"module"', b'"owner":1,"module"'),
        (b'"owner":0,"module"', b'"owner":-1,"module"'),
        (b'["demo/a.py"', b'["demo/../a.py"'),
        (b'["demo/a.py"', b'["../demo/.."'),
        (b'["demo/a.py"', b'[".."'),
        (b'["demo/a.py"', b'["demo/a.py/"'),
        (b'["demo/a.py"', b'["/demo/a.py"'),
        (b'["demo/a.py"', b'["demo//a.py"'),
        (b'["demo/a.py"', b'["demo/__init__.py"'),
        (b'["demo/a.py"', b'["a.py"'),
        (b'"label":"purelib"', b'"label":"elsewhere"'),
        (b'"label":"purelib"', b'"label":"platlib"'),
        (b'"path":"old"', b'"path":"./old"'),
        (b"environment-manifest:v1", b"environment-manifest:v2"),
        (b'"size":9', b'"size":9.0'),
        (b'"reason":"editable"', b'"reason":""'),
        (b"{", b"{ "),
    ],
)
def test_other_forms_are_refused(old, new):
    assert old in STATEMENT
    with pytest.raises(MalformedInput):
        parse_manifest(replaced(STATEMENT, old, new) if old != b"{" else STATEMENT.replace(old, new, 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"distributions": (distribution("b"), distribution("a"))},
        {"distributions": (distribution(), distribution())},
        {"distributions": (replace(distribution(), wheel=None),)},
        {"source": "reference"},
        {"generated": plain_manifest().generated * 2},
        {"rewritten": plain_manifest().rewritten * 2},
        {"not_covered": tuple(NotCovered(name=each, version=None, reason="x") for each in "ba")},
        {"roots": plain_manifest().roots * 2},
        {"roots": (ExpectedRoot(label="purelib", files=(file("a", owner=7),)),)},
        {"generated": (GeneratedScript(path="a/../b", owner=0, module="m", attribute="f"),)},
    ],
)  # fmt: skip
def test_manifests_that_cannot_be(changes):
    with pytest.raises(ValueError, match=r"order|wheel|owner|path"):
        plain_manifest(**changes)


@pytest.mark.parametrize("path", ["../../share/x", "../lib/libpython3.11.so", "...", "..a/.b/c..", "a\nb", ".hidden"])
def test_paths_as_trees_have_them(path):
    root = ExpectedRoot(label="purelib", files=(file(path),))
    assert parse_manifest(make_statement(plain_manifest(roots=(root,)))).roots == (root,)


def test_a_file_of_two_owners_may_have_either_content():
    root = ExpectedRoot(label="purelib", files=(file("a", "one", owner=0), file("a", "two", owner=1)))
    manifest = plain_manifest(distributions=(distribution("a"), distribution("b")), roots=(root,))
    assert [each.digest for each in expected_files(manifest)["purelib", "a"]] == [digest("one"), digest("two")]
    assert parse_manifest(make_statement(manifest)) == manifest


def test_more_files_than_can_be_signed_are_refused_before_signing():
    files = tuple(file(f"{'a' * 300}/{number:06}") for number in range(50_000))
    manifest = plain_manifest(roots=(ExpectedRoot(label="purelib", files=files),))
    with pytest.raises(SaksiError, match=r"50,000 files .* can be signed"):
        make_statement(manifest)


def test_a_signed_manifest_opens_under_the_key_that_signed_it():
    opened = open_manifest(signed(), [OTHER.key, SIGNER.key])
    assert opened.manifest == plain_manifest()
    assert opened.signed_by == (SIGNER.key.label,)
    assert open_manifest(signed(signers=(OTHER, SIGNER)), [SIGNER.key]).signed_by == (SIGNER.key.label,)


@pytest.mark.parametrize("keys", [[], [OTHER.key]])
def test_without_the_signers_key_it_is_a_missing_key(keys):
    with pytest.raises(MissingKey, match=r"approver\+.*--trust FILE") as refused:
        open_manifest(signed(), keys)
    assert refused.value.exit_code == 3


def test_a_signature_of_other_bytes_is_refused():
    content = signed(make_statement(plain_manifest(not_covered=())))
    moved = envelope.parse_envelope(content)
    forged = replace(envelope.parse_envelope(signed()), signatures=moved.signatures)
    with pytest.raises(SignatureRefused) as refused:
        open_manifest(envelope.format_envelope(forged), [SIGNER.key])
    assert refused.value.exit_code == 1


def test_something_else_that_was_signed_is_no_manifest():
    with pytest.raises(MalformedInput, match="payload type"):
        open_manifest(signed(kind="text/plain"), [SIGNER.key])
    seal = STATEMENT.replace(b"environment-manifest:v1", b"seal:v1")
    with pytest.raises(MalformedInput, match="predicate type"):
        open_manifest(signed(seal), [SIGNER.key])


def test_any_one_bit_change_of_the_file_is_refused():
    small = plain_manifest(generated=(), rewritten=(), not_covered=(), roots=())
    content = signed(make_statement(small))
    assert isinstance(open_manifest(content, [SIGNER.key]).manifest, Manifest)
    for bit in range(0, len(content) * 8, 7):  # every byte, and every place in a byte
        with pytest.raises(SaksiError) as refused:
            open_manifest(flipped(content, bit), [SIGNER.key])
        assert refused.value.exit_code in {1, 3}
