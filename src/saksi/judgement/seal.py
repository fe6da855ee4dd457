"""The seal: what should run, as a signed statement says it. The format is `spec/seal.md`.

Rules:

- A seal has one form: what parses but would be written otherwise is refused, and the statement's subjects follow
  from the predicate.
- Nothing is left out in silence: what could not be observed is null (or a shorter list, with its true length beside
  it), and `unobserved` says why.
- Texts and values have passed `redaction` before they come here; this module does not see the unredacted ones.
"""

# ruff: noqa: D102 - the members of `Sealed` are those of `Seal` and described there
from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal, Protocol

import msgspec
from msgspec import Meta

from saksi.judgement.expect.values import Expectation, in_order
from saksi.judgement.launch_key import LaunchKey
from saksi.judgement.plan.data import DataPlan
from saksi.judgement.plan.values import Plan
from saksi.judgement.redaction import HMAC_PATTERN
from saksi.proofs.attest import statement as in_toto
from saksi.proofs.attest.predicates import SEAL
from saksi.words.digest import DIGEST_PATTERN, Digest, sha256
from saksi.words.errors import MalformedInput
from saksi.words.run import Level

__all__ = [
    "MAX_CHANGES",
    "MAX_FILES",
    "MAX_UNTRACKED",
    "Change",
    "Command",
    "Distribution",
    "Git",
    "Hardware",
    "Interpreter",
    "Part",
    "Seal",
    "Sealed",
    "SealedFile",
    "digest_of_changes",
    "expectations_of",
    "make_statement",
    "parse_seal",
    "require_sorted",
    "started_from",
]

