"""in-toto Statement v1: a predicate about subjects that are named by digest.

The predicate stays raw bytes until its own type reads it. A statement is what an envelope carries, so its
bytes are verified before any of this runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from saksi.proofs.attest.envelope import MAX_PAYLOAD_BYTES
from saksi.proofs.canonical import refuse_repeated_members
from saksi.words.errors import MalformedInput

__all__ = [
    "STATEMENT_TYPE",
    "ResourceDescriptor",
    "Statement",
    "format_statement",
    "make_statement",
    "parse_statement",
]

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
_WHAT: Final = "statement"
_SHA256_HEX: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class ResourceDescriptor(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True
):
    """What a subject or a dependency is (in-toto attestation, "ResourceDescriptor").

    `digest` maps algorithm names to lower-case hexadecimal digits; `content` is base64.
    """

    name: str | None = None
    uri: str | None = None
    digest: Mapping[str, str] = msgspec.field(default_factory=dict)
    content: str | None = None
    download_location: str | None = None
    media_type: str | None = None
    annotations: Mapping[str, Any] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.uri or self.digest or self.content):
            raise MalformedInput("resource descriptor", "none of uri, digest and content")
        if any(not name or not value for name, value in self.digest.items()):
            raise MalformedInput("resource descriptor", "an empty digest or algorithm name")
        sha256 = self.digest.get("sha256")
        if sha256 is not None and _SHA256_HEX.fullmatch(sha256) is None:
            raise MalformedInput("resource descriptor", "its sha256 is not 64 lower-case hexadecimal digits")


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """`predicate` (a JSON object, unread) of type `predicate_type` holds for every one of `subject`."""

    subject: tuple[ResourceDescriptor, ...]
    predicate_type: str
    predicate: msgspec.Raw

    def __post_init__(self) -> None:
        if not self.subject or any(not each.digest for each in self.subject):
            raise MalformedInput(_WHAT, "no subject, or one without a digest")
        if not self.predicate_type:
            raise MalformedInput(_WHAT, "an empty predicate type")
        if not bytes(self.predicate).lstrip(b" \t\r\n").startswith(b"{"):
            raise MalformedInput(_WHAT, "its predicate is not an object")


class _StatementOnWire(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    kind: str = msgspec.field(name="_type")
    subject: tuple[ResourceDescriptor, ...]
    predicate_type: str
    predicate: msgspec.Raw


def make_statement(
    subject: Iterable[ResourceDescriptor], predicate_type: str, predicate: msgspec.Struct | Mapping[str, Any]
) -> Statement:
    """The statement that `predicate` holds for `subject`. Raises `MalformedInput`."""
    raw = msgspec.Raw(msgspec.json.encode(predicate))
    return Statement(subject=tuple(subject), predicate_type=predicate_type, predicate=raw)


def format_statement(statement: Statement) -> bytes:
    """The JSON bytes to sign: no spaces, members in the order of the in-toto document, predicate as it is."""
    return msgspec.json.encode(
        _StatementOnWire(
            kind=STATEMENT_TYPE,
            subject=statement.subject,
            predicate_type=statement.predicate_type,
            predicate=statement.predicate,
        )
    )


def parse_statement(payload: bytes) -> Statement:
    """The statement in verified payload bytes; the inverse of `format_statement`.

    Raises `MalformedInput` for another statement type, unknown members outside the predicate, and
    members that are repeated anywhere.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise MalformedInput(_WHAT, f"{len(payload)} bytes are above the limit of {MAX_PAYLOAD_BYTES}")
    refuse_repeated_members(payload, what=_WHAT)
    try:
        wire = msgspec.json.decode(payload, type=_StatementOnWire)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedInput(_WHAT, str(error)) from error
    if wire.kind != STATEMENT_TYPE:
        raise MalformedInput(_WHAT, f"its type is {wire.kind[:80]!r}, not {STATEMENT_TYPE}")
    return Statement(subject=wire.subject, predicate_type=wire.predicate_type, predicate=wire.predicate.copy())
