"""What the recorder says to the agent: frames, one JSON object per packet. All of it is *claimed*.

The wire format is `spec/frames.md`. Frames are decoded strictly: unknown fields and kinds are refused. The agent
stores the exact bytes it received; these types are only for reading them.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from saksi.words.average_frames import AveragedFrame, AverageFrame
from saksi.words.frame import FRAME_VERSION, MAX_FRAME_BYTES, Count, Frame, Hex32, Hex64, Number, Text, Whole, Word
from saksi.words.limits import (
    MAX_IDS,
    MAX_LIVE_FILES,
    MAX_LIVE_HOMES,
    MAX_LIVE_PIECES,
    MAX_METRIC_NAME,
    MAX_METRICS,
    MAX_QUANTITIES,
)
from saksi.words.sample_frames import SampledFrame, SampledTensor, SampleFrame

__all__ = [
    "FRAME_VERSION",
    "MAX_FRAME_BYTES",
    "STEP_HOOKS",
    "AnyFrame",
    "AverageFrame",
    "AveragedFrame",
    "Batch",
    "CapsuleFrame",
    "CkptFrame",
    "Deferrable",
    "DeferredFrame",
    "DetachFrame",
    "EnvironmentFrame",
    "EpochFrame",
    "ExhaustedFrame",
    "FaultFrame",
    "Fingerprint",
    "Frame",
    "GradientNorm",
    "HelloFrame",
    "Holding",
    "InventoryFrame",
    "LayoutFrame",
    "LiveFrame",
    "LivePiece",
    "LivePlace",
    "LiveSubject",
    "MetricFrame",
    "ModuleFrame",
    "Number",
    "OptimizerFrame",
    "OverflowFrame",
    "Phases",
    "RootFrame",
    "SampleFrame",
    "SampledFrame",
    "SampledTensor",
    "SeededFrame",
    "UncoveredFrame",
    "UpdateFrame",
]

MAX_COUNTED: Final = 4_096
"""Groups of an optimizer whose tensors are counted."""
MAX_STATE_TEXT: Final = 4_096
"""Of the state of a generator: 2,500 bytes in base64."""


class HelloFrame(Frame, frozen=True, tag="hello"):
    """The first frame: who attached, under which interpreter and framework."""

    version: int
    pid: Count
    ppid: Count
    rank: Count
    local_rank: Count
    world_size: Count
    forked: bool
    level: Literal["standard", "full"]
    python: Text
    implementation: Text
    executable: Text
    torch: Text
    threads: Count
    deterministic: bool
    flags: dict[str, Any]
    fingerprint_key: Hex64
    switched_off: bool = False
    answers: bool = False


class Phases(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nanoseconds of wall time since the previous update ended: waiting for data, computing, in the optimizer."""

    data: Count
    compute: Count
    optimizer: Count


class GradientNorm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `clip_grad_norm_` returned and was told; `coefficient` is min(1, max_norm / (norm + 1e-6))."""

    value: Number
    max_norm: Number
    coefficient: Number


MAX_ROWS: Final = 16
"""Samples of one batch whose digests are said."""


class Batch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One batch a DataLoader handed out. `digest` names its algorithm; `ids` are sample indices where known.

    `epoch` counts the times that this loader was iterated, `place` the batches of that epoch, both from 0, `before` the
    samples in its batches before this one: null where a recorder did not say them, or batches come in no order. `rows`
    are the id and the digest of a few of its samples, whose kinds and shapes `form` names; neither is there where they
    are not known one by one.
    """

    loader: Count
    ordinal: Count
    digest: Text | None
    items: Count | None
    ids: Annotated[list[Whole], Meta(max_length=MAX_IDS)] | None
    epoch: Count | None = None
    place: Count | None = None
    before: Count | None = None
    form: Hex32 | None = None
    rows: Annotated[list[tuple[Whole, Hex32]], Meta(max_length=MAX_ROWS)] = []


class EpochFrame(Frame, frozen=True, tag="epoch"):
    """A DataLoader is iterated anew: its sampler, and what that was given; `arguments` is empty of an unknown one.

    `state` is that of the sampler's generator just before the first draw, in base64; `own`: one that the sampler was
    given, else torch's; then `after` is the digest of torch's as the first batch had been chosen.
    """

    loader: Count
    epoch: Count
    sampler: Word
    dataset: Word
    length: Count | None
    batch_size: Count | None
    drop_last: bool
    arguments: Annotated[dict[Word, bool | Whole], Meta(max_length=MAX_QUANTITIES)]
    own: bool
    state: Annotated[str, Meta(max_length=MAX_STATE_TEXT)] | None
    after: Hex32 | None


