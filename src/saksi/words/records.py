"""What the agent writes down. A `Record` is a typed observation; its exact bytes are an `Entry` of the log.

Fields outside `claimed` are *observed*: by the agent, the kernel or the launcher. The format is `spec/records.md`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from saksi.words.digest import DIGEST_PATTERN
from saksi.words.file_changes import MAX_FILE_CHANGES, FileChange, FileChangeKind
from saksi.words.findings import Finding

__all__ = [
    "AGENT_FAILED",
    "AgentFacts",
    "AnchorRecord",
    "AnyRecord",
    "ApprovalRecord",
    "AttachRecord",
    "AttemptKeyRecord",
    "BlockLine",
    "BlockRecord",
    "CapsuleRecord",
    "ChallengeRecord",
    "CompiledFunction",
    "DetachRecord",
    "EnvironmentRecord",
    "ExitRecord",
    "FileRecord",
    "FindingRecord",
    "GapRecord",
    "GpuProcess",
    "GpusRecord",
    "ImportsRecord",
    "MappedObject",
    "MappedRecord",
    "ObjectOrigin",
    "Peer",
    "ProcessRecord",
    "Record",
    "RefusedRecord",
    "SealRecord",
    "ShadowedImport",
    "SignalRecord",
    "SourceOrigin",
    "SourceRecord",
    "StateRecord",
]

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
DigestText = Annotated[str, Meta(pattern=DIGEST_PATTERN)]
Text = Annotated[str, Meta(max_length=4096)]
Word = Annotated[str, Meta(max_length=256)]
Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]
Hex64 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every record carries, so that an entry keeps its meaning when it is taken out of the log."""

    run: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
    attempt: Count
    wall_ns: Count
    mono_ns: Count
    boot: Text


class SealRecord(Record, frozen=True, tag="seal"):
    """What should run. The DSSE envelope is the blob `envelope`."""

    envelope: DigestText


class ApprovalRecord(Record, frozen=True, tag="approval"):
    """The launch was asked for under a seal file. The file, byte for byte, is the blob `envelope`."""

    envelope: DigestText


class Peer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is at the other end of a socket, as the kernel says (SO_PEERCRED)."""

    pid: Count
    uid: Count
    gid: Count


class AgentFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who writes an attempt: the agent's form and account beside the job's, and what it cannot see of the job.

    `launcher` is the kernel's word on who asked for the attempt. `not_checkable` has a reason for each thing that the
    agent's account may not look at in the job's processes.
    """

    form: Literal["embedded", "service"]
    level: Annotated[int, Meta(ge=1, le=2)]
    uid: Count
    account: Count
    launcher: Peer
    launcher_started_ticks: Count | None
    launcher_executable: Text | None
    not_checkable: dict[Annotated[str, Meta(max_length=64)], Text]


class AttemptKeyRecord(Record, frozen=True, omit_defaults=True, tag="attempt_key"):
    """The key that signs from here on: a DSSE envelope, as exact text, by the installation's key.

    Without `agent` it is an embedded one, of the job's own account.
    """

    envelope: Annotated[str, Meta(max_length=16_384)]
    agent: AgentFacts | None = None


class ProcessRecord(Record, frozen=True, omit_defaults=True, tag="process"):
    """A process of the job appeared or went. `torch` is whether it has torch's libraries mapped.

    Of one that ended: `code` or `signal` where that is known, and who said so (`source`); what the kernel counted as
    `killed_for_memory` in its cgroup; the `rank` and `last_step` that its recorder had said. `limits` are soft limits.
    """

    event: Literal["started", "seen", "ended"]
    pid: Count
    ppid: Count
    started_ticks: Count
    executable: Text | None
    command: Annotated[list[Text], Meta(max_length=64)]
    uid: Count | None
    torch: bool | None
    attached: bool
    forked: bool
    code: Count | None = None
    signal: Count | None = None
    source: Literal["launcher", "proc", "pidfd"] | None = None
    killed_for_memory: Count | None = None
    rank: Count | None = None
    last_step: Count | None = None
    limits: Annotated[dict[Annotated[str, Meta(max_length=64)], Count], Meta(max_length=64)] | None = None


class StateRecord(Record, frozen=True, tag="state"):
    """A process that trains was stopped or went on, fell silent or was heard again. `since_wall_ns` is from when on.

    Where it fell silent, `after` is the kind of the last frame that was heard, and `process_state` the state of its
    main thread, as in /proc, when that was noticed.
    """

    event: Literal["stopped", "continued", "silent", "heard"]
    pid: Count
    rank: Count
    last_step: Count | None
    since_wall_ns: Count
    launcher_stopped: bool
    after: Text | None = None
    process_state: Text | None = None