MAX_CHANGES: Final = 200
"""Changed files named one by one; the digest of the changes covers all of them."""
MAX_UNTRACKED: Final = 200
"""Untracked files named one by one: a folder of data that nobody ignored must not fill the log."""
MAX_FILES: Final = 200
"""Files of the command line: a shell's `*` may give thousands."""

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Text = Annotated[str, Meta(max_length=4096)]
DigestText = Annotated[str, Meta(pattern=DIGEST_PATTERN)]
ContentText = Annotated[str, Meta(pattern=r"^(sha256|hmac-sha256):[0-9a-f]{64}$")]
"""Of a file whose name looks like a secret's, not the digest is recorded but its HMAC under the redaction key."""
HmacText = Annotated[str, Meta(pattern=HMAC_PATTERN)]
ObjectId = Annotated[str, Meta(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
"""What git names an object by: SHA-1, or SHA-256 in repositories made so."""

_WHAT: Final = "seal"


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """An absent field is refused, so that a seal has one form; one that came later is there or not, and never null."""


class Command(Part, frozen=True):
    """The command line, redacted. `hmac` covers every argument as it was; `total` counts those not shown too."""

    argv: tuple[Text, ...]
    total: Count
    hmac: HmacText


class SealedFile(Part, frozen=True):
    """A file and its content's digest, or the reason that there is none."""

    path: Text
    digest: ContentText | None
    size: Count | None
    reason: Text | None


class Change(Part, frozen=True):
    """A tracked file that is not as in the commit; `digest` is of its content now, where there is one."""

    path: Text
    status: Literal["added", "deleted", "modified", "type", "unmerged"]
    executable: bool
    digest: DigestText | None
    reason: Text | None


class Git(Part, frozen=True):
    """The repository around the script, or else around the working directory.

    `commit` is null before the first commit. `dirty` speaks of tracked files; `dirtyDigest` is null when clean.
    `untracked` begins with code, that among it which git does not list by itself. The lists are cut at `MAX_CHANGES`
    and `MAX_UNTRACKED`; the totals are not. Where git did not answer, `dirty` and a total are null and `unobserved`
    says why.
    """

    commit: ObjectId | None
    tree: ObjectId | None
    branch: Text | None
    dirty: bool | None
    dirty_digest: DigestText | None
    changed: tuple[Change, ...]
    changed_total: Count | None
    untracked: tuple[SealedFile, ...]
    untracked_total: Count | None


class Interpreter(Part, frozen=True):
    """The Python that will run the command. `digest` is of the executable, `flags` are those before the script."""

    path: Text
    real_path: Text
    digest: DigestText
    version: Text
    implementation: Text
    cache_tag: Text | None
    prefix: Text
    base_prefix: Text
    flags: tuple[Text, ...]


class Distribution(Part, frozen=True, order=True):
    """An installed distribution, named as PEP 503 normalises names. What its files say is not judged here."""

    name: Text
    version: Text


class Hardware(Part, frozen=True):
    """The machine. `cores` is how many the job may use, `memoryBytes` what is built in, `processors` how many it has.

    `cpuFeatures` is what libraries choose their kernels by: family, model and cache of the CPU, and its instructions
    for arithmetic. Earlier versions knew neither that nor `processors`; what is not known is left out.
    """

    host: Text
    machine: Text
    cpu: Text | None
    cores: Count
    memory_bytes: Count | None
    gpus: tuple[Text, ...]
    processors: Count | msgspec.UnsetType = msgspec.UNSET
    cpu_features: tuple[Text, ...] | msgspec.UnsetType = msgspec.UNSET


class Seal(Part, frozen=True):
    """What should run in one attempt. `environment` is the user's own; what the launcher adds to it stands apart.

    `launch_key` is there only for a launch that had a key, `expect` and `data` only where something is declared:
    earlier versions knew none of them.
    """

    run: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
    attempt: Count
    name: Text | None
    project: Text | None
    created_ns: Count
    level: Level
    segment: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None
    plan: Plan | None
    approved: bool
    redaction_key: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
    command: Command
    working_directory: Text
    seeds: dict[str, str]
    script: SealedFile | None
    git: Git | None
    files: tuple[SealedFile, ...]
    distributions: tuple[Distribution, ...]
    environment: dict[str, str]
    environment_changed_by_saksi: dict[str, str]
    interpreter: Interpreter | None
    hardware: Hardware
    kernel: Text
    unobserved: dict[str, str]
    launch_key: LaunchKey | msgspec.UnsetType = msgspec.UNSET
    expect: tuple[Expectation, ...] | msgspec.UnsetType = msgspec.UNSET
    data: DataPlan | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        require_sorted(self, self.environment_changed_by_saksi)


class Sealed(Protocol):
    """What a seal and a seal file have in common, and what is compared of them."""

    @property
    def project(self) -> str | None: ...
    @property
    def level(self) -> Level: ...
    @property
    def segment(self) -> int | None: ...
    @property
    def plan(self) -> Plan | None: ...
    @property
    def data(self) -> DataPlan | msgspec.UnsetType: ...
    @property
    def redaction_key(self) -> str: ...
    @property
    def command(self) -> Command: ...
    @property
    def working_directory(self) -> str: ...
    @property
    def seeds(self) -> dict[str, str]: ...
    @property
    def script(self) -> SealedFile | None: ...
    @property
    def git(self) -> Git | None: ...
    @property
    def files(self) -> tuple[SealedFile, ...]: ...
    @property
    def distributions(self) -> tuple[Distribution, ...]: ...
    @property
    def environment(self) -> dict[str, str]: ...
    @property
    def interpreter(self) -> Interpreter | None: ...
    @property
    def hardware(self) -> Hardware: ...
    @property
    def kernel(self) -> str: ...
    @property
    def unobserved(self) -> dict[str, str]: ...
    @property
    def expect(self) -> tuple[Expectation, ...] | msgspec.UnsetType: ...


def require_sorted(sealed: Sealed, *more: dict[str, str]) -> None:
    """Returns if tables, distributions and expectations are in their one order. Raises `ValueError`."""
    for table in (sealed.seeds, sealed.environment, sealed.unobserved, *more):
        if list(table) != sorted(table):
            raise ValueError("a table whose names are not sorted")
    if list(sealed.distributions) != sorted(set(sealed.distributions)):
        raise ValueError("distributions that are not sorted, or repeated")
    if not isinstance(sealed.expect, msgspec.UnsetType) and not in_order(sealed.expect):
        raise ValueError("expectations that are none, too many, not sorted, or repeated")


def expectations_of(sealed: Sealed) -> tuple[Expectation, ...]:
    """What is declared to be expected; empty where nothing is."""
    return () if isinstance(sealed.expect, msgspec.UnsetType) else sealed.expect


def digest_of_changes(changes: Iterable[Change]) -> Digest:
    """One digest over every change, in order of path: what `dirtyDigest` holds."""
    ordered = sorted(changes, key=lambda each: each.path)
    return sha256(b"".join(msgspec.json.encode(each) + b"\n" for each in ordered))


def make_statement(seal: Seal) -> bytes:
    """The in-toto statement to sign: subjects are the run and what it starts from. Raises `MalformedInput`."""
    try:
        run = in_toto.ResourceDescriptor(name="run", digest={"saksiRun": seal.run})
        return in_toto.format_statement(in_toto.make_statement([run, *started_from(seal)], SEAL, seal))
    except UnicodeEncodeError:
        raise MalformedInput(_WHAT, "a text that is not Unicode") from None


def started_from(seal: Sealed) -> list[in_toto.ResourceDescriptor]:
    """What a launch starts from, as subjects: the script, the commit, the interpreter, as far as they are known."""
    subjects: list[in_toto.ResourceDescriptor] = []
    script = seal.script
    if script is not None and script.digest is not None and script.digest.startswith("sha256:"):
        subjects.append(_subject(script.path, script.digest))
    if seal.git is not None and seal.git.commit is not None:
        subjects.append(in_toto.ResourceDescriptor(name="git", digest={"gitCommit": seal.git.commit}))
    if seal.interpreter is not None:
        subjects.append(_subject(seal.interpreter.path, seal.interpreter.digest))
    return subjects


def _subject(name: str, digest: str) -> in_toto.ResourceDescriptor:
    return in_toto.ResourceDescriptor(name=name, digest={"sha256": digest.removeprefix("sha256:")})


def parse_seal(payload: bytes) -> Seal:
    """The seal in a verified payload; the inverse of `make_statement`. Raises `MalformedInput` for any other bytes."""
    statement = in_toto.parse_statement(payload)
    if statement.predicate_type != SEAL:
        raise MalformedInput(_WHAT, f"its predicate type is {statement.predicate_type[:80]!r}, not {SEAL}")
    try:
        seal = msgspec.json.decode(statement.predicate, type=Seal)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedInput(_WHAT, str(error)) from None
    if make_statement(seal) != payload:
        raise MalformedInput(_WHAT, "not in canonical form")
    return seal
