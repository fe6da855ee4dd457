"""saksi as it is: every finding of the record is an alarm, and weighs from severity `warning` on."""

from __future__ import annotations

from typing import ClassVar

from saksi.range.detectors.protocol import Alarm, Seen
from saksi.words.findings import at_or_above, is_about_coverage

__all__ = ["Findings"]


class Findings:
    """`saksi findings`."""

    name: ClassVar[str] = "saksi"
    names_objects: ClassVar[bool] = True

    def judge(self, seen: Seen) -> tuple[Alarm, ...]:
        """See `Detector.judge`."""
        return tuple(
            Alarm(
                code=each.code,
                text=f"{each.subject} {each.message}",
                first_step=each.first_step,
                weighs=at_or_above(each.severity, "warning"),
                about_coverage=is_about_coverage(each),
            )
            for each in seen.report.items
        )
