"""What `--json` prints: one versioned value for each read command. The screens draw the same values.

Every type has its JSON Schema in `saksi/doors/schemas`, which ships in the package. A change of meaning is a new
version. `saksi.findings/v1` has a module of its own, `saksi.diff/v1` lives with what computes it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec

from saksi.judgement.log_layer import Outcome
from saksi.judgement.series import Series
from saksi.judgement.story import Beginning
from saksi.judgement.weight_origin import WeightOrigin
from saksi.words.findings import Coverage, Finding, Verdict

__all__ = [
    "AttemptLine",
    "EventLine",
    "Evidence",
    "FsckLine",
    "FsckReport",
    "GroupLine",
    "KeyLine",
    "KeysReport",
    "LoadLine",
    "Made",
    "RunLine",
    "RunsReport",
    "ShowReport",
    "VerifyLine",
    "VerifyReport",
    "encode",
    "instant",
]

State: TypeAlias = Literal["running", "ended", "interrupted", "unreadable"]
"""`interrupted`: no agent writes it and its last attempt has no exit record."""


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a document: every field is always there."""


class RunLine(_Document, frozen=True, kw_only=True):
    """One run in a list. `error` says why nothing more is known of it."""

    run: str
    name: str | None
    project: str | None
    started: datetime | None
    state: State
    attempts: int
    steps_witnessed: int
    steps_expected: int | None
    verdict: Verdict
    sentence: str
    error: str | None


class RunsReport(_Document, frozen=True, kw_only=True):
    """`saksi runs --json`, the oldest first."""

    schema: Literal["saksi.runs/v1"] = "saksi.runs/v1"
    runs: tuple[RunLine, ...]


class Evidence(_Document, frozen=True, kw_only=True):
    """Who could have rewritten the record. `anchored` is how many entries the last anchored head covers."""

    level: int
    entries: int
    anchored: int | None
    sentence: str


class GroupLine(_Document, frozen=True, kw_only=True):
    """Ranks that trained together. `number` counts an attempt's groups from 0; steps are counted from 0 in each.

    `beginning`: the first of its attempt; a restart of the same command after the group before had ended; beside
    another one; another command.
    """

    number: int
    beginning: Beginning
    started: datetime | None
    ended: datetime | None
    world_size: int
    ranks: tuple[int, ...]
    steps_before: int
    first_step: int | None
    last_step: int | None
    steps: int


class LoadLine(_Document, frozen=True, kw_only=True):
    """A model checkpoint that was loaded, after which Step (-1: before the first), and where its bytes came from.

    `origin`: `saved` by the run, attempt, group and Step named; `changed`: other content was saved at this path there;
    `unknown`: by no run here; `unread`: nobody knows the bytes. `sentence` says it in words.
    """

    at: datetime | None
    entry: int
    group: int | None
    ranks: tuple[int, ...]
    step: int
    path: str | None
    digest: str | None
    observed: bool
    origin: Literal["saved", "changed", "unknown", "unread"]
    origin_run: str | None
    origin_attempt: int | None
    origin_group: int | None
    origin_step: int | None
    origin_digest: str | None
    sentence: str


class CapsulesLine(_Document, frozen=True, kw_only=True):
    """The whole states that were written to files, of a launch: `kept` are there now, of `bytes`, behind these Steps.

    `unread` are those of which the agent has no digest, which nothing begins with, and `unread_reason` is why, of the
    first. `reason` is why none was written any more.
    """

    written: int
    unread: int
    kept: int
    bytes: int
    first_step: int | None
    last_step: int | None
    folder: str | None
    unread_reason: str | None
    reason: str | None


class AttemptLine(_Document, frozen=True, kw_only=True):
    """One launch. `end` is how it ended in words, null while that is not recorded; `ended_by` who stopped it, if told.

    `joined_by` is the key, as the launch claimed it, by which it was recognised as a further attempt.
    Steps are of its last group of ranks. `steps_before` is how many Steps of this run it continues, as far as the model
    checkpoint that it loaded tells: 0 if it loaded none that this run saved.
    """

    number: int
    started: datetime | None
    elapsed_seconds: float | None
    code: int | None
    signal: int | None
    end: str | None
    ended_by: str | None
    joined_by: str | None
    steps_before: int
    first_step: int | None
    last_step: int | None
    ranks: int
    groups: tuple[GroupLine, ...]
    saved: int
    loaded: tuple[LoadLine, ...]
    capsules: CapsulesLine | None


