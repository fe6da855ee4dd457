"""Who wrote a run's record, and so who could have rewritten it: the evidence level."""

from __future__ import annotations

from collections.abc import Iterable

from saksi.words.codec import decode_record
from saksi.words.records import AgentFacts, AttemptKeyRecord

__all__ = ["independent_agent", "recorders_in"]

_KEY: bytes = b'{"kind":"attempt_key"'


def independent_agent(recorders: Iterable[AgentFacts | None]) -> AgentFacts | None:
    """The agent, if every key of the run is of one that the job's account could not reach; else `None`: level 1.

    `recorders` has one item for each attempt key; `None` is an embedded agent.
    """
    found = list(recorders)
    out_of_reach = [each for each in found if each is not None and each.form == "service" and each.level > 1]
    if not found or len(out_of_reach) != len(found):
        return None
    return out_of_reach[-1] if all(each.uid != each.account for each in out_of_reach) else None


def recorders_in(entries: Iterable[bytes]) -> list[AgentFacts | None]:
    """Who wrote each attempt key in a log. Raises `MalformedInput`."""
    keys = [decode_record(each) for each in entries if each.startswith(_KEY)]
    return [each.agent for each in keys if isinstance(each, AttemptKeyRecord)]
