"""A run's judgement as it counts in this home: without the findings that somebody here explained."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import msgspec

from saksi.doors.cli.reading import judged, suppressions_on
from saksi.edges.runs import RunMaterials
from saksi.judgement.suppressions import SetApart
from saksi.judgement.verdict import Judgement, verdict_of

__all__ = ["Explained", "explained"]


class Explained(NamedTuple):
    """`judgement` has the findings that count and the verdict that follows from them; `apart` has all of them."""

    judgement: Judgement
    apart: SetApart


def explained(reading: RunMaterials, *, now: datetime) -> Explained:
    """The run's judgement, and what is set apart of it. Raises `MalformedInput`, `StoreError`, `UsageError`."""
    judgement = judged(reading)
    apart = suppressions_on(reading, judgement, now=now)
    if not apart.suppressed:
        return Explained(judgement, apart)
    verdict = verdict_of(judgement, apart.standing)
    if verdict == "clean" and reading.short is not None:
        verdict = "unknown"
    report = msgspec.structs.replace(judgement.report, items=apart.standing, verdict=verdict)
    return Explained(msgspec.structs.replace(judgement, report=report), apart)
