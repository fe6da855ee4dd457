"""An external manifest: what the files of an environment should be, as a signed statement says it.

The format is `spec/environment-manifest.md`. Rules:

- A manifest has one form: what parses but would be written otherwise is refused, and the subject follows from the
  predicate.
- What is not covered is said in it, with the reason; nothing is left out in silence.
- Only the keys that the reader trusts count, never those in the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from saksi.judgement.environment.tree import LABEL_PATTERN, digest_of_lines
from saksi.proofs.attest import envelope as dsse
from saksi.proofs.attest import statement as in_toto
from saksi.proofs.attest.predicates import ENVIRONMENT_MANIFEST
from saksi.proofs.tlog.note_key import VerifierKey
from saksi.words.digest import DIGEST_PATTERN, Digest
from saksi.words.errors import MalformedInput, MissingKey, SaksiError

__all__ = [
    "MAX_MANIFEST_FILES",
    "Distribution",
    "ExpectedFile",
    "ExpectedRoot",
    "GeneratedScript",
    "Manifest",
    "NotCovered",
    "OpenedManifest",
    "Owned",
    "PythonParts",
    "RewrittenScript",
    "Wheel",
    "expected_files",
    "make_statement",
    "manifest_digest",
    "open_manifest",
    "parse_manifest",
]

MAX_MANIFEST_FILES: Final = 150_000
"""torch and scikit-learn are 27,000 files, 19,289 of them from wheels: 2.5 MB. More do not fit a statement."""
_MAX_PARTS: Final = 20_000
"""Distributions, scripts, reasons: the largest environments known have some 1,500 distributions."""

_WHAT: Final = "environment manifest"
_LABEL: Final = LABEL_PATTERN.replace("|scripts|", "|scripts|data|headers|")
"""A tree's labels, and where wheels put what Python does not import."""

_PATH: Final = re.compile(r"(?:\.\./)*(?:(?!\.\.?/)[^/\0]+/)*(?!\.\.?\Z)[^/\0]+")
"""As a tree has them: from `..` at the start, where something belongs to a root and lies beside it, never further in.

One expression, since a manifest has twenty thousand paths.
"""

