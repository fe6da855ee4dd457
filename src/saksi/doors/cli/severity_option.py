"""A severity as an option gives it."""

from __future__ import annotations

from saksi.words.errors import UsageError
from saksi.words.findings import SEVERITIES, Severity

__all__ = ["severity_of"]


def severity_of(text: str, option: str) -> Severity:
    """The severity that `text` names. Raises `UsageError` naming the option."""
    for each in SEVERITIES:
        if each == text:
            return each
    raise UsageError(f"{option} {text[:80]!r} is not a severity", remedy=f"one of {', '.join(SEVERITIES)}")
