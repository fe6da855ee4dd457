"""The last report on an environment, for as long as nothing in it changed.

A report is kept under the state of everything that was listed, and with the state of the few files that only a list
names. It is believed as the digests are (see `stat_cache`): they come from the same folder.
"""

from __future__ import annotations

import os

import msgspec

from saksi.edges.environment.examine import Examined
from saksi.edges.environment.listing import Listing, cache_folder, state_of_listing
from saksi.edges.environment.remembered import RACY_NS
from saksi.edges.environment.stat_cache import load_bytes, save_bytes, stamp_key
from saksi.judgement.environment.report import EnvironmentReport

__all__ = ["keep_report", "recall_report"]


class _Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    state: str
    against: str
    further: dict[str, bytes | None]
    report: EnvironmentReport


def recall_report(listing: Listing, *, against: str) -> EnvironmentReport | None:
    """The report on exactly this listing, compared with what `against` names, or `None`."""
    state, folder = state_of_listing(listing), cache_folder(listing.question)
    kept = None if state is None or folder is None else load_bytes(folder / "report")
    if kept is None:
        return None
    try:
        decoded = msgspec.msgpack.decode(kept, type=_Kept)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    same = decoded.state == state and decoded.against == against
    if not same or any(_state(path) != expected for path, expected in decoded.further.items()):
        return None
    return decoded.report


def keep_report(listing: Listing, examined: Examined, report: EnvironmentReport, *, against: str) -> None:
    """Keep `report`, if everything that it rests on has a state that would show a change.

    One in which a comparison failed is not kept: it may have been for want of time or memory.
    """
    state, folder = state_of_listing(listing), cache_folder(listing.question)
    if state is None or folder is None or (listing.question.bytecode and report.bytecode.not_checked):
        return
    if any(_is_young(path, listing.now_ns) for path in examined.further):
        return
    kept = _Kept(state=state, against=against, further=examined.further, report=report)
    try:
        content = msgspec.msgpack.encode(kept)
    except UnicodeEncodeError:
        return  # a path that is no text; without a report everything works, more slowly
    save_bytes(folder / "report", content)


def _state(path: str) -> bytes | None:
    try:
        return stamp_key(os.stat(path))  # noqa: PTH116 - as text
    except (OSError, ValueError):
        return None


def _is_young(path: str, now_ns: int) -> bool:
    try:
        found = os.stat(path)  # noqa: PTH116 - as text
    except (OSError, ValueError):
        return False
    return now_ns - max(found.st_mtime_ns, found.st_ctime_ns) <= RACY_NS