class GpuProcess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A process of the job that computes on a GPU. `witnessed`: it attached, or is a fork of one that had."""

    gpu: Annotated[str, Meta(max_length=128)]
    pid: Count
    started_ticks: Count
    used_bytes: Count | None
    witnessed: bool


class GpusRecord(Record, frozen=True, tag="gpus"):
    """Which of the job's processes compute on which GPU now, and how many `others` are on the same GPUs."""

    processes: Annotated[list[GpuProcess], Meta(max_length=1024)]
    others: Count


class AttachRecord(Record, frozen=True, tag="attach"):
    """A recorder attached. `connection` numbers its connection within the attempt from 0."""

    connection: Count
    peer: Peer
    rank: Count
    claimed: msgspec.Raw


class BlockLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a block: when the agent received a frame, and its exact bytes."""

    received_ns: Count
    frame: msgspec.Raw


class BlockRecord(Record, frozen=True, tag="block"):
    """Consecutive frames of one connection, committed by the digest of the blob that holds them."""

    connection: Count
    rank: Count
    blob: DigestText
    size: Count
    frames: Count
    first_seq: Count
    last_seq: Count
    updates: Count
    first_step: Count | None
    last_step: Count | None


class FileRecord(Record, frozen=True, omit_defaults=True, tag="file"):
    """A model checkpoint's file as the agent found it when the job said that it saved or loaded it, or could not.

    `imports` are the functions and classes that a pickle which was loaded names; null where it was not looked into.
    """

    connection: Count
    seq: Count
    rank: Count
    action: Literal["saved", "loaded", "unread"]
    path: Text
    step: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    digest: DigestText | None
    size: Count | None
    claimed_digest: Text | None
    reason: Text | None
    imports: Annotated[list[Word], Meta(max_length=256)] | None = None


class CapsuleRecord(Record, frozen=True, tag="capsule"):
    """A file with the whole state behind `step`, as the agent found it; `root` is what the recorder said of it.

    Without a `digest` nothing is known of what is in the file, and `reason` says why. Without a `path` there is none;
    with a `reason` then, the recorder writes no more. `every` is as in the frame.
    """

    connection: Count
    seq: Count
    rank: Count
    path: Text | None
    step: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    root: Hex64 | None
    every: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    digest: DigestText | None
    size: Count | None
    reason: Text | None


class EnvironmentRecord(Record, frozen=True, tag="environment"):
    """The environment's files as the agent found them. `tree` is their digest, null with a `reason`.

    `changed` are files that are not as at the look before; at the `start`, not as sealed. `totals` counts them all.
    """

    moment: Literal["start", "pass", "end"]
    tree: DigestText | None
    reason: Text | None
    files: Count
    changed: Annotated[list[FileChange], Meta(max_length=MAX_FILE_CHANGES)]
    totals: dict[FileChangeKind, Count]
    whole: bool
    looks: Count
    took_ns: Count


class DetachRecord(Record, frozen=True, tag="detach"):
    """A connection ended. `clean` is whether the recorder said goodbye first."""

    connection: Count
    peer: Peer
    rank: Count
    clean: bool
    frames: Count
    lost: Count
    last_step: Count | None


AGENT_FAILED: Final = "the agent failed on what it sent"
"""How a reason begins where the agent closed a connection for a fault of its own."""


class RefusedRecord(Record, frozen=True, tag="refused"):
    """A peer or a frame was refused; `sample` is the start of it, escaped."""

    connection: Count | None
    peer: Peer | None
    rank: Count | None
    reason: Text
    sample: Annotated[str, Meta(max_length=512)]
    count: Count


class ChallengeRecord(Record, frozen=True, tag="challenge"):
    """The agent asked a recorder for an inventory of the code that it executes, with a number used once."""

    connection: Count
    rank: Count
    nonce: Hex32


SourceOrigin: TypeAlias = Literal["script", "tree", "package", "library", "recorder", "elsewhere"]
"""Where a source file lies: the command's script; below its folder or the working directory; in an installed package
that lists it; in the standard library; the recorder's own; anywhere else."""


