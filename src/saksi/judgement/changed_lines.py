"""Where two versions of a text part: the first line that is not the same, and nothing of what it says."""

from __future__ import annotations

import msgspec

__all__ = ["Place", "first_changed_line"]


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that was changed, and the first line that was, where both versions are at hand."""

    path: str
    line: int | None


def first_changed_line(before: bytes, after: bytes) -> int | None:
    """The number, from 1, of the first line that differs, in `after`; `None` if none does or one is no text.

    Where `after` only lacks lines at its end, the line behind its last.
    """
    if b"\0" in before or b"\0" in after:
        return None
    try:
        before.decode("utf-8")
        after.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if before == after:
        return None
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    shortest = min(len(old), len(new))
    return next((at for at in range(shortest) if old[at] != new[at]), shortest) + 1
