"""What detectors are given of a launch, and what they answer. A detector never sees which case it was, or its truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Protocol

import msgspec

from saksi.judgement.replay.values import Audit
from saksi.words.findings import FindingsReport

__all__ = ["MISMATCH", "SAVED", "Alarm", "Detector", "Seen", "StepNumbers"]

MISMATCH: Final = "replay.mismatch"
"""The code of an alarm that a replay gave."""
SAVED: Final = "replay.saved_differs"
"""That of what it only tells: a file that was saved otherwise, while every Step was equal."""


class StepNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """What a curve of the training shows of one Step of one rank; `None` where it was not said, or is no number."""

    rank: int
    step: int
    loss: float | None
    gradient_norm: float | None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One launch as it is left. `approved` and `launched` are digests of its files by path: then, and at the launch.

    `audits` are the answers of a replay to each attempt; empty where none was asked.
    """

    report: FindingsReport
    numbers: tuple[StepNumbers, ...]
    approved: Mapping[str, str]
    launched: Mapping[str, str]
    audits: tuple[Audit, ...] = ()


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a detector holds against a launch. `weighs` is false where it is told and asks nobody to act.

    `about_coverage`: that something was not seen.
    """

    code: str
    text: str
    first_step: int | None = None
    weighs: bool = True
    about_coverage: bool = False


class Detector(Protocol):
    """Anything that can be asked about a launch.

    `names_objects` is whether it says what was done to what, so that its alarms can be held against the truth.
    """

    name: ClassVar[str]
    names_objects: ClassVar[bool]

    def judge(self, seen: Seen) -> tuple[Alarm, ...]:
        """Every alarm, in any order. Never raises for what a launch did."""
        ...
