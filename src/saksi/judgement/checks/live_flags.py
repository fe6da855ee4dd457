"""What is said of a flag that changed: torch's own settings, a limit of the kernel, or where a stream of output goes.

Pure. The names are those of a `live` frame (`spec/frames.md`), and the values whatever a process says.

A limit or a stream weighs where it is worse than it was at first as well: what is raised and put back is as it was.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from saksi.judgement.checks.live_said import Said

__all__ = ["UNSET", "FlagChange", "said_of_flag"]

UNSET: Final = "unset"
"""For a flag that an inventory does not have."""
ORDER_OF_SUMS: Final = frozenset({"threads"})
"""Flags that move only the last places of results; programs set them as they go, around a loader or an evaluation."""
LIMIT: Final = "limit of "
STREAM: Final = "stream "
NO_LIMIT: Final = "none"
LOST: Final = frozenset({"nowhere", "closed"})
"""Where a stream leads if nobody can read what is written to it."""
_NUMBER: Final = re.compile(r"[0-9]{1,20}")


class FlagChange(NamedTuple):
    """The flag `name` was `first` at the first inventory, `old` at the one before, and is `new`."""

    name: str
    first: str
    old: str
    new: str


def said_of_flag(change: FlagChange) -> Said:
    """What is said of it."""
    name, first, old, new = change
    if name.startswith(LIMIT):
        message = f"It was {old} at the inventory before and is {new} now."
        weighs = _is_lower(new, old) and _is_lower(new, first)
        return Said("live.limit_changed", "warning" if weighs else "info", name, message)
    if name.startswith(STREAM):
        message = f"It led to {_spoken(old)} at the inventory before and leads to {_spoken(new)} now."
        weighs = new in LOST and old not in LOST and first not in LOST
        return Said("live.stream_changed", "warning" if weighs else "info", name, message)
    message = f"It was {old} at the inventory before and is {new} now."
    return Said("live.flag_changed", "info" if name in ORDER_OF_SUMS else "warning", name, message)


def _is_lower(new: str, old: str) -> bool:
    """A limit is a number or `none`; what is neither was not said by our recorder, and is taken for lower."""
    if new == NO_LIMIT:
        return False
    if not _NUMBER.fullmatch(new):
        return True
    return not _NUMBER.fullmatch(old) or int(new) < int(old)


def _spoken(where: str) -> str:
    return {"nowhere": "the null device", "closed": "nothing: it is closed"}.get(where, where)
