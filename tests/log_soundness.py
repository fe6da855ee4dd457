"""One checker that re-verifies a log from its bytes. Every test of the agent ends with it.

It shares no code with the writer but the frame parser and the note: roots and tiles are computed here from all leaf
hashes, slowly, so that a mistake of the streaming projection cannot hide itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from saksi.edges.store.protocol import Store
from saksi.processes.agent.soundness import check_log
from saksi.proofs.journal import parse_journal
from saksi.proofs.tlog.log_checkpoint import LogCheckpoint, open_log_checkpoint
from saksi.proofs.tlog.merkle import hash_reader, leaf_hashes, root_of
from saksi.proofs.tlog.note import VerifierKey
from saksi.proofs.tlog.tiles import TILE_WIDTH, bundles_for, decode_bundle, tile_content, tile_path, tiles_for
from saksi.words.errors import NotStored


def assert_log_sound(
    store: Store, keys: Sequence[VerifierKey], acknowledged: Mapping[int, bytes] | Sequence[bytes] = ()
) -> LogCheckpoint | None:
    """Fail unless journal, head, tiles and published note agree and every acknowledged entry is at its index."""
    if not isinstance(acknowledged, Mapping):
        acknowledged = dict(enumerate(acknowledged))
    note = store.load_head()
    if note is None:
        assert not acknowledged
        return None
    head = open_log_checkpoint(note, keys)
    entries = parse_journal(store.journal()).entries[: head.size]
    assert len(entries) == head.size, "the journal is shorter than the head"
    leaves = leaf_hashes(entries)
    assert root_of(leaves) == head.root, "the journal does not hash to the head"
    for index, entry in acknowledged.items():
        assert index < head.size, f"acknowledged entry {index} is beyond the head"
        assert entries[index] == entry, f"acknowledged entry {index} is another"
    _assert_published_sound(store, keys, head, entries)
    problems = check_log(store, keys)
    assert problems == []
    return head


def _assert_published_sound(store, keys, head, entries):
    try:
        published = open_log_checkpoint(store.read("log/checkpoint"), keys)
    except NotStored:
        return
    assert published.size <= head.size, "published beyond the head"
    seen = entries[: published.size]
    leaves = leaf_hashes(seen)
    assert root_of(leaves) == published.root
    read_hash = hash_reader(leaves)
    for tile in tiles_for(published.size):
        assert store.read("log/" + tile_path(tile)) == tile_content(tile, read_hash), tile
    for tile in bundles_for(published.size):
        first = tile.index * TILE_WIDTH
        stored = decode_bundle(store.read("log/" + tile_path(tile)), width=tile.width)
        assert stored == seen[first : first + tile.width], tile
