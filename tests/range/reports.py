"""A report of the range, by hand."""

from __future__ import annotations

from saksi.range.report import Accusation, CaseLine, Judged, RangeReport, Total, VariantLine

ACCUSED = Accusation(
    code="state.changed_between_steps",
    severity="warning",
    alleges="unknown",
    subject="parameters",
    first_step=3,
    message="They changed.",
)


def case_line(judged: tuple[Judged, ...] = (), *, error: str | None = None, reason: str = "") -> CaseLine:
    return CaseLine(
        case="X01-toy",
        row="X01",
        group="X",
        layers=("live",),
        seed="1",
        parameters={},
        first_step=7,
        approved_with_it=False,
        launch_seconds=0.0,
        judging_seconds=0.0,
        replaying_seconds=0.0,
        judged=judged,
        replayed=(),
        reason=reason,
        error=error,
    )


def judged(*, found: bool = False, told: bool = False, object_named: bool = False) -> Judged:
    return Judged(
        detector="saksi",
        found=found,
        by=("update.differs",) if found else (),
        object_named=object_named,
        told=told,
        first_step=9 if found else None,
        step_error=2 if found else None,
    )


def variant_line(*accused: Accusation, error: str | None = None, alarmed: tuple[str, ...] = ()) -> VariantLine:
    return VariantLine(
        seed=7,
        variant="v",
        verdict=None if error else "unknown",
        complete=None if error else True,
        accused=accused,
        told=(),
        alarmed=alarmed,
        reasons=(),
        replayed=(),
        launch_seconds=0.0,
        replaying_seconds=0.0,
        error=error,
    )


def report_of(cases: tuple[CaseLine, ...] = (), variants: tuple[VariantLine, ...] = ()) -> RangeReport:
    total = Total(
        detector="saksi",
        cases=len(cases),
        found=0,
        object_named=0,
        steps_given=0,
        steps_exact=0,
        median_step_error=None,
        variants=len(variants),
        variants_accused=0,
    )
    return RangeReport(
        seed=5,
        seeds=1,
        python="Python",
        cases=cases,
        variants=variants,
        totals=(total,),
        failed=sum(each.error is not None for each in (*cases, *variants)),
    )