class ExhaustedFrame(Frame, frozen=True, tag="exhausted"):
    """A DataLoader had no more to hand out, after so many batches of this epoch."""

    loader: Count
    epoch: Count
    batches: Count


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Covers share `share` of `of` of the tensors named by `over`, at both ends of the step.

    Weaker than a digest, but for `sha256-128`, over the `counters`: state tensors of one element.
    """

    name: Literal["sum64-4096", "mult64-4096", "sha256-128"]
    over: Literal["parameters", "moments", "counters"]
    share: Count
    of: Count
    start: Hex32 | None
    end: Hex32 | None


Deferrable: TypeAlias = Literal["loss", "gradient_norm", "skipped", "groups", "fingerprints"]
"""Fields of an Update whose values may lie on a device as it returns."""


class UpdateFrame(Frame, frozen=True, tag="update"):
    """One Update. `update` counts this optimizer's from 0.

    `deferred` are the fields whose values, or some of them, follow in a `deferred` frame. `thinned` is of how many
    Updates one gives samples, where this one was drawn to give none; 0 elsewhere. `tensors` is how many each group
    holds as the Update returns; empty of an older recorder. `batches_behind` of the batches came behind those that are
    omitted; 0 where none is, and of an older recorder, which left out the latest.
    """

    optimizer: Count
    update: Count
    skipped: bool
    phase_ns: Phases
    loss: Number | None
    losses: Count
    groups: list[dict[str, Any]]
    groups_omitted: Count
    gradient_norm: GradientNorm | None
    batches: list[Batch]
    batches_omitted: Count
    rng: dict[str, Hex64]
    fingerprints: list[Fingerprint]
    inventory: Hex64
    self_ns: Count
    deferred: list[Deferrable] = msgspec.field(default_factory=list)
    thinned: Count = 0
    tensors: Annotated[list[Count], Meta(max_length=MAX_COUNTED)] = msgspec.field(default_factory=list)
    batches_behind: Count = 0

    @property
    def latest(self) -> list[Batch]:
        """The batches that came last before this Update, as far back as none is missing."""
        return self.batches[max(0, len(self.batches) - self.batches_behind) :] if self.batches_omitted else self.batches


class DeferredFrame(Frame, frozen=True, tag="deferred"):
    """Values of an Update that a device delivered later; `lacking` are those it did not, and `reason` says why.

    `groups` are hyper-parameters: the group, the name, the value. `fingerprints` are those that the Update left out.
    """

    optimizer: Count
    update: Count
    loss: Number | None
    gradient_norm: GradientNorm | None
    skipped: bool | None
    groups: list[tuple[Count, Text, int | Number]]
    fingerprints: list[Fingerprint]
    lacking: list[Deferrable]
    reason: Text | None


class OverflowFrame(Frame, frozen=True, tag="overflow"):
    """What a gradient scaler of torch's own had said of the gradients of an Update that it left out, and what is so.

    `flagged`: whether its flag stood as it had looked at them; null where that is not known. Of `tensors` gradients
    that were looked at, whole, `not_finite` held a value that is none; `unread` were not looked at. Looked as the
    scaler had, if its flag stood then; else as it left the Update out.
    """

    optimizer: Count
    update: Count
    flagged: bool | None
    tensors: Count
    not_finite: Count
    unread: Count


class LayoutFrame(Frame, frozen=True, tag="layout"):
    """A part of the list of tensors that a state root covers; lines are `[key, alias, dtype, shape]`."""

    layout: Hex64
    part: Count
    parts: Count
    lines: list[tuple[Text, Text | None, Text, list[int]]]


class RootFrame(Frame, frozen=True, tag="root"):
    """A binding state root: what is trained, optimizer state, buffers and averages, byte for byte: `spec/frames.md`."""

    at: Literal["attach", "step", "ckpt", "load", "resumed", "released", "exit"]
    step: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    root: Hex64
    layout: Hex64
    tensors: Count
    bytes: Count
    leaves: str | None


class ModuleFrame(Frame, frozen=True, tag="module"):
    """A top-level module of the model, named once, at the first update."""

    ordinal: Count
    class_name: Text
    parameters: Count
    tensors: Count
    buffers: Count


class OptimizerFrame(Frame, frozen=True, tag="optimizer"):
    """An optimizer was constructed (or first seen when it stepped)."""

    ordinal: Count
    class_name: Text
    file: Text | None
    groups: Count
    tensors: Count
    defaults: dict[str, Any]


class SeededFrame(Frame, frozen=True, tag="seeded"):
    """A generator was seeded."""

    generator: Literal["python", "numpy", "torch"]
    seed: Text
    caller: Text | None


class Holding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many of the parameters and state tensors that optimizers hold were in what was saved: the same memory.

    A copy of a tensor is not recognised: what is not counted may be there all the same.
    """

    parameters: Count
    of_parameters: Count
    state: Count
    of_state: Count


class CkptFrame(Frame, frozen=True, tag="ckpt"):
    """A model checkpoint was saved or loaded, or could not be: `unread`, of a load that raised.

    `digest` is set where the recorder saw the bytes pass, or read them back at once. `holds` is null where that is not
    known.
    """

    action: Literal["saved", "loaded", "unread"]
    path: Text | None
    digest: Text | None
    size: Count | None
    device: Count | None
    inode: Count | None
    mtime_ns: Count | None
    step: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    holds: Holding | None = None


