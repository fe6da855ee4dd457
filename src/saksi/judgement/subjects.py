"""A pattern for the subject of a finding, as whoever explains or expects one writes it."""

from __future__ import annotations

__all__ = ["fits"]


def fits(pattern: str, subject: str) -> bool:
    """Whether `subject` is `pattern`, in which `*` stands for any text. Linear: no pattern can make it search long."""
    first, *others = pattern.split("*")
    if not others:
        return pattern == subject
    last = others.pop()
    if len(subject) < len(first) + len(last) or not subject.startswith(first) or not subject.endswith(last):
        return False
    at, end = len(first), len(subject) - len(last)
    for part in others:
        found = subject.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
