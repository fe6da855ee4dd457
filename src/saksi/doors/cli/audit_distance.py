"""How far a replay is from the record, where a difference proves nothing; and how far two replays here are apart.

Rules: it decides no verdict. Where the program was replayed twice, the two tell what differs from one replay to the
next; where it was not, and that is asked for, it is replayed once more with another number of threads.
"""

from __future__ import annotations

import msgspec

from saksi.doors.cli.audit_asked import Replays
from saksi.doors.cli.reading import items_of, items_within
from saksi.edges.runs import RunMaterials
from saksi.judgement.distance import Distance, Spread, distance_of
from saksi.judgement.paired_views import of_attempt
from saksi.judgement.replay.recorded import recorded_of
from saksi.judgement.replay.values import Audit
from saksi.judgement.update_views import update_views
from saksi.processes.auditor.launches import NotReplayed

__all__ = ["with_distance"]


def with_distance(replays: Replays, found: Audit, first: RunMaterials, second: RunMaterials | None) -> Audit:
    """The audit with how far apart they are, where there is a difference that proves nothing.

    Raises `OSError`, and what reading the records raises.
    """
    asked = replays.asked
    if found.verdict != "not_checkable" or not found.named:
        return found
    distance = _between(asked.reading, asked.attempt, first)
    spread = None if second is None else _spread(first, second, None)
    more = 0
    if second is None and asked.spread:
        spread, more = _with_other_threads(replays, first), 1
    distance = msgspec.structs.replace(distance, spread=spread)
    return msgspec.structs.replace(found, distance=distance, replays=found.replays + more)


def _with_other_threads(replays: Replays, first: RunMaterials) -> Spread | None:
    """`None` where that replay left no record: what was found stands."""
    threads = 2 if recorded_of(items_of(first), 0).place.threads == 1 else 1
    task = msgspec.structs.replace(replays.task, threads=threads)
    try:
        again = replays.once("spread", "replaying once more, with another number of threads", task)
    except NotReplayed:
        return None
    return None if again.reading is None else _spread(first, again.reading, threads)


def _spread(first: RunMaterials, second: RunMaterials, threads: int | None) -> Spread:
    between = _between(first, 0, second)
    return Spread(threads=threads, loss=between.loss, gradient_norm=between.gradient_norm)


def _between(one: RunMaterials, attempt: int, replayed: RunMaterials) -> Distance:
    views = of_attempt(update_views(items_within(one, attempt)), attempt)
    return distance_of(views, of_attempt(update_views(items_of(replayed)), 0))
