"""The bundle of a run for the account whose job it was: reading its record without entering the agent's home."""

from __future__ import annotations

from saksi.edges.runs import open_run
from saksi.edges.store.durable import told
from saksi.judgement.bundle import pack
from saksi.judgement.items import blob_of
from saksi.processes.agent.node_plan import NodeHome
from saksi.words.codec import decode_record
from saksi.words.errors import StoreError, UsageError

__all__ = ["bundle_of"]

MAX_BLOBS: int = 256 << 20
"""Of a bundle that is made in memory for somebody else; a larger run is bundled by the agent's own account."""
MAX_JOURNAL: int = 256 << 20
"""Of its entries, asked before any of them is read."""


def bundle_of(place: NodeHome, account: int, text: str) -> bytes:
    """The bundle of the run that `text` means among those of `account` (root: among all). Raises `SaksiError`."""
    run, folder = place.run_of(account, text)
    with told("look at", folder):
        if (folder / "journal").stat().st_size > MAX_JOURNAL:
            raise _too_large(run)
    found = open_run(folder)
    if found.head is None:
        raise UsageError(f"run {found.run} has no signed head yet", remedy="wait until its first records are written")
    named, size = {}, 0
    for index, entry in enumerate(found.entries):
        digest = blob_of(decode_record(entry, where=f"index {index}"))
        content = None if digest is None or digest in named else found.blob(digest)
        if digest is None or content is None:
            continue  # a blob that is not there is what the bundle's reader is told
        named[digest] = content
        size += len(content)
        if size > MAX_BLOBS:
            raise _too_large(run)
    return pack(run=found.run, head=found.head, entries=found.entries, blobs=named)


def _too_large(run: str) -> StoreError:
    return StoreError(f"run {run} is too large to be handed over", remedy="ask the agent's account for `saksi bundle`")
