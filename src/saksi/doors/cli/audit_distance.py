"""How far a replay is from the record, where a difference proves nothing; and how far two replays here are apart.

Rules: it decides no verdict, and nothing that comes of it changes what was found. Where the program was replayed twice,
the two tell what differs from one replay to the next; where it was not, and that is asked for, it is replayed once more
with another number of threads.
"""

from __future__ import annotations

import msgspec

from saksi.doors.cli.audit_asked import Replays
from saksi.doors.cli.reading import items_of, items_within
from saksi.edges.runs import RunMaterials
from saksi.judgement.distance import BetweenReplays, Distance, distance_of
from saksi.judgement.paired_views import of_attempt
from saksi.judgement.replay.values import Audit
from saksi.judgement.update_views import update_views
from saksi.processes.auditor.launches import NotReplayed

__all__ = ["with_distance"]


def with_distance(replays: Replays, found: Audit, first: RunMaterials, second: RunMaterials | None) -> Audit:
    """The audit with how far apart they are, where there is a difference that proves nothing.

    `second` is another replay with as many threads. Raises what reading the records raises.
    """
    asked = replays.asked
    if found.verdict != "not_checkable" or not found.named:
        return found
    distance = _apart(asked.reading, asked.attempt, first)
    if second is not None:
        return msgspec.structs.replace(found, distance=_with(distance, _between(first, second)))
    if asked.threads is None:
        return msgspec.structs.replace(found, distance=distance)
    try:
        task = msgspec.structs.replace(replays.task, threads=asked.threads)
        again = replays.once("threads", "replaying once more, with another number of threads", task)
    except (NotReplayed, OSError) as refused:
        return msgspec.structs.replace(found, distance=msgspec.structs.replace(distance, reason=str(refused)))
    if again.reading is None:
        distance = msgspec.structs.replace(distance, reason=f"it left no record: {again.ending}")
    else:
        distance = _with(distance, _between(first, again.reading))
    return msgspec.structs.replace(found, distance=distance, replays=found.replays + 1)


def _with(distance: Distance, between: BetweenReplays) -> Distance:
    return msgspec.structs.replace(distance, between_replays=between)


def _between(first: RunMaterials, second: RunMaterials) -> BetweenReplays:
    apart = _apart(first, 0, second)
    return BetweenReplays(
        updates=apart.updates, threads=apart.threads, loss=apart.loss, gradient_norm=apart.gradient_norm
    )


def _apart(one: RunMaterials, attempt: int, replayed: RunMaterials) -> Distance:
    views = of_attempt(update_views(items_within(one, attempt)), attempt)
    return distance_of(views, of_attempt(update_views(items_of(replayed)), 0))
