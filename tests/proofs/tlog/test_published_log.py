"""The 15-entry log that transparency-dev/tessera publishes."""

from __future__ import annotations

import pytest

from saksi.proofs.tlog.log_checkpoint import open_log_checkpoint
from saksi.proofs.tlog.merkle import (
    consistency_proof,
    leaf_hashes,
    root_of,
    verify_consistency,
)
from saksi.proofs.tlog.note import enrol, format_verifier_key
from saksi.proofs.tlog.tiles import decode_bundle, hash_from_tiles, parse_tile_path, tile_path, tiles_for

VKEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
SIZE = 15


@pytest.fixture(scope="module")
def heads(vectors):
    key = enrol(VKEY)
    assert format_verifier_key(key) == VKEY
    return [
        open_log_checkpoint((vectors / "tlog" / f"checkpoint.{size}").read_bytes(), [key]) for size in range(SIZE + 1)
    ]


@pytest.fixture(scope="module")
def entries(vectors):
    return decode_bundle((vectors / f"tlog/tile/entries/000.p/{SIZE}").read_bytes(), width=SIZE)


def test_every_head_is_signed_and_is_the_root_of_its_entries(heads, entries):
    for size, head in enumerate(heads):
        assert (head.origin, head.size, head.extensions) == ("example.com/log/testdata", size, ())
        assert head.root == root_of(leaf_hashes(entries[:size]))


def test_every_tile_and_bundle_holds_what_its_path_says(vectors, entries):
    files = [each for each in (vectors / "tlog" / "tile").rglob("*") if each.is_file()]
    assert len(files) == 2 * SIZE
    for each in files:
        tile = parse_tile_path(each.relative_to(vectors / "tlog").as_posix())
        content = each.read_bytes()
        if tile.level == 0:
            assert content == b"".join(leaf_hashes(entries[: tile.width]))
        else:
            assert decode_bundle(content, width=tile.width) == entries[: tile.width]


def test_every_pair_of_heads_is_consistent(vectors, heads):
    for new in range(1, SIZE + 1):
        read_hash = hash_from_tiles(lambda tile: (vectors / "tlog" / tile_path(tile)).read_bytes(), new)
        assert [tile_path(tile) for tile in tiles_for(new)] == [f"tile/0/000.p/{new}"]
        for old in range(1, new + 1):
            verify_consistency(
                old_size=old,
                new_size=new,
                old_root=heads[old].root,
                new_root=heads[new].root,
                proof=consistency_proof(old_size=old, new_size=new, read_hash=read_hash),
            )
