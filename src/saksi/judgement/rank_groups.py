"""Which processes of an attempt trained together: a launcher may start all ranks again, and another number of them.

Rules: a group has each rank once and one world size; a process joins no group of which a member had ended before it
attached, since a launcher that starts ranks again ends the old ones first; where several groups are open, those started
by the same parent belong together. Nothing is taken from counters, which begin at 0 in every process.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

__all__ = ["Member", "grouped", "overlapping"]


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One process that trained. `begun` and `ended` are entries of the log; what is not known is `None`."""

    attempt: int
    rank: int
    world_size: int | None
    parent: int | None
    begun: int
    ended: int | None


class _Group:
    """A group while it is being gathered."""

    __slots__ = ("ended", "members", "parents", "ranks", "world_size")

    def __init__(self) -> None:
        self.members: list[int] = []
        self.ranks: set[int] = set()
        self.parents: set[int] = set()
        self.world_size: int | None = None
        self.ended: int | None = None

    def add(self, at: int, member: Member) -> None:
        self.members.append(at)
        self.ranks.add(member.rank)
        if member.parent is not None:
            self.parents.add(member.parent)
        self.world_size = member.world_size if self.world_size is None else self.world_size
        if member.ended is not None:
            self.ended = member.ended if self.ended is None else min(self.ended, member.ended)

    def is_open_to(self, member: Member) -> bool:
        fits = None in (member.world_size, self.world_size) or member.world_size == self.world_size
        return fits and member.rank not in self.ranks


def grouped(members: Sequence[Member]) -> list[list[int]]:
    """The places of `members` in groups, by attempt and then in the order in which the groups began.

    `members` come in the order in which they attached.
    """
    groups: dict[int, list[_Group]] = {}
    running: dict[int, list[_Group]] = {}
    for at, member in enumerate(members):
        still = [each for each in running.get(member.attempt, ()) if each.ended is None or each.ended > member.begun]
        fitting = [each for each in still if each.is_open_to(member)]
        siblings = [each for each in fitting if member.parent in each.parents]
        found = next(reversed(siblings or fitting), None)
        if found is None:
            found = _Group()
            groups.setdefault(member.attempt, []).append(found)
            still.append(found)
        found.add(at, member)
        running[member.attempt] = still
    return [group.members for attempt in sorted(groups) for group in groups[attempt]]


def overlapping(members: Sequence[Member], group: Sequence[int]) -> list[int]:
    """The places of all members that ran while `group` did, its own among them: a rank may be replaced alone."""
    attempt = members[group[0]].attempt
    world_size = members[group[0]].world_size
    begun = min(members[at].begun for at in group)
    ends = [members[at].ended for at in group]
    ended = None if None in ends else max(end for end in ends if end is not None)
    return [
        at
        for at, each in enumerate(members)
        if each.attempt == attempt
        and each.world_size in (None, world_size)
        and (ended is None or each.begun <= ended)
        and (each.ended is None or each.ended >= begun)
    ]