class EventLine(_Document, frozen=True, kw_only=True):
    """One line of the timeline; `entry` is its place in the log."""

    entry: int
    at: datetime | None
    attempt: int
    rank: int | None
    step: int | None
    kind: str
    text: str


class ShowReport(_Document, frozen=True, kw_only=True):
    """`saksi show RUN --json`. With `RUN@N`, `attempt` is N, and attempts, series and events are of that one alone.

    `suppressed` findings are not among `findings`, and do not count for the verdict: `saksi findings` has them.
    """

    schema: Literal["saksi.show/v1"] = "saksi.show/v1"
    run: str
    attempt: int | None
    name: str | None
    project: str | None
    command: tuple[str, ...]
    level: str | None
    started: datetime | None
    state: State
    verdict: Verdict
    sentence: str
    next_command: str
    evidence: Evidence
    coverage: Coverage
    attempts: tuple[AttemptLine, ...]
    series: tuple[Series, ...]
    events: tuple[EventLine, ...]
    events_omitted: int
    findings: tuple[Finding, ...]
    suppressed: int = 0


class Made(_Document, frozen=True, kw_only=True):
    """Where a file's content was recorded: by which run, at which step. `observed`: the agent read the file itself."""

    run: str
    action: str
    path: str
    step: int
    rank: int
    entry: int
    observed: bool


class VerifyLine(_Document, frozen=True, kw_only=True):
    """One target. `accepted` and `refused` are definite; `inconclusive` is neither.

    `root` is of the log's tree, `signed_by` names the keys of its attempts, each admitted by a trusted key, and
    `anchors` counts those that agree. `findings` are those of a record that is not refused; they change no verdict, but
    the exit code: a whole record may tell of a run that went wrong. `weights` says which committed state the tensors
    in a file have most in common with, where no run is recorded to have made the file as it is.
    """

    target: str
    kind: Literal["run", "bundle", "file"]
    verdict: Outcome
    run: str | None
    entries: int | None
    digest: str | None
    sentence: str
    reasons: tuple[str, ...]
    made: tuple[Made, ...]
    root: str | None = None
    signed_by: tuple[str, ...] = ()
    anchors: int = 0
    longest_unanchored_ns: int | None = None
    findings: tuple[Finding, ...] = ()
    weights: WeightOrigin | None = None


class VerifyReport(_Document, frozen=True, kw_only=True):
    """`saksi verify TARGET... --json`, in the order of the targets."""

    schema: Literal["saksi.verify/v1"] = "saksi.verify/v1"
    targets: tuple[VerifyLine, ...]


class KeyLine(_Document, frozen=True, kw_only=True):
    """A key that is trusted. `current` is the one that signs."""

    label: str
    vkey: str
    current: bool


class KeysReport(_Document, frozen=True, kw_only=True):
    """`saksi keys list --json`. Verification trusts `keys`; a signature of one of `approvers` approves a seal file."""

    schema: Literal["saksi.keys/v1"] = "saksi.keys/v1"
    keys: tuple[KeyLine, ...]
    approvers: tuple[KeyLine, ...]


class FsckLine(_Document, frozen=True, kw_only=True):
    """One run's folder: what is wrong with it, and what was made again."""

    run: str
    sound: bool | None
    problems: tuple[str, ...]
    repaired: tuple[str, ...]


class FsckReport(_Document, frozen=True, kw_only=True):
    """`saksi fsck --json`. `sound` of a run is null where it could not be judged."""

    schema: Literal["saksi.fsck/v1"] = "saksi.fsck/v1"
    runs: tuple[FsckLine, ...]


def encode(report: msgspec.Struct) -> str:
    """The report as one compact line of JSON."""
    return msgspec.json.encode(report).decode()


def instant(wall_ns: int | None) -> datetime | None:
    """A wall clock's nanoseconds as a point in time, whole microseconds; `None` if beyond the calendar."""
    if wall_ns is None:
        return None
    try:
        return datetime.fromtimestamp(wall_ns // 10**9, tz=UTC).replace(microsecond=wall_ns % 10**9 // 1000)
    except (OverflowError, ValueError, OSError):
        return None
