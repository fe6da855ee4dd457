from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damage import flipped
from saksi.proofs.tlog.merkle import (
    consistency_proof,
    hash_reader,
    inclusion_proof,
    leaf_hashes,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from saksi.proofs.tlog.tiles import (
    ENTRIES,
    Tile,
    bundles_for,
    decode_bundle,
    encode_bundle,
    hash_from_tiles,
    new_bundles,
    new_tiles,
    parse_tile_path,
    tile_content,
    tile_path,
    tiles_for,
)
from saksi.words.errors import MalformedInput
from saksi.words.limits import MAX_ENTRY_BYTES

tiles = st.builds(Tile, st.integers(ENTRIES, 63), st.integers(0, 2**55 - 1), st.integers(1, 256))
entry_lists = st.lists(st.binary(max_size=40), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 67, 8), "tile/0/067.p/8"),
        (Tile(1, 1234067), "tile/1/x001/x234/067"),
        (Tile(63, 999, 255), "tile/63/999.p/255"),
        (Tile(2, 1000), "tile/2/x001/000"),
        (Tile(ENTRIES, 1234067, 1), "tile/entries/x001/x234/067.p/1"),
    ],
)
def test_published_paths(tile, path):
    assert tile_path(tile) == path
    assert parse_tile_path(path) == tile


@given(tiles)
def test_path_and_tile_are_inverse(tile):
    assert parse_tile_path(tile_path(tile)) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/08",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/001/000",
        "tile/0/x000/001",
        "tile/0/x001",
        "tile/0/x999/x999/x999/x999/x999/999",
        "tile/0/" + "x001/" * 9 + "000",
        "tile/Entries/000",
        "tile/0/\u0660\u0660\u0660",
        "tile/0/000\n",
        "tile/../000",
    ],
)
def test_other_spellings_of_a_path_are_refused(path):
    with pytest.raises(MalformedInput):
        parse_tile_path(path)


@given(st.text(alphabet="tile/0123456789xp.entris", max_size=40) | st.text(max_size=40))
def test_any_text_is_a_path_or_malformed(text):
    with suppress(MalformedInput):
        assert tile_path(parse_tile_path(text)) == text


@pytest.mark.parametrize(
    ("level", "index", "width"), [(-2, 0, 1), (64, 0, 1), (0, -1, 1), (0, 2**55, 1), (0, 0, 0), (0, 0, 257)]
)
def test_tile_outside_every_tree_is_refused(level, index, width):
    with pytest.raises(MalformedInput):
        Tile(level, index, width)


