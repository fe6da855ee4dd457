"""What is said of a place of live code, and since when it is so."""

from __future__ import annotations

from typing import Final, NamedTuple

from saksi.judgement.checks.live_places import Place
from saksi.words.findings import Severity

__all__ = ["HONEST", "Said", "Since"]

HONEST: Final = "Libraries that patch torch, and scripts that do so for a purpose, look the same."


class Said(NamedTuple):
    """A finding in the making."""

    code: str
    severity: Severity
    subject: str
    message: str


class Since(NamedTuple):
    """Whether a place was so at the first inventory, and if not, how it was before: `None` if nothing was there."""

    first: bool
    before: Place | None = None
    beside: bool = False
    """Whether the class or module that it belongs to was in the first inventory."""