Text = Annotated[str, Meta(max_length=4096)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=256)]
"""As PEP 503 normalises it."""
Path = Annotated[str, Meta(min_length=1, max_length=4096)]
DigestText = Annotated[str, Meta(pattern=DIGEST_PATTERN)]
Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Owner = Annotated[int, Meta(ge=0, lt=_MAX_PARTS)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A part of a manifest: every member is always there."""


class PythonParts(_Part, frozen=True):
    """The interpreter that the files are for. Null where nothing says: pure wheels fit every Python 3."""

    implementation: Text | None
    version: Text | None
    cache_tag: Text | None
    platform: Text | None


class Wheel(_Part, frozen=True):
    """The archive that a distribution was read from."""

    file: Text
    digest: DigestText
    size: Size


class Distribution(_Part, frozen=True):
    """One that is covered. `metadata_folder` is where installers write their own files."""

    name: Name
    version: Text
    metadata_folder: Path
    wheel: Wheel | None


class ExpectedFile(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A file and the one content it may have, by this owner: an index into the distributions, or null."""

    path: Path
    digest: DigestText
    size: Size
    owner: Owner | None


class ExpectedRoot(_Part, frozen=True):
    """One root's files, sorted by path and owner."""

    label: Annotated[str, Meta(pattern=_LABEL)]
    files: tuple[ExpectedFile, ...]

    def __post_init__(self) -> None:
        _require_order(f"the files of {self.label}", [_place(each) for each in self.files])
        for each in self.files:
            _require_path(each.path)


class GeneratedScript(_Part, frozen=True):
    """A console script that installers write from an entry point; `path` is below `scripts`."""

    path: Path
    owner: Owner | None
    module: Text
    attribute: Text


class RewrittenScript(_Part, frozen=True):
    """A script whose first line installers replace; digest and size are of what is behind it."""

    path: Path
    owner: Owner | None
    digest: DigestText
    size: Size


Owned: TypeAlias = ExpectedFile | GeneratedScript | RewrittenScript


class NotCovered(_Part, frozen=True, order=True):
    """A distribution about whose files the manifest says nothing, and why."""

    name: Name
    version: Text | None
    reason: Annotated[str, Meta(min_length=1, max_length=1024)]


class Manifest(_Part, frozen=True):
    """What an environment should hold. `source` says by whose word: pristine wheels, or a reference environment."""

    source: Literal["wheels", "reference"]
    python: PythonParts
    distributions: tuple[Distribution, ...]
    roots: tuple[ExpectedRoot, ...]
    generated: tuple[GeneratedScript, ...]
    rewritten: tuple[RewrittenScript, ...]
    not_covered: tuple[NotCovered, ...]

    def __post_init__(self) -> None:
        if sum(len(each.files) for each in self.roots) > MAX_MANIFEST_FILES:
            raise ValueError(f"more than {MAX_MANIFEST_FILES} files")
        for parts in (self.distributions, self.generated, self.rewritten, self.not_covered):
            if len(parts) > _MAX_PARTS:
                raise ValueError(f"more than {_MAX_PARTS} entries in one list")
        _require_order("the distributions", [each.name for each in self.distributions])
        _require_order("the roots", [each.label for each in self.roots])
        _require_order(
            "the generated scripts", [(*_place(each), each.module, each.attribute) for each in self.generated]
        )
        _require_order("the rewritten scripts", [_place(each) for each in self.rewritten])
        _require_order("what is not covered", [(each.name, each.version or "") for each in self.not_covered])
        scripts: list[Owned] = [*self.generated, *self.rewritten]
        for script in scripts:
            _require_path(script.path)
        owned: list[Owned] = [*scripts, *(file for root in self.roots for file in root.files)]
        if any(each.owner is not None and each.owner >= len(self.distributions) for each in owned):
            raise ValueError("an owner that is no distribution")
        if any((each.wheel is None) != (self.source == "reference") for each in self.distributions):
            raise ValueError("a reference with a wheel, or a distribution without one")


def _place(each: Owned) -> tuple[str, int]:
    return each.path, -1 if each.owner is None else each.owner


def _require_order(what: str, keys: list[Any]) -> None:
    if any(earlier >= later for earlier, later in pairwise(keys)):
        raise ValueError(f"{what} are not in order, or one is there twice")


def _require_path(path: str) -> None:
    if _PATH.fullmatch(path) is None:
        raise ValueError(f"{path[:80]!r} is not a path below a root")


def manifest_digest(manifest: Manifest) -> Digest:
    """The tree digest of the listed files: the subject of the statement."""
    return digest_of_lines(
        (root.label, each.path, each.digest, each.size) for root in manifest.roots for each in root.files
    )


def expected_files(manifest: Manifest) -> Mapping[tuple[str, str], tuple[ExpectedFile, ...]]:
    """The contents that the file at (label, path) may have, one for each owner.

    Scripts with a first line of their own are not in it.
    """
    found: dict[tuple[str, str], tuple[ExpectedFile, ...]] = {}
    for root in manifest.roots:
        for each in root.files:
            key = (root.label, each.path)
            found[key] = (*found[key], each) if key in found else (each,)
    return found


def make_statement(manifest: Manifest) -> bytes:
    """The in-toto statement to sign. Raises `SaksiError` for one that is too large to be signed, `MalformedInput`."""
    subject = in_toto.ResourceDescriptor(name="environment", digest={"sha256": manifest_digest(manifest).hex})
    try:
        payload = in_toto.format_statement(in_toto.make_statement([subject], ENVIRONMENT_MANIFEST, manifest))
    except UnicodeEncodeError:
        raise MalformedInput(_WHAT, "a text that is not Unicode") from None
    if len(payload) > dsse.MAX_PAYLOAD_BYTES:
        files = sum(len(each.files) for each in manifest.roots)
        raise SaksiError(
            f"a manifest of {files:,} files has {len(payload):,} bytes; {dsse.MAX_PAYLOAD_BYTES:,} can be signed",
            remedy="make one for fewer distributions",
        )
    return payload


def parse_manifest(payload: bytes) -> Manifest:
    """The manifest in a verified payload; the inverse of `make_statement`. Raises `MalformedInput` for other bytes."""
    statement = in_toto.parse_statement(payload)
    if statement.predicate_type != ENVIRONMENT_MANIFEST:
        kind = statement.predicate_type[:80]
        raise MalformedInput(_WHAT, f"its predicate type is {kind!r}, not {ENVIRONMENT_MANIFEST}")
    try:
        manifest = msgspec.json.decode(statement.predicate, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedInput(_WHAT, str(error)[:300]) from None
    if make_statement(manifest) != payload:
        raise MalformedInput(_WHAT, "not in canonical form")
    return manifest


class OpenedManifest(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest that a trusted key signed, and the labels of those keys."""

    manifest: Manifest
    signed_by: tuple[str, ...]


def open_manifest(content: bytes, keys: Iterable[VerifierKey]) -> OpenedManifest:
    """The manifest in the bytes of a file, once at least one of `keys` signed it.

    Raises `MissingKey` (3) where none of `keys` is said to have signed it, `SignatureRefused` (1) for a signature that
    does not verify, `MalformedInput` (1).
    """
    trusted = tuple(keys)
    envelope = dsse.parse_envelope(content)
    if envelope.payload_type != dsse.IN_TOTO:
        raise MalformedInput(_WHAT, f"its payload type is {envelope.payload_type[:80]!r}, not {dsse.IN_TOTO}")
    _require_known(envelope, {each.label for each in trusted})
    signers = dsse.verify_signers(envelope, trusted)
    return OpenedManifest(
        manifest=parse_manifest(envelope.payload), signed_by=tuple(dict.fromkeys(each.label for each in signers))
    )


def _require_known(envelope: dsse.Envelope, labels: Collection[str]) -> None:
    claimed = [each.keyid for each in envelope.signatures]
    if not any(each in labels for each in claimed):
        raise MissingKey(
            f"the environment manifest says that {claimed[0][:80]!r} signed it, which is no trusted key",
            remedy="give the signer's public key with --trust FILE",
        )
