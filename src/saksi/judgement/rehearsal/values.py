"""What a rehearsal says, as it travels with the seal file. The format is `spec/seal-file.md`.

Rules: one form, so lists are sorted and nothing is in them twice, and the members of an object whose names are the
job's own are sorted; what depends on the moment (times, process ids, keyed fingerprints) is left out.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from saksi.judgement.seal import Part

__all__ = [
    "MAX_STEPS",
    "Rehearsal",
    "RehearsedBatch",
    "RehearsedCode",
    "RehearsedFunction",
    "RehearsedHook",
    "RehearsedOptimizer",
    "RehearsedRank",
    "RehearsedRoot",
    "RehearsedSeed",
    "RehearsedUpdate",
    "plain",
]

MAX_STEPS: Final = 1000
"""Steps of a rehearsal. One rank's step takes a kilobyte or more, and a seal file holds 4 MiB."""

MAX_CODE: Final = 256
"""Places of live code; what is beyond is told of a launch as if it had not been rehearsed."""

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Index = Annotated[int, Meta(ge=-1, le=2**63 - 1)]
Hex64 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Meta(max_length=4096)]
Table: TypeAlias = dict[str, Any]


def plain(value: Any) -> Any:
    """A value of a frame with the members of its objects sorted; a whole number of more than 64 bits becomes text."""
    if isinstance(value, dict):
        return {name: plain(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value


class RehearsedSeed(Part, frozen=True, order=True):
    """A generator was seeded, with what."""

    generator: Literal["python", "numpy", "torch"]
    seed: Text


class RehearsedOptimizer(Part, frozen=True):
    """An optimizer that was there by the last step, by order of construction."""

    ordinal: Count
    class_name: Text
    defaults: Table


class RehearsedHook(Part, frozen=True):
    """A hook, mode or flag, and the first Step that it was in force at; `table` is where it was found."""

    table: Text
    name: Text
    step: Count


class RehearsedBatch(Part, frozen=True):
    """A batch: which loader's how manieth, the digest of its content, and that of its sample ids where known."""

    loader: Count
    ordinal: Count
    digest: Text | None
    ids: Hex64 | None


class RehearsedUpdate(Part, frozen=True):
    """One Update of one optimizer. `loss` is the number as JSON writes it, or NaN, Infinity, -Infinity."""

    optimizer: Count
    update: Count
    groups: tuple[Table, ...]
    groups_omitted: Count
    batches: tuple[RehearsedBatch, ...]
    batches_omitted: Count
    rng: dict[str, Hex64]
    loss: Text | None


class RehearsedRoot(Part, frozen=True):
    """The state root after a Step; -1 is the state before the first."""

    step: Index
    root: Hex64
    layout: Hex64


class RehearsedRank(Part, frozen=True):
    """One training process. `loads` counts the model checkpoints that it loaded before its first Step."""

    rank: Count
    world_size: Count
    python: Text
    torch: Text
    threads: Count
    deterministic: bool
    flags: Table
    loads: Count
    seeded: tuple[RehearsedSeed, ...]
    optimizers: tuple[RehearsedOptimizer, ...]
    hooks: tuple[RehearsedHook, ...]
    updates: tuple[RehearsedUpdate, ...]
    roots: tuple[RehearsedRoot, ...]

    def __post_init__(self) -> None:
        _require_order("seeded", list(self.seeded))
        _require_order("optimizers", [each.ordinal for each in self.optimizers])
        _require_order("hooks", [(each.table, each.name) for each in self.hooks])
        _require_order("updates", [(each.optimizer, each.update) for each in self.updates])
        _require_order("roots", [each.step for each in self.roots])
        said = [self.flags, *(each.defaults for each in self.optimizers)]
        said += [table for each in self.updates for table in (*each.groups, each.rng)]
        if any(msgspec.json.encode(each) != msgspec.json.encode(each, order="sorted") for each in said):
            raise ValueError("a table whose names are not sorted")


class RehearsedFunction(Part, frozen=True, order=True):
    """One function that stood behind a place: the digest of its code, and its defaults as words, by name."""

    name: Text
    code: Text
    defaults: tuple[tuple[Text, Text], ...]


class RehearsedCode(Part, frozen=True, order=True):
    """A place of live code that was not as its source says: what the check of live code would tell of it."""

    place: Text
    name: Text
    functions: tuple[RehearsedFunction, ...]


class Rehearsal(Part, frozen=True):
    """The first `steps` steps of every rank. `code` is what was told of live code then; absent if nothing was."""

    steps: Annotated[int, Meta(ge=1, le=MAX_STEPS)]
    ranks: Annotated[tuple[RehearsedRank, ...], Meta(min_length=1)]
    code: Annotated[tuple[RehearsedCode, ...], Meta(min_length=1, max_length=MAX_CODE)] | msgspec.UnsetType = (
        msgspec.UNSET
    )

    def __post_init__(self) -> None:
        _require_order("ranks", [each.rank for each in self.ranks])
        if self.code is not msgspec.UNSET:
            _require_order("code", list(self.code))


def _require_order(name: str, keys: list[Any]) -> None:
    if any(not (first < second) for first, second in pairwise(keys)):
        raise ValueError(f"{name} that are not sorted, or repeated")
