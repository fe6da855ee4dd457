"""What `saksi doctor` says: `saksi.doctor/v1`. Observations from records first, then what they usually mean."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from saksi.judgement.continuation.values import Part

__all__ = [
    "CODES",
    "Code",
    "Doctor",
    "DoctorSteps",
    "DoctorVerdict",
    "Ingredient",
    "NotCheckable",
    "Phase",
    "Seen",
    "Threads",
]

DoctorVerdict: TypeAlias = Literal["continues", "missing", "unknown"]
Phase: TypeAlias = Literal["repeat", "resume", "threads"]
"""Which launch parted from the first one: the same command again, what resumed it, one with other threads."""
Code: TypeAlias = Literal[
    "unseeded_generator", "seed_varies", "initial_state", "weights", "rounded_weights", "optimizer_state",
    "update_counters", "buffers", "schedule", "hyper_parameters", "generator", "generator_order", "loader_generator",
    "data_position", "sample_order", "worker_rng", "augmentation", "accumulation", "scaler", "threads", "compile",
    "cold_buckets", "forward", "arithmetic", "other_state",
]  # fmt: skip
CODES: tuple[Code, ...] = Code.__args__  # type: ignore[attr-defined]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the document: every field is always there."""


class Seen(_Document, frozen=True, kw_only=True):
    """One field in which two launches part: at which Step, counted as the first launch counts (-1: before it).

    `expected` is what the first launch has, uninterrupted. `None` is "not there".
    """

    rank: int
    step: int
    field: str
    expected: Any
    found: Any


class Ingredient(_Document, frozen=True, kw_only=True):
    """One ingredient. `missing` is whether it must be put right; if not, it is a condition, or worth a look.

    `sentence` is what was observed, `usually` what that mostly comes of, `remedy` and `example` how to put it right.
    """

    code: Code
    phase: Phase
    missing: bool
    sentence: str
    seen: Seen | None
    usually: str
    remedy: str
    example: str


class NotCheckable(_Document, frozen=True, kw_only=True):
    """What was not looked at, and why."""

    what: str
    reason: str


class DoctorSteps(_Document, frozen=True, kw_only=True):
    """Steps of the launches: all of the first; up to the save that was loaded, to the kill; of what resumed, compared.

    `saved_after` is null where nothing was loaded that was saved.
    """

    recorded: int
    saved_after: int | None
    killed_after: int | None
    resumed: int | None
    compared: int


class Threads(_Document, frozen=True, kw_only=True):
    """The first launch beside one with another number of threads; `same` is null where the program sets its own."""

    first: int
    other: int
    same: bool | None


class Doctor(_Document, frozen=True, kw_only=True):
    """`saksi doctor --json`. `repeats`: is the program the same twice; `continues`: does the resume really continue.

    `parts` is the state at the seam, part by part, as `saksi diff` has it. `reasons` are why something is not known.
    """

    schema: Literal["saksi.doctor/v1"] = "saksi.doctor/v1"
    command: tuple[str, ...]
    resumed_with: tuple[str, ...]
    verdict: DoctorVerdict
    sentence: str
    repeats: bool | None
    continues: bool | None
    steps: DoctorSteps
    threads: Threads | None
    ingredients: tuple[Ingredient, ...]
    parts: tuple[Part, ...]
    not_checkable: tuple[NotCheckable, ...]
    reasons: tuple[str, ...]
