"""The seal file: what should run, as a file that people sign before it runs. The format is `spec/seal-file.md`.

Rules:

- It holds everything of a seal that should be the same at launch, and nothing that is another for each launch.
- One form: what parses but would be written otherwise is refused, envelope and statement alike, so that a file has one
  digest.
- Nothing is verified by parsing: whose signatures count is judged in `approvals`.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from saksi.judgement.expect.values import Expectation
from saksi.judgement.plan.data import DataPlan
from saksi.judgement.plan.values import Plan
from saksi.judgement.rehearsal.values import Rehearsal
from saksi.judgement.seal import (
    Command,
    Count,
    DigestText,
    Distribution,
    Git,
    Hardware,
    Interpreter,
    Part,
    Seal,
    SealedFile,
    Text,
    require_sorted,
    started_from,
)
from saksi.proofs.attest import statement as in_toto
from saksi.proofs.attest.envelope import IN_TOTO, Envelope, format_envelope, parse_envelope
from saksi.proofs.attest.predicates import SEAL, SEAL_FILE
from saksi.words.digest import Digest, sha256
from saksi.words.errors import MalformedInput
from saksi.words.run import Level

__all__ = [
    "MAX_SEAL_FILE_BYTES",
    "EnvironmentTree",
    "SealFile",
    "SignedSealFile",
    "format_seal_file",
    "make_file_statement",
    "parse_seal_file",
    "seal_file_of",
]

MAX_SEAL_FILE_BYTES: Final = 4 << 20
"""As of a seal that is sent to the agent of a node: one with every list at its limit has less than a megabyte."""

_WHAT: Final = "seal file"
_HMAC_PREFIX: Final = "hmac-sha256:"


class EnvironmentTree(Part, frozen=True):
    """The files of the interpreter's environment: their tree digest, and the manifest that they were compared with."""

    digest: DigestText
    files: Count
    manifest: DigestText | msgspec.UnsetType = msgspec.UNSET


class SealFile(Part, frozen=True):
    """What should run. The members are those of `Seal`; the last four are there only where they say something."""

    created_ns: Count
    name: Text | None
    project: Text | None
    level: Level
    segment: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None
    plan: Plan | None
    redaction_key: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
    command: Command
    working_directory: Text
    seeds: dict[str, str]
    script: SealedFile | None
    git: Git | None
    files: tuple[SealedFile, ...]
    distributions: tuple[Distribution, ...]
    environment: dict[str, str]
    interpreter: Interpreter | None
    hardware: Hardware
    kernel: Text
    unobserved: dict[str, str]
    environment_tree: EnvironmentTree | msgspec.UnsetType = msgspec.UNSET
    rehearsal: Rehearsal | msgspec.UnsetType = msgspec.UNSET
    expect: tuple[Expectation, ...] | msgspec.UnsetType = msgspec.UNSET
    data: DataPlan | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        require_sorted(self)


class SignedSealFile(msgspec.Struct, frozen=True, kw_only=True):
    """A whole seal file: its exact bytes, the envelope in them, and what it says. No signature is verified yet."""

    content: bytes
    envelope: Envelope
    file: SealFile

    @property
    def digest(self) -> Digest:
        """What the record names the file by."""
        return sha256(self.content)


def seal_file_of(seal: Seal) -> SealFile:
    """What a launch with this seal would be held to."""
    shared = [each for each in SealFile.__struct_fields__ if each in Seal.__struct_fields__]
    return SealFile(**{each: getattr(seal, each) for each in shared})


def make_file_statement(file: SealFile) -> bytes:
    """The in-toto statement to sign. Raises `MalformedInput`."""
    command = in_toto.ResourceDescriptor(
        name="command", digest={"saksiCommand": file.command.hmac.removeprefix(_HMAC_PREFIX)}
    )
    try:
        return in_toto.format_statement(in_toto.make_statement([command, *started_from(file)], SEAL_FILE, file))
    except UnicodeEncodeError:
        raise MalformedInput(_WHAT, "a text that is not Unicode") from None


def format_seal_file(envelope: Envelope) -> SignedSealFile:
    """The file with this envelope. Raises `MalformedInput` if it is no seal file's."""
    return parse_seal_file(format_envelope(envelope) + b"\n")


def parse_seal_file(content: bytes) -> SignedSealFile:
    """The seal file in these bytes. Raises `MalformedInput` for any but its one form."""
    if len(content) > MAX_SEAL_FILE_BYTES:
        raise MalformedInput(_WHAT, f"{len(content)} bytes are above the limit of {MAX_SEAL_FILE_BYTES}")
    envelope = parse_envelope(content)
    if envelope.payload_type != IN_TOTO:
        raise MalformedInput(_WHAT, f"its payload is {envelope.payload_type[:80]!r}, not {IN_TOTO}")
    file = _file(envelope.payload)
    if format_envelope(envelope) + b"\n" != content:
        raise MalformedInput(_WHAT, "not in canonical form")
    return SignedSealFile(content=content, envelope=envelope, file=file)


def _file(payload: bytes) -> SealFile:
    statement = in_toto.parse_statement(payload)
    if statement.predicate_type == SEAL:
        raise MalformedInput(_WHAT, "this is the seal of one launch", remedy="`saksi seal create` writes a seal file")
    if statement.predicate_type != SEAL_FILE:
        raise MalformedInput(_WHAT, f"its predicate type is {statement.predicate_type[:80]!r}, not {SEAL_FILE}")
    try:
        file = msgspec.json.decode(statement.predicate, type=SealFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedInput(_WHAT, str(error)) from None
    if make_file_statement(file) != payload:
        raise MalformedInput(_WHAT, "not in canonical form")
    return file
