"""What `saksi audit` says: `saksi.audit/v1`. Three words, each with its reason."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from saksi.judgement.distance import Distance
from saksi.judgement.replay.drawing import Draw
from saksi.judgement.replay.stretches import Means

__all__ = [
    "AsFound",
    "Audit",
    "Detects",
    "EnvironmentLine",
    "Field",
    "Named",
    "Naming",
    "ReplayCoverage",
    "ReplaySteps",
    "ReplayVerdict",
    "Sampled",
    "SavedFile",
    "SavedFiles",
    "SavedHow",
    "Segments",
    "Split",
    "Stage",
    "StretchLine",
    "Tier",
]

ReplayVerdict: TypeAlias = Literal["match", "mismatch", "not_checkable"]
Tier: TypeAlias = Literal["exact", "split"]
Stage: TypeAlias = Literal[
    "program", "setting", "hyper_parameters", "randomness", "data", "checkpoint", "code", "forward", "scaler",
    "gradient", "between_steps", "update", "state",
]  # fmt: skip
"""Where in a Step the record and its replay part, in the order of cause and effect.

`forward`: equal batch, generators and state, and another loss. `gradient`: equal loss, another norm. `between_steps`:
the state was another as the Step began, and had been equal as the one before it ended. `update`: all of that equal,
another state afterwards; the backward pass is part of it where nothing was clipped. `state`: nothing but a root.
"""


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the document: every field is always there."""


class EnvironmentLine(_Document, frozen=True, kw_only=True):
    """Whether what replayed was what an approver had signed: by whom, and else why not."""

    verified: bool
    approved_by: tuple[str, ...]
    differences: tuple[str, ...]


class ReplaySteps(_Document, frozen=True, kw_only=True):
    """Steps of the record, over all ranks. What follows a first mismatch is compared with nothing."""

    total: int
    replayed: int
    match: int
    mismatch: int
    not_checkable: int


class Segments(_Document, frozen=True, kw_only=True):
    """Steps between two state roots that bind: how many the record has, and of how many both ends were compared."""

    total: int
    replayed: int


class Detects(_Document, frozen=True, kw_only=True):
    """The probability that a replay of this extent meets what was done: in one segment, or in a share of all steps."""

    one_segment: float
    spread: dict[str, float]


class ReplayCoverage(_Document, frozen=True, kw_only=True):
    """How much of the run this speaks of. `fraction` is of its Steps."""

    fraction: float
    segments: Segments
    detects: Detects


class Field(_Document, frozen=True, kw_only=True):
    """A field in which they part: in the record, and in the replay. `None` is "not there"."""

    field: str
    recorded: Any
    replayed: Any


AsFound: TypeAlias = Literal["as_recorded", "as_sealed", "neither", "not_replayed"]
"""What the program, as it is found now, does in that Step: what the record has, or what the sealed program does."""


class Naming(_Document, frozen=True, kw_only=True):
    """Two transcripts of that Step: of the program as it is found now, and as it was sealed.

    What follows `as_found` is null unless that is `as_recorded`, and where the transcripts do not tell. `kind` is how
    the first operation that differs does; `function` was on its stack and is not there in the sealed program; `file`
    and `line` are where that was. `lacking` is a function that the sealed program alone has there.
    """

    as_found: AsFound
    kind: Literal["arguments", "extra", "missing", "other", "inputs", "result"] | None = None
    operation: str | None = None
    module: str | None = None
    tensor: str | None = None
    function: str | None = None
    file: str | None = None
    line: int | None = None
    lacking: str | None = None
    sentence: str


class Named(_Document, frozen=True, kw_only=True):
    """The first Step that differs. `object`, `file`, `tensor` and `operation` are null where nothing tells.

    `operation` is of `naming`, as are `object` and `file`, which ends with the line, where that has a function; else
    `object` is of a finding in the record that covers this Step, and is not proved by the replay. `tensor` is one that
    the roots bind otherwise, else of `naming`.
    """

    step: int
    rank: int
    stage: Stage
    object: str | None
    file: str | None
    tensor: str | None
    operation: str | None
    fields: tuple[Field, ...]
    naming: Naming | None


class Split(_Document, frozen=True, kw_only=True):
    """The first Step of a stretch, `step`, in the tier *split*: over all ranks, of `elements` of gradients.

    `noise` is how far replays here are apart, beside the size of the gradients. `slack` is how far the record is from
    the replay, in shares of what is allowed, and `furthest` where that is; `planted` is how far a replay with a changed
    label is. Either is null where it is no finite number.
    """

    step: int
    elements: int
    noise: float
    slack: float | None
    furthest: str
    planted: float | None


class StretchLine(_Document, frozen=True, kw_only=True):
    """One stretch that was replayed, of Steps `first_step` to `last_step`.

    `reason` is why it was reached from the start although a model checkpoint is there, or why it is not equal. `split`
    is what came of its first Step where the stretch is not equal and that need be nothing but rounding.
    """

    first_step: int
    last_step: int
    means: Means
    equal: bool
    split: Split | None
    reason: str | None


class Sampled(_Document, frozen=True, kw_only=True):
    """What was replayed of a run that was not replayed whole. `stretches` are those that were, out of `total`.

    Of `draw` a secret of this audit, the root of the log and the public value given on the command line: whoever has
    the three can draw again. Null where the stretches were named. `resume` are the words that were put behind the
    command to resume; null where nothing said how.
    """

    total: int
    stretches: tuple[StretchLine, ...]
    draw: Draw | None
    resume: tuple[str, ...] | None


SavedHow: TypeAlias = Literal["other content", "in the record alone", "in the replay alone", "not known"]


class SavedFile(_Document, frozen=True, kw_only=True):
    """A file that was saved behind a Step (-1: before the first), and how the replay differs in it."""

    path: str
    rank: int
    step: int
    how: SavedHow


class SavedFiles(_Document, frozen=True, kw_only=True):
    """The files that were saved: `equal` of them byte for byte, `differing` not, of which the first are `named`.

    That decides no verdict: programs write times and paths into what they save, and some save by the clock.
    """

    equal: int
    differing: int
    named: tuple[SavedFile, ...]


class Audit(_Document, frozen=True, kw_only=True):
    """`saksi audit --json`. `replays` is how often the program was run, as found now included.

    A mismatch is never said after one. `saved` is null unless this is a match of a replay from the start, and where no
    file was saved, or more than are compared. `distance` is null unless all Steps were replayed from the start,
    they differ, and that proves nothing.
    """

    schema: Literal["saksi.audit/v1"] = "saksi.audit/v1"
    run: str
    attempt: int
    verdict: ReplayVerdict
    tier: Tier
    environment: EnvironmentLine
    steps: ReplaySteps
    coverage: ReplayCoverage
    first_bad_step: int | None
    named: tuple[Named, ...]
    replays: int
    sampled: Sampled | None
    saved: SavedFiles | None
    distance: Distance | None
    reasons: tuple[str, ...]
    sentence: str