class CapsuleFrame(Frame, frozen=True, tag="capsule"):
    """The recorder wrote the whole state behind `step` to a file; `root` is the root of it.

    Of its process only those are kept whose `step` + 1 can be divided by `every`, and only such are written from here
    on. Without a `path` none was written; with a `reason`, which says why, none will be any more.
    """

    path: Text | None
    size: Count | None
    device: Count | None
    inode: Count | None
    mtime_ns: Count | None
    step: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    root: Hex64 | None
    every: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    reason: Text | None


class MetricFrame(Frame, frozen=True, tag="metric"):
    """Numbers that the program gave a tracker in one call. `at` is the tracker's step, `step` the last Step by then.

    `omitted` counts the numbers, so far in this process, that are in no frame.
    """

    tracker: Literal["tensorboard", "wandb", "mlflow"]
    at: Whole | None
    step: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    values: Annotated[
        list[tuple[Annotated[str, Meta(max_length=MAX_METRIC_NAME)], Number]], Meta(max_length=MAX_METRICS)
    ]
    omitted: Count


class InventoryFrame(Frame, frozen=True, tag="inventory"):
    """The hooks and modes in force, sent when they change; `inventory` is the digest the updates carry."""

    inventory: Hex64
    hooks: dict[str, list[Text]]


LivePlace: TypeAlias = Literal[
    "module", "class", "instance", "attribute", "hook", "mode", "builtin", "tracer", "importer", "operator", "constant"
]
"""Where a function is looked up. `instance`: in an object, in place of its class's; `attribute`: in an object alone.
`constant` is no function but a literal that a module of torch's keeps."""


class LivePiece(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """One function that a call goes through. `file` is a place in the frame's `files`; null if its code names none."""

    file: Count | None
    name: Word
    line: Count
    code: Hex32
    defaults: dict[Word, Word]
    closure: dict[Word, Word]


class LiveSubject(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """One place and the functions behind it, outermost first.

    `owner` is the file of the module it belongs to, `homes` where its function should have been written: a file and a
    qualified name in it, the first that has it counts. `homes` is empty if the first piece is written at the first.
    """

    name: Text
    place: LivePlace
    owner: Count | None
    homes: Annotated[list[tuple[Count, Word]], Meta(max_length=MAX_LIVE_HOMES)]
    pieces: Annotated[list[LivePiece], Meta(max_length=MAX_LIVE_PIECES)]
    notes: Annotated[list[Word], Meta(max_length=8)]


class LiveFrame(Frame, frozen=True, tag="live"):
    """A part of an inventory of the code that training executes: what this connection has not heard of it.

    `number` counts the inventories of this process; `compared` places were looked at, `omitted` were beyond the limit.
    `nonce` is what the agent had asked with. `flags` are those of precision and determinism, and what the kernel
    holds the process to, if they are news.
    """

    number: Count
    at: Literal["first", "second", "challenge", "changed", "exit"]
    nonce: Annotated[str, Meta(max_length=64)] | None
    step: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    part: Count
    parts: Count
    compared: Count
    omitted: Count
    files: Annotated[list[Text], Meta(max_length=MAX_LIVE_FILES)]
    subjects: list[LiveSubject]
    flags: dict[Word, Word]


class EnvironmentFrame(Frame, frozen=True, tag="environment"):
    """Source files of imported modules, in parts."""

    part: Count
    parts: Count
    modules: list[tuple[Text, Text]]


STEP_HOOKS: Final = "step hooks"
"""What an `uncovered` frame names where the recorder's hooks were taken out of torch's tables, and put back."""


class UncoveredFrame(Frame, frozen=True, tag="uncovered"):
    """Something the recorder knows it does not see, and why."""

    what: Text
    reason: Text
    step: Annotated[int, Meta(ge=-1, le=2**63 - 1)]


class FaultFrame(Frame, frozen=True, tag="fault"):
    """The recorder itself failed somewhere and carried on without that part."""

    where: Text
    error: Text


class DetachFrame(Frame, frozen=True, tag="detach"):
    """The last frame: the interpreter is ending. `updates` counts the updates made per optimizer."""

    updates: list[Count]
    frames: Count
    self_ns: Count
    exception: Text | None


AnyFrame: TypeAlias = (
    HelloFrame
    | UpdateFrame
    | DeferredFrame
    | OverflowFrame
    | SampledFrame
    | SampleFrame
    | AveragedFrame
    | AverageFrame
    | LayoutFrame
    | RootFrame
    | ModuleFrame
    | OptimizerFrame
    | SeededFrame
    | EpochFrame
    | ExhaustedFrame
    | CkptFrame
    | CapsuleFrame
    | MetricFrame
    | InventoryFrame
    | LiveFrame
    | EnvironmentFrame
    | UncoveredFrame
    | FaultFrame
    | DetachFrame
)
