"""What somebody hears of a finding while the run goes on: one JSON document. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from saksi.judgement.next_steps import next_step
from saksi.words.findings import Finding

__all__ = ["About", "Notice", "notice_of"]


class About(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt that a notice is about; `name` and `project` are what the launch was called."""

    run: str
    attempt: int
    name: str | None
    project: str | None


class Notice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One finding as it was made. `at` is when it was told; `finding` has the members of a record's finding."""

    schema: Literal["saksi.notice/v1"] = "saksi.notice/v1"
    run: str
    attempt: int
    name: str | None
    project: str | None
    at: datetime
    finding: Finding
    next_command: str
    next_answers: str


def notice_of(finding: Finding, about: About, *, at: datetime) -> Notice:
    """The notice of `finding`."""
    step = next_step(finding.code, about.run)
    return Notice(
        run=about.run,
        attempt=about.attempt,
        name=about.name,
        project=about.project,
        at=at,
        finding=finding,
        next_command=step.command,
        next_answers=step.answers,
    )