def test_tree_of_70000_has_the_tiles_of_the_specification():
    found = tiles_for(70_000)
    assert [tile for tile in found if tile.level == 0] == [*(Tile(0, at) for at in range(273)), Tile(0, 273, 112)]
    assert [tile for tile in found if tile.level] == [Tile(1, 0), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert bundles_for(70_000) == [*(Tile(ENTRIES, at) for at in range(273)), Tile(ENTRIES, 273, 112)]


def test_tree_of_256_has_a_full_tile_and_a_partial_one_above():
    assert tiles_for(256) == [Tile(0, 0), Tile(1, 0, 1)]
    assert tiles_for(0) == bundles_for(0) == new_tiles(7, 7) == new_bundles(7, 7) == []


@given(st.integers(0, 300_000), st.integers(0, 2_000))
def test_growing_writes_every_tile_that_the_new_tree_has_and_the_old_one_had_not(old, more):
    written = set(new_tiles(old, old + more))
    assert written == set(tiles_for(old + more)) - set(tiles_for(old))
    assert set(new_bundles(old, old + more)) == set(bundles_for(old + more)) - set(bundles_for(old))


@pytest.fixture(scope="module")
def stored():
    """A tree of 70,000 leaves as tiles."""
    leaves = leaf_hashes(b"%d" % number for number in range(70_000))
    read = hash_reader(leaves)
    return leaves, {tile: tile_content(tile, read) for tile in tiles_for(len(leaves))}


def test_proofs_from_tiles_verify_and_read_each_tile_once(stored):
    leaves, store = stored
    size, root = len(leaves), root_of(leaves)
    for index in (0, 255, 256, 12_345, 65_535, 65_536, 69_887, 69_888, 69_999):
        reads = []

        def read_tile(tile, reads=reads):
            reads.append(tile)
            return store[tile]

        proof = inclusion_proof(index=index, size=size, read_hash=hash_from_tiles(read_tile, size))
        verify_inclusion(index=index, size=size, leaf=leaves[index], proof=proof, root=root)
        assert len(reads) == len(set(reads)) <= 5


def test_consistency_proofs_from_tiles_verify(stored):
    leaves, store = stored
    size, root = len(leaves), root_of(leaves)
    for old in (1, 255, 256, 257, 65_535, 65_536, 65_537, 69_999, 70_000):
        proof = consistency_proof(old_size=old, new_size=size, read_hash=hash_from_tiles(store.__getitem__, size))
        assert proof == consistency_proof(old_size=old, new_size=size, read_hash=hash_reader(leaves))
        verify_consistency(old_size=old, new_size=size, old_root=root_of(leaves[:old]), new_root=root, proof=proof)


def test_partial_tile_may_be_answered_by_the_full_one(stored):
    leaves, store = stored
    asked = []

    def read_tile(tile):
        asked.append(tile)
        return store[Tile(tile.level, tile.index)]

    proof = inclusion_proof(index=299, size=300, read_hash=hash_from_tiles(read_tile, 300))
    verify_inclusion(index=299, size=300, leaf=leaves[299], proof=proof, root=root_of(leaves[:300]))
    assert set(asked) == {Tile(0, 1, 44), Tile(1, 0, 1)}


@pytest.mark.parametrize("length", [0, 31, 32 * 11, 32 * 13, 8191, 8224])
def test_tile_of_the_wrong_length_is_refused(length):
    read_hash = hash_from_tiles(lambda _: bytes(length), 12)
    with pytest.raises(MalformedInput, match="not 12 hashes"):
        read_hash(0, 0)


@pytest.mark.parametrize(("level", "index"), [(0, 12), (3, 1), (4, 0), (-1, 0), (0, -1)])
def test_hash_outside_the_tree_is_not_read(level, index):
    def read_tile(tile):
        raise AssertionError(tile)

    with pytest.raises(ValueError, match="no complete subtree"):
        hash_from_tiles(read_tile, 12)(level, index)


@given(entry_lists)
def test_bundle_and_entries_are_inverse(entries):
    assert decode_bundle(encode_bundle(entries), width=len(entries)) == entries


@given(st.binary(max_size=200))
def test_any_bytes_are_a_bundle_or_malformed(content):
    try:
        entries = decode_bundle(content)
    except MalformedInput:
        return
    assert encode_bundle(entries) == content


@given(entry_lists, st.data())
def test_one_bit_changed_in_a_bundle_is_refused_or_changes_the_root(entries, data):
    content = encode_bundle(entries)
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    try:
        changed = decode_bundle(flipped(content, bit), width=len(entries))
    except MalformedInput:
        return
    assert root_of(leaf_hashes(changed)) != root_of(leaf_hashes(entries))


def test_bundle_limits():
    assert decode_bundle(encode_bundle([bytes(MAX_ENTRY_BYTES)] * 256)) == [bytes(MAX_ENTRY_BYTES)] * 256
    with pytest.raises(MalformedInput, match="above the limit"):
        encode_bundle([bytes(MAX_ENTRY_BYTES + 1)])
    with pytest.raises(MalformedInput, match="0 entries"):
        encode_bundle([])
    with pytest.raises(MalformedInput, match="257 entries"):
        encode_bundle([b""] * 257)
    with pytest.raises(MalformedInput, match="more than 256"):
        decode_bundle(bytes(2 * 257))
    with pytest.raises(MalformedInput, match="no entries"):
        decode_bundle(b"")
    with pytest.raises(MalformedInput, match="cut off"):
        decode_bundle(b"\x00\x01a\x00")
    with pytest.raises(MalformedInput, match="instead of 2"):
        decode_bundle(b"\x00\x01a", width=2)
