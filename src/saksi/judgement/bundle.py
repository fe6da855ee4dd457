"""A run as one file that anybody can carry and verify. The format is `spec/bundle.md`.

    saksi-bundle/v1
    {"run":"…","members":[{"path":"blobs/sha256/ab/cd…","size":812,"sha256":"…"},…]}
    …the members' bytes, one after the other…
    <SHA-256 of everything before, in hexadecimal> saksi-bundle

Rules: the digest of the whole file is judged before anything else is read; a run has exactly one bundle, so members are
in order, none is missing and none is there that no record names. A bundle carries no keys: whose word counts is the
reader's to say.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from saksi.judgement.items import blob_of
from saksi.proofs.projection import PUBLISHED, stored_name
from saksi.proofs.tlog.log_checkpoint import parse_log_checkpoint
from saksi.proofs.tlog.note import parse_note
from saksi.proofs.tlog.tiles import TILE_WIDTH, Tile, bundles_for, decode_bundle, encode_bundle
from saksi.words.blobs import blob_name
from saksi.words.codec import decode_record
from saksi.words.digest import Digest
from saksi.words.errors import MalformedInput, UnsupportedVersion
from saksi.words.run import origin_of

__all__ = [
    "HEAD_MEMBER",
    "MAX_BUNDLE_BYTES",
    "MAX_ENTRIES",
    "MAX_MEMBERS",
    "TAIL_BYTES",
    "Unpacked",
    "entry_members",
    "looks_like_bundle",
    "pack",
    "unpack",
]

HEAD_MEMBER: Final = PUBLISHED
"""Members have the names of a store: a bundle is a published run in one file."""
MAX_BUNDLE_BYTES: Final = 4 * 1024**3
"""A reader holds a bundle in memory; a week of 64 ranks at level full is about a quarter of this."""
MAX_MEMBERS: Final = 1_000_000
"""Each of at most 150 bytes in the manifest, which so stays below 150 MB."""
MAX_ENTRIES: Final = 16_000_000
"""65,536 entry bundles of 256, less a few: what the other limits leave room for."""
TAIL_BYTES: Final = 64 + len(" saksi-bundle\n")
"""Length of the last line: what `looks_like_bundle` wants to see of a file's end."""

_MAGIC: Final = b"saksi-bundle/"
_FIRST: Final = b"saksi-bundle/v1\n"
_TAIL: Final = b" saksi-bundle\n"
_SUFFIX: Final = ".saksi"
_WHAT: Final = "bundle"
_VERSION: Final = re.compile(rb"saksi-bundle/v([1-9][0-9]{0,8})\n")
_REMEDY: Final = "ask for the file again, or make it again with `saksi bundle`"


