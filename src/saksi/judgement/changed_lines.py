"""Where two versions of a text part: the first line that is not the same, and nothing of what it says."""

from __future__ import annotations

__all__ = ["first_changed_line"]


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
