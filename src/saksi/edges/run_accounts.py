"""Which account began a run: what the agent as a service wrote beside the run's first key, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from saksi.edges.store.local import LocalStore
from saksi.proofs.journal import Torn, frame_at
from saksi.words.codec import decode_record
from saksi.words.errors import SaksiError
from saksi.words.records import AttemptKeyRecord

__all__ = ["account_of"]

_FIRST_FRAME: Final = 1 << 20
"""The first frame holds a seal's record and a key's: some kilobytes."""


def account_of(folder: Path) -> int | None:
    """The uid of the account whose job the first attempt was; `None` where the record does not say. Never raises.

    Not verified: only the owner of the home should ask.
    """
    try:
        frame = frame_at(LocalStore(folder).journal(0, _FIRST_FRAME), 0, 0)
        records = [] if isinstance(frame, Torn) else [decode_record(each) for each in frame.entries[:2]]
    except SaksiError:
        return None
    agents = [each.agent for each in records if isinstance(each, AttemptKeyRecord) and each.agent is not None]
    return agents[0].account if agents else None