class _Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: Annotated[str, Meta(min_length=1, max_length=128)]
    size: Annotated[int, Meta(ge=0, le=MAX_BUNDLE_BYTES)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    run: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
    members: Annotated[list[_Member], Meta(max_length=MAX_MEMBERS)]


_MANIFEST: Final = msgspec.json.Decoder(_Manifest, strict=True)


class Unpacked(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle holds. Nothing of it is verified but that it is one whole bundle."""

    run: str
    head: bytes
    entries: tuple[bytes, ...]
    blobs: Mapping[Digest, bytes]

    def blob(self, digest: Digest) -> bytes | None:
        """A `BlobReader` over the bundle's blobs."""
        return self.blobs.get(digest)


def entry_members(size: int) -> list[tuple[str, Tile]]:
    """The paths of the entry bundles of a log of `size` entries, in order of their entries."""
    return [(stored_name(tile), tile) for tile in bundles_for(size)]


def looks_like_bundle(*, head: bytes, tail: bytes, name: str) -> bool:
    """Whether a file is meant to be a bundle: by its first bytes, its last `TAIL_BYTES`, or its name.

    Any one of them is enough, so that no single damage turns a bundle into a file of another kind.
    """
    return head.startswith(_MAGIC) or tail.endswith(_TAIL) or name.endswith(_SUFFIX)


def pack(*, run: str, head: bytes, entries: Sequence[bytes], blobs: Mapping[Digest, bytes]) -> bytes:
    """The bundle of a log: its head, its entries, and of `blobs` those that the records name.

    Raises `MalformedInput` if the head is not of these entries' number, if an entry is no record, if a blob is missing
    or has another digest, or if a limit is reached.
    """
    _require_head(head, run, len(entries))
    contents = {HEAD_MEMBER: head}
    for path, tile in entry_members(len(entries)):
        first = tile.index * TILE_WIDTH
        contents[path] = encode_bundle(entries[first : first + tile.width])
    for digest in _named_blobs(entries):
        content = blobs.get(digest)
        if content is None:
            raise MalformedInput(_WHAT, f"the records name {digest}, and it is not there")
        if hashlib.sha256(content).digest() != digest.value:
            raise MalformedInput(_WHAT, f"a blob does not have the digest {digest} that names it")
        contents[blob_name(digest)] = content
    paths = sorted(contents)
    if len(paths) > MAX_MEMBERS or sum(map(len, contents.values())) > MAX_BUNDLE_BYTES // 2:
        raise MalformedInput(_WHAT, f"the run is larger than a bundle may be ({MAX_BUNDLE_BYTES // 2} bytes)")
    members = [_Member(path, len(contents[path]), hashlib.sha256(contents[path]).hexdigest()) for path in paths]
    manifest = msgspec.json.encode(_Manifest(run, members))
    body = b"".join((_FIRST, manifest, b"\n", *(contents[path] for path in paths)))
    return body + hashlib.sha256(body).hexdigest().encode() + _TAIL


def unpack(content: bytes) -> Unpacked:
    """The run in a bundle; `pack` of it gives `content` again.

    Raises `MalformedInput` for anything but that one form, `UnsupportedVersion` for a whole bundle of another version.
    """
    end = _require_whole(content)
    first = content.find(b"\n", 0, end) + 1
    _require_version(content[:first])
    second = content.find(b"\n", first, end) + 1
    if second == 0:
        raise MalformedInput(_WHAT, "no manifest", remedy=_REMEDY)
    manifest = _manifest(content[first : second - 1])
    contents = dict(_members(manifest, content, second, end))
    head = contents.get(HEAD_MEMBER)
    if head is None:
        raise MalformedInput(_WHAT, f"no member {HEAD_MEMBER}")
    size = _require_head(head, manifest.run, None)
    entries: list[bytes] = []
    for path, tile in entry_members(size):
        member = contents.get(path)
        if member is None:
            raise MalformedInput(_WHAT, f"no member {path}")
        entries += decode_bundle(member, width=tile.width)
    blobs = {digest: contents.get(blob_name(digest)) for digest in _named_blobs(entries)}
    found = {digest: each for digest, each in blobs.items() if each is not None}
    expected = {HEAD_MEMBER, *(path for path, _ in entry_members(size)), *(blob_name(each) for each in blobs)}
    _require_same_members(expected, contents.keys())
    for digest, each in found.items():
        if hashlib.sha256(each).digest() != digest.value:
            raise MalformedInput(_WHAT, f"a blob does not have the digest {digest} that names it")
    return Unpacked(run=manifest.run, head=head, entries=tuple(entries), blobs=found)


def _require_whole(content: bytes) -> int:
    """Where the last line begins, if the digest in it is of everything before."""
    if len(content) > MAX_BUNDLE_BYTES:
        raise MalformedInput(_WHAT, f"{len(content)} bytes, more than {MAX_BUNDLE_BYTES}")
    end = len(content) - TAIL_BYTES
    tail = content[max(end, 0) :]
    if end < 0 or not tail.endswith(_TAIL):
        raise MalformedInput(_WHAT, "it does not end as a bundle does: cut short, or appended to", remedy=_REMEDY)
    with memoryview(content) as view:
        digest = hashlib.sha256(view[:end]).hexdigest()
    if digest.encode() + _TAIL != tail:
        raise MalformedInput(_WHAT, "its bytes are not the ones its last line names: it was changed", remedy=_REMEDY)
    return end


def _require_version(first_line: bytes) -> None:
    if first_line == _FIRST:
        return
    version = _VERSION.fullmatch(first_line)
    if version is None:
        raise MalformedInput(_WHAT, "its first line is not a bundle's")
    raise UnsupportedVersion(
        f"the bundle is of format version {version[1].decode()}, and this build reads version 1",
        remedy="use the release of saksi that wrote it, or a newer one",
    )


def _manifest(line: bytes) -> _Manifest:
    try:
        manifest = _MANIFEST.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedInput(_WHAT, str(error), where="manifest") from None
    if msgspec.json.encode(manifest) != line:
        raise MalformedInput(_WHAT, "not in canonical form", where="manifest")
    paths = [each.path for each in manifest.members]
    if any(a >= b for a, b in pairwise(paths)):
        raise MalformedInput(_WHAT, "members are not in order of their paths", where="manifest")
    return manifest


def _members(manifest: _Manifest, content: bytes, start: int, end: int) -> Iterator[tuple[str, bytes]]:
    at = start
    for member in manifest.members:
        part = content[at : at + member.size]
        at += member.size
        if at > end:
            raise MalformedInput(_WHAT, f"{member.path} is cut short")
        if hashlib.sha256(part).hexdigest() != member.sha256:
            raise MalformedInput(_WHAT, f"{member.path} is not what the manifest says")
        yield member.path, part
    if at != end:
        raise MalformedInput(_WHAT, f"{end - at} bytes belong to no member")


def _named_blobs(entries: Sequence[bytes]) -> list[Digest]:
    """The blobs that the records name, each once. Raises `MalformedInput` for an entry that is no record."""
    named: dict[Digest, None] = {}
    for index, entry in enumerate(entries):
        digest = blob_of(decode_record(entry, where=f"index {index}"))
        if digest is not None:
            named[digest] = None
    return list(named)


def _require_head(head: bytes, run: str, size: int | None) -> int:
    """The size that the head covers, if it is of this run's log and, where `size` is given, of that size."""
    log_checkpoint = parse_log_checkpoint(parse_note(head).text)
    if log_checkpoint.origin != origin_of(run):
        raise MalformedInput(_WHAT, f"its head is of {log_checkpoint.origin[:80]}, not of {origin_of(run)}")
    if size is not None and log_checkpoint.size != size:
        raise MalformedInput(_WHAT, f"the head covers {log_checkpoint.size} entries, and there are {size}")
    if not 0 < log_checkpoint.size <= MAX_ENTRIES:
        raise MalformedInput(_WHAT, f"{log_checkpoint.size} entries are not between 1 and {MAX_ENTRIES}")
    return log_checkpoint.size


def _require_same_members(expected: set[str], present: Iterable[str]) -> None:
    found = set(present)
    missing, more = sorted(expected - found), sorted(found - expected)
    if missing:
        raise MalformedInput(_WHAT, f"no member {missing[0]}")
    if more:
        raise MalformedInput(_WHAT, f"member {more[0][:80]!r} is named by no record")
