"""Which processes of an attempt trained together: a launcher may start all ranks again, and another number of them.

Rules: a group has each rank once and one world size; a process joins no group of which a member had ended before it
attached, since a launcher that starts ranks again ends the old ones first; where several groups are open, those started
by the same parent belong together. Nothing is taken from counters, which begin at 0 in every process.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from heapq import heappop, heappush
from math import inf

import msgspec

__all__ = ["Member", "grouped", "present_ranks"]


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


def present_ranks(members: Sequence[Member], groups: Sequence[Sequence[int]]) -> list[frozenset[int]]:
    """For each group the ranks of all members that ran while it did, its own among them: one may be replaced alone.

    `groups` are as `grouped` returns them. The work grows with how many ran beside each other, not with all of them:
    a launcher may start thousands of processes one after the other.
    """
    order = sorted(range(len(members)), key=lambda at: members[at].begun)
    begins = [members[at].begun for at in order]
    present: dict[int, frozenset[int]] = {}
    running: list[tuple[float, int]] = []
    entered = 0
    for number in sorted(range(len(groups)), key=lambda number: _begun(members, groups[number])):
        begun, ended = _begun(members, groups[number]), _ended(members, groups[number])
        while entered < len(order) and begins[entered] <= begun:
            heappush(running, (_end(members[order[entered]]), order[entered]))
            entered += 1
        while running and running[0][0] < begun:
            heappop(running)
        later = order[entered : bisect_right(begins, ended)]
        beside = (members[at] for at in (*(at for _, at in running), *later))
        mine = members[groups[number][0]]
        present[number] = frozenset(
            each.rank for each in beside if each.attempt == mine.attempt and each.world_size in (None, mine.world_size)
        )
    return [present[number] for number in range(len(groups))]


def _begun(members: Sequence[Member], group: Sequence[int]) -> int:
    return min(members[at].begun for at in group)


def _ended(members: Sequence[Member], group: Sequence[int]) -> float:
    return max(_end(members[at]) for at in group)


def _end(member: Member) -> float:
    return inf if member.ended is None else member.ended
