from __future__ import annotations

import pytest

from saksi.proofs.projection import Projection
from saksi.proofs.tlog.merkle import hash_reader, leaf_hashes, root_of
from saksi.proofs.tlog.tiles import bundles_for, encode_bundle, tile_content, tile_path, tiles_for


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 700, 65_535, 65_536, 65_537 + 256])
def test_a_projection_makes_the_tiles_of_the_specification(size):
    entries = [b"%d" % i for i in range(size)]
    leaves = leaf_hashes(entries)
    projection, stored, start = Projection(), {}, 0
    for step in [1, 300, 4096, 10_000, size]:  # batches that do not end where tiles end
        stored |= dict(projection.add(entries[start : start + step]))
        start += step
    stored |= dict(projection.partials())
    read_hash = hash_reader(leaves)
    expected = {"log/" + tile_path(tile): tile_content(tile, read_hash) for tile in tiles_for(size)}
    for tile in bundles_for(size):
        first = tile.index * 256
        expected["log/" + tile_path(tile)] = encode_bundle(entries[first : first + tile.width])
    assert stored == expected
    assert projection.size == size
    assert projection.edge().root() == root_of(leaves)


def test_a_copied_projection_stands_alone():
    projection = Projection()
    list(projection.add([b"x"] * 300))
    other = projection.copy()
    list(other.add([b"y"] * 300))
    assert projection.partials() != other.partials()
    assert (projection.size, other.size) == (300, 600)
    assert projection.edge().root() == root_of(leaf_hashes([b"x"] * 300))
