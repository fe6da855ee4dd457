"""Checks: folds over records, the same code live in the agent and offline. `ALL` is the explicit list."""

from __future__ import annotations

from typing import Any, Final

from saksi.judgement.checks.agreement import AGREEMENT
from saksi.judgement.checks.availability import AVAILABILITY
from saksi.judgement.checks.averages import AVERAGES
from saksi.judgement.checks.challenges import CHALLENGES
from saksi.judgement.checks.ckpt_imports import CKPT_IMPORTS
from saksi.judgement.checks.ckpt_state import CKPT_STATES
from saksi.judgement.checks.ckpts import CKPTS
from saksi.judgement.checks.clocks import CLOCKS
from saksi.judgement.checks.continuity import CONTINUITY
from saksi.judgement.checks.coverage import COVERAGE
from saksi.judgement.checks.data import DATA
from saksi.judgement.checks.dynamics import DYNAMICS
from saksi.judgement.checks.environment import ENVIRONMENTS
from saksi.judgement.checks.evaluation import EVALUATIONS
from saksi.judgement.checks.fold import Check, merge
from saksi.judgement.checks.gradient_signs import GRADIENT_SIGNS
from saksi.judgement.checks.gradients import GRADIENTS
from saksi.judgement.checks.hyper_parameters import HYPER_PARAMETERS
from saksi.judgement.checks.judging import Judging
from saksi.judgement.checks.learning_rates import LEARNING_RATES
from saksi.judgement.checks.live_code import LIVE_CODE
from saksi.judgement.checks.mapped import MAPPED
from saksi.judgement.checks.means import MEANS
from saksi.judgement.checks.metrics import METRICS
from saksi.judgement.checks.overflows import OVERFLOWS
from saksi.judgement.checks.parameters import PARAMETERS
from saksi.judgement.checks.plan import PLANS
from saksi.judgement.checks.planned_data import PLANNED_DATA
from saksi.judgement.checks.randomness import RANDOMNESS
from saksi.judgement.checks.reconnections import RECONNECTIONS
from saksi.judgement.checks.rehearsal import REHEARSALS
from saksi.judgement.checks.seal import SEALS
from saksi.judgement.checks.shadow_update import SHADOW_UPDATES
from saksi.judgement.checks.update_sizes import UPDATE_SIZES
from saksi.judgement.checks.witness import CHAINS

__all__ = ["ALL", "Check", "Judging", "merge"]

ALL: Final[tuple[Check[Any], ...]] = (
    COVERAGE,
    CHAINS,
    CLOCKS,
    RECONNECTIONS,
    AVAILABILITY,
    CHALLENGES,
    LIVE_CODE,
    SEALS,
    REHEARSALS,
    PLANS,
    ENVIRONMENTS,
    MAPPED,
    SHADOW_UPDATES,
    GRADIENTS,
    OVERFLOWS,
    CONTINUITY,
    AVERAGES,
    CKPTS,
    CKPT_STATES,
    CKPT_IMPORTS,
    HYPER_PARAMETERS,
    LEARNING_RATES,
    PARAMETERS,
    AGREEMENT,
    MEANS,
    RANDOMNESS,
    DATA,
    PLANNED_DATA,
    UPDATE_SIZES,
    DYNAMICS,
    GRADIENT_SIGNS,
    METRICS,
    EVALUATIONS,
)
