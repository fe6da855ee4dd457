"""What is said of a flag that changed: torch's own settings, a limit of the kernel, or where a stream of output goes.

Pure. The names are those of a `live` frame (`spec/frames.md`).
"""

from __future__ import annotations

from typing import Final

from saksi.judgement.checks.live_said import Said

__all__ = ["said_of_flag"]

ORDER_OF_SUMS: Final = frozenset({"threads"})
"""Flags that move only the last places of results; programs set them as they go, around a loader or an evaluation."""
LIMIT: Final = "limit of "
STREAM: Final = "stream "
NO_LIMIT: Final = "none"
LOST: Final = frozenset({"nowhere", "closed"})
"""Where a stream leads if nobody can read what is written to it."""


def said_of_flag(name: str, old: str, new: str) -> Said:
    """The flag `name` was `old` when it was last said, and is `new` now."""
    if name.startswith(LIMIT):
        message = f"It was {old} at the inventory before and is {new} now."
        return Said("live.limit_changed", "warning" if _is_lower(new, old) else "info", name, message)
    if name.startswith(STREAM):
        message = f"It led to {_spoken(old)} at the inventory before and leads to {_spoken(new)} now."
        lost = new in LOST and old not in LOST
        return Said("live.stream_changed", "warning" if lost else "info", name, message)
    message = f"It was {old} at the inventory before and is {new} now."
    return Said("live.flag_changed", "info" if name in ORDER_OF_SUMS else "warning", name, message)


def _is_lower(new: str, old: str) -> bool:
    """A limit is digits or `none`; what is neither was not said by our recorder, and is taken for lower."""
    if new == NO_LIMIT:
        return False
    return old == NO_LIMIT or not (new.isdigit() and old.isdigit()) or int(new) < int(old)


def _spoken(where: str) -> str:
    return {"nowhere": "the null device", "closed": "nothing: it is closed"}.get(where, where)