class CompiledFunction(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """What the functions of one name at one line of a file compile to; none: there is no such function.

    `defaults` are those that the source spells out, each in the words of a `live` frame; `decorated`, whether there is
    a decorator on it.
    """

    name: Word
    line: Count
    code: Annotated[list[Hex32], Meta(max_length=8)]
    defaults: Annotated[dict[Word, Word], Meta(max_length=64)]
    decorated: bool


class SourceRecord(Record, frozen=True, tag="source"):
    """A source file as the agent read it, and what some of its functions compile to under the job's Python.

    `unit` is the package that it belongs to, `changed` whether it has changed since the attempt began. `homes` are the
    lines at which a qualified name is defined. Without a `digest` nothing was compiled, and `reason` says why.
    """

    path: Text
    origin: SourceOrigin
    unit: Text
    python: Word
    optimize: Annotated[int, Meta(ge=0, le=2)]
    digest: DigestText | None
    size: Count | None
    changed: bool
    reason: Annotated[str, Meta(max_length=1024)] | None
    functions: Annotated[list[CompiledFunction], Meta(max_length=1024)]
    homes: Annotated[dict[Word, Annotated[list[Count], Meta(max_length=16)]], Meta(max_length=1024)]


ObjectOrigin: TypeAlias = Literal[
    "sealed",
    "package",
    "library",
    "prefix",
    "system",
    "tree",
    "cache",
    "search_path",
    "device",
    "memory",
    "elsewhere",
    "unknown",
]
"""Where a mapped object lies: it is one of the environment's sealed files; in an installed package that lists it; in
the standard library; elsewhere below the interpreter's prefix; in a folder of the system; beside the user's own code;
in a cache of compiled kernels or extensions; in a folder that LD_LIBRARY_PATH named at the launch; a device; nowhere,
as a file without a name; anywhere else; or it cannot be known."""


class MappedObject(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """A file that a process has mapped as code. `deleted`: its name is gone, or is another file's by now.

    `named_by` is the variable of the process that names it; `digest` is of what lies there now, null with a `reason`;
    `sealed` of what was sealed there.
    """

    path: Text
    device: Annotated[str, Meta(max_length=32)]
    inode: Count
    deleted: bool
    origin: ObjectOrigin
    named_by: Word | None
    digest: DigestText | None
    sealed: DigestText | None
    reason: Word | None


class MappedRecord(Record, frozen=True, tag="mapped"):
    """What a process has mapped as code, seen from outside: objects that no record of the attempt named so before.

    `tree` is whether the sealed files were at hand. `total` counts different files, `anonymous` mappings without one.
    `variables` are those it was started with, in its first record; `reason` says why there is nothing.
    """

    connection: Count
    pid: Count
    rank: Count
    step: Count | None
    moment: Literal["begin", "ckpt", "drawn", "end"]
    tree: bool
    total: Count
    anonymous: Count
    omitted: Count
    objects: Annotated[list[MappedObject], Meta(max_length=4096)]
    variables: Annotated[dict[Word, Text], Meta(max_length=256)] | None
    looks: Count
    took_ns: Count
    reason: Word | None


class ShadowedImport(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """A module that was imported from `path`, while `other` has the name too; `digest` is of what lies at `path`.

    `sealed` is whether `path` is one of the environment's sealed files, null where these were not at hand.
    """

    name: Word
    path: Text
    origin: SourceOrigin
    sealed: bool | None
    digest: DigestText | None
    other: Text
    other_origin: Literal["library", "package"]


class ImportsRecord(Record, frozen=True, tag="imports"):
    """Top-level modules that a process says it imported from one place, while the agent found another of the name.

    `total` counts the top-level modules that were claimed from outside the environment; `reason` says why they were
    not looked up, or not all of them.
    """

    connection: Count
    pid: Count
    rank: Count
    total: Count
    shadowed: Annotated[list[ShadowedImport], Meta(max_length=64)]
    reason: Word | None


class SignalRecord(Record, frozen=True, tag="signal"):
    """A signal reached the launcher. `sender` is who sent it, where the kernel says so."""

    signal: Text
    forwarded: bool
    sender: Peer | None


class GapRecord(Record, frozen=True, tag="gap"):
    """The witness was not watching: from when, and why."""

    reason: Text
    since_wall_ns: Count | None


class AnchorRecord(Record, frozen=True, tag="anchor"):
    """What became of the heads offered to one anchor, before the last head. Written as an attempt closes."""

    target: Text
    sent: Count
    failed: Count
    last_size: Count | None
    last_error: Text | None
    longest_stretch_ns: Count


class FindingRecord(Record, frozen=True, tag="finding"):
    """A judgement made while the run went on."""

    finding: Finding


class ExitRecord(Record, frozen=True, tag="exit"):
    """The end of an attempt. Exactly one of `code` and `signal` is set where the status is known."""

    pid: Count
    code: int | None
    signal: int | None
    started_wall_ns: Count
    elapsed_ns: Count
    left_running: Count
    reason: Text


AnyRecord: TypeAlias = (
    SealRecord
    | ApprovalRecord
    | AttemptKeyRecord
    | ProcessRecord
    | AttachRecord
    | BlockRecord
    | FileRecord
    | CapsuleRecord
    | EnvironmentRecord
    | DetachRecord
    | RefusedRecord
    | SignalRecord
    | ChallengeRecord
    | SourceRecord
    | MappedRecord
    | ImportsRecord
    | StateRecord
    | GpusRecord
    | GapRecord
    | AnchorRecord
    | FindingRecord
    | ExitRecord
)
