"""A `Finding` is one judgement with evidence: the run did something. An error is saksi's own failure.

"Could not judge" is a finding too. Every code is listed in `CODES`, and has a heading in `docs/checks/`.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = [
    "CODES",
    "COVERAGE_PREFIXES",
    "SEVERITIES",
    "Alleges",
    "Coverage",
    "Finding",
    "FindingsReport",
    "Severity",
    "Verdict",
    "at_or_above",
    "is_about_coverage",
]

Severity = Literal["info", "warning", "critical"]
Alleges = Literal["tampering", "fault", "drift", "unknown"]
Verdict = Literal["clean", "affected", "unknown"]

SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "critical")

CODES: Final = (
    "agreement.batches_equal",
    "agreement.gradient_not_divided",
    "agreement.gradient_not_mean",
    "agreement.means_not_compared",
    "agreement.ranks_weighed",
    "agreement.replicas_differ",
    "availability.failed",
    "availability.killed",
    "availability.silent",
    "availability.stopped",
    "availability.update_overran",
    "ckpt.content_differs",
    "ckpt.executes",
    "ckpt.not_checkable",
    "ckpt.rolled_back",
    "ckpt.state_differs",
    "coverage.block_absent",
    "coverage.gap",
    "coverage.no_exit_record",
    "coverage.no_training_seen",
    "coverage.not_followed",
    "coverage.process_not_checkable",
    "coverage.process_unwitnessed",
    "coverage.rank_ended_silently",
    "coverage.rank_missing",
    "coverage.records_dropped",
    "coverage.samples_thinned",
    "coverage.steps_missing",
    "coverage.uncovered",
    "data.batch_not_planned",
    "data.content_changed",
    "data.content_not_planned",
    "data.epoch_repeated",
    "data.items_not_planned",
    "data.not_checkable",
    "data.not_recomputed",
    "data.order_differs",
    "data.order_not_planned",
    "data.plan_not_checkable",
    "data.repeats_not_planned",
    "data.sample_missing",
    "data.sample_repeated",
    "data.source_changed",
    "data.update_size_changed",
    "dynamics.gradient_norm_jumped",
    "dynamics.gradient_one_sided",
    "dynamics.gradient_vanished",
    "dynamics.loss_jumped",
    "dynamics.not_finite",
    "dynamics.phase_slow",
    "dynamics.slowed",
    "dynamics.stalled",
    "dynamics.updates_left_out",
    "environment.changed",
    "environment.differs",
    "environment.import_shadowed",
    "environment.not_checkable",
    "environment.object_changed",
    "environment.object_differs",
    "environment.object_foreign",
    "environment.variable_differs",
    "gradient.changed_after_backward",
    "gradient.clipping_differs",
    "gradient.not_checkable",
    "gradient.not_followed",
    "gradient.scaled_unevenly",
    "gradient.zeroed",
    "live.builtin_patched",
    "live.code_differs",
    "live.code_replaced",
    "live.default_changed",
    "live.flag_changed",
    "live.hook_added",
    "live.instance_patched",
    "live.limit_changed",
    "live.mode_entered",
    "live.not_checkable",
    "live.operator_overridden",
    "live.stream_changed",
    "metrics.evaluation_items_differ",
    "metrics.loss_differs",
    "metrics.not_compared",
    "optimizer.not_checkable",
    "optimizer.not_recomputed",
    "optimizer.overflow_not_found",
    "optimizer.state_differs",
    "optimizer.update_differs",
    "plan.accumulation_differs",
    "plan.clipping_differs",
    "plan.groups_changed",
    "plan.hyper_parameter_changed",
    "plan.hyper_parameter_differs",
    "plan.learning_rate_differs",
    "plan.learning_rate_scaled",
    "plan.not_checkable",
    "plan.optimizer_differs",
    "plan.parameter_not_trained",
    "plan.parameters_idle",
    "plan.report_differs",
    "plan.steps_exceeded",
    "randomness.state_repeated",
    "rehearsal.batch_differs",
    "rehearsal.hook_added",
    "rehearsal.loss_differs",
    "rehearsal.not_checkable",
    "rehearsal.optimizer_added",
    "rehearsal.rng_differs",
    "rehearsal.root_differs",
    "rehearsal.settings_differ",
    "seal.differs",
    "seal.not_approved",
    "seal.not_checkable",
    "seal.signature_unknown",
    "state.average_differs",
    "state.average_pace_changed",
    "state.changed_between_steps",
    "state.untrained_changed",
    "witness.block_differs",
    "witness.chain_broken",
    "witness.challenge_unanswered",
    "witness.clock_differs",
    "witness.connection_closed",
    "witness.frame_refused",
    "witness.hooks_cleared",
    "witness.peer_refused",
    "witness.recorder_fault",
)
COVERAGE_PREFIXES: Final = (
    "coverage.",
    "ckpt.not_checkable",
    "data.not_checkable",
    "data.plan_not_checkable",
    "environment.not_checkable",
    "gradient.not_checkable",
    "live.not_checkable",
    "optimizer.not_checkable",
    "plan.not_checkable",
    "rehearsal.not_checkable",
    "witness.frame_refused",
    "witness.hooks_cleared",
    "witness.recorder_fault",
)
"""What was not watched or could not be judged: such findings leave a verdict `unknown`, never make it `affected`."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One judgement. `evidence` holds indices of log entries; steps are inclusive, `None` where none applies."""

    code: str
    severity: Severity
    first_step: int | None
    last_step: int | None
    ranks: tuple[int, ...]
    subject: str
    check: str
    message: str
    alleges: Alleges = "unknown"
    evidence: tuple[int, ...] = ()


class Coverage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was watched of what there was to watch. `steps_expected` is `None` when no training process attached."""

    complete: bool
    steps_expected: int | None
    steps_witnessed: int
    ranks: int
    dropped_records: int
    not_checkable: tuple[str, ...] = ()


class FindingsReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that is held of one run, the gravest first."""

    run: str
    verdict: Verdict
    coverage: Coverage
    items: tuple[Finding, ...]


def at_or_above(severity: Severity, floor: Severity) -> bool:
    """Whether `severity` reaches `floor`."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(floor)


def is_about_coverage(finding: Finding) -> bool:
    """Whether the finding says that something was not watched, rather than that something happened."""
    return finding.code.startswith(COVERAGE_PREFIXES)
