"""`saksi range --json`: every case with what each detector said, every honest variant, and the totals.

A case that failed to run has an `error` and no judgements: it is in no total but `failed`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from saksi.judgement.replay.values import ReplayVerdict, Stage
from saksi.range.case import Layer
from saksi.words.findings import Alleges, Severity, Verdict

__all__ = ["Accusation", "CaseLine", "Judged", "RangeReport", "ReplayLine", "Total", "VariantLine"]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the document: every field is always there."""


class Judged(_Document, frozen=True, kw_only=True):
    """What one detector made of one case.

    `object_named`: an alarm that weighs is one that the case lists; null for a detector that names no objects. `told`:
    such an alarm was there, and weighed nothing. `step_error` is its first step less the true one.
    """

    detector: str
    found: bool
    by: tuple[str, ...]
    object_named: bool | None
    told: bool
    first_step: int | None
    step_error: int | None


class ReplayLine(_Document, frozen=True, kw_only=True):
    """What a replay of one attempt said. What follows `first_bad_step` is of the first step that differs, if one does.

    `reason` is why the answer is `not_checkable`.
    """

    attempt: int
    verdict: ReplayVerdict
    replays: int
    first_bad_step: int | None
    stage: Stage | None
    object: str | None
    file: str | None
    tensor: str | None
    operation: str | None
    reason: str | None


class CaseLine(_Document, frozen=True, kw_only=True):
    """One case under one seed. `first_step` is true; `approved_with_it`: it came in before files were approved.

    `replayed` has a line for each attempt, where a replay was asked.
    """

    case: str
    row: str
    group: str
    layers: tuple[Layer, ...]
    seed: str
    parameters: dict[str, int | float | str]
    first_step: int | None
    approved_with_it: bool
    launch_seconds: float
    judging_seconds: float
    replaying_seconds: float
    judged: tuple[Judged, ...]
    replayed: tuple[ReplayLine, ...]
    reason: str
    error: str | None


class Accusation(_Document, frozen=True, kw_only=True):
    """A finding of severity `warning` or above, or one that alleges tampering, of an honest variant."""

    code: str
    severity: Severity
    alleges: Alleges
    subject: str
    first_step: int | None
    message: str


class VariantLine(_Document, frozen=True, kw_only=True):
    """One honest variant, trained with this `seed`.

    `alarmed` names the other detectors that alarmed; `reasons` say why it is not `clean`.
    """

    variant: str
    seed: int
    verdict: Verdict | None
    complete: bool | None
    accused: tuple[Accusation, ...]
    told: tuple[str, ...]
    alarmed: tuple[str, ...]
    reasons: tuple[str, ...]
    replayed: tuple[ReplayLine, ...]
    launch_seconds: float
    replaying_seconds: float
    error: str | None


class Total(_Document, frozen=True, kw_only=True):
    """One detector over all that ran. Steps are counted where it gave one and there is a true one."""

    detector: str
    cases: int
    found: int
    object_named: int | None
    steps_given: int
    steps_exact: int
    median_step_error: float | None
    variants: int
    variants_accused: int


class RangeReport(_Document, frozen=True, kw_only=True):
    """`saksi range --json`. The same `seed` and `seeds` draw the same cases again."""

    schema: Literal["saksi.range/v1"] = "saksi.range/v1"
    seed: int
    seeds: int
    python: str
    cases: tuple[CaseLine, ...]
    variants: tuple[VariantLine, ...]
    totals: tuple[Total, ...]
    failed: int
