"""What is found where one attempt continues another: parts, each the same, different, or not comparable."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import msgspec

__all__ = ["MAY_BE_UNKNOWN", "PARTS", "Continuation", "Part", "PartName", "Sameness", "shown"]

Sameness: TypeAlias = Literal["same", "differs", "not_checkable"]
PartName: TypeAlias = Literal[
    "parameters",
    "optimizer_state",
    "update_counters",
    "averages",
    "buffers",
    "generators",
    "hyper_parameters",
    "data_order",
    "repeated_steps",
]
PARTS: Final[tuple[PartName, ...]] = get_args(PartName)
"""Causes before effects: moments that were not restored explain other losses, never the reverse."""

MAY_BE_UNKNOWN: Final[frozenset[PartName]] = frozenset({"averages", "buffers"})
"""Parts that need not be comparable for a run to continue."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the state. Of `of` values `differing` differ or are missing; `examples` name some of them."""

    name: PartName
    outcome: Sameness
    rank: int
    sentence: str
    differing: int = 0
    of: int = 0
    examples: tuple[str, ...] = ()


class Continuation(msgspec.Struct, frozen=True, kw_only=True):
    """Whether B went on from Step `step` of A (-1: from before its first), whose model checkpoint it loaded.

    `group_a` and `group_b` are the groups of ranks (restarts) within the attempts. `parts` are in the order of causes,
    the worst over all ranks; what neither side has is left out. `ranks` are those that were compared.
    """

    attempt_a: int
    group_a: int
    attempt_b: int
    group_b: int
    step: int
    digest: str
    path: str | None
    ranks: tuple[int, ...]
    parts: tuple[Part, ...]
    continues: bool | None
    sentence: str


def shown(value: object) -> str:
    """One value within a sentence."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "not there" if value is None else msgspec.json.encode(value).decode()[:60]
