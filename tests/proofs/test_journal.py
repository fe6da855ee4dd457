from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.proofs import journal
from saksi.proofs.journal import (
    Frame,
    Torn,
    encode_frames,
    frames_of,
    parse_journal,
)
from saksi.words.errors import MalformedInput
from saksi.words.limits import MAX_ENTRY_BYTES

batches = st.lists(st.lists(st.binary(max_size=20), min_size=1, max_size=5), max_size=6)


def journal_of(parts):
    staged, first = b"", 0
    for part in parts:
        staged += encode_frames(first, part)
        first += len(part)
    return staged


def test_the_example_of_the_specification():
    frame = encode_frames(5, [b"abc", b""])
    body = b"saksi/j1" + (5).to_bytes(8, "big") + (2).to_bytes(4, "big") + (3).to_bytes(4, "big")
    body += b"\x00\x03\x00\x00" + b"abc"
    assert frame == body + hashlib.sha256(body).digest()


@given(batches)
def test_what_was_staged_is_parsed(parts):
    contents = parse_journal(journal_of(parts))
    assert contents.entries == [entry for part in parts for entry in part]
    assert (contents.good_length, contents.frames, contents.torn) == (len(journal_of(parts)), len(parts), None)


@given(batches, st.data())
def test_any_cut_leaves_the_whole_frames_before_it(parts, data):
    staged = journal_of(parts)
    cut = data.draw(st.integers(0, len(staged)))
    contents = parse_journal(staged[:cut])
    assert staged.startswith(staged[: contents.good_length])
    assert contents.entries == [entry for part in parts for entry in part][: len(contents.entries)]
    assert (contents.torn is None) == (contents.good_length == cut)
    assert parse_journal(staged[: contents.good_length]) == contents._replace(torn=None)


@given(batches.filter(bool), st.data())
def test_any_changed_bit_ends_the_journal_before_its_frame(parts, data):
    staged = bytearray(journal_of(parts))
    at = data.draw(st.integers(0, len(staged) - 1))
    staged[at] ^= 1 << data.draw(st.integers(0, 7))
    contents = parse_journal(bytes(staged))
    assert contents.torn is not None
    assert contents.good_length <= at


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"magic": b"saksi/j2"}, "no frame"),
        ({"first": 1}, "entry 0 was expected"),
        ({"count": 0}, "over the limits"),
        ({"count": 65_537}, "over the limits"),
        ({"length": (1 << 26) + 1}, "over the limits"),
        ({"lengths": [2, 2]}, "do not add up"),
    ],
)
def test_a_frame_with_a_good_digest_is_still_refused(change, reason):
    parts = {"magic": b"saksi/j1", "first": 0, "count": 2, "length": 3, "lengths": [1, 2]} | change
    body = struct.pack(">8sQII", parts["magic"], parts["first"], parts["count"], parts["length"])
    body += struct.pack(">2H", *parts["lengths"]) + b"abc"
    contents = parse_journal(body + hashlib.sha256(body).digest())
    assert reason in contents.torn.reason
    assert contents.entries == []


def test_a_frame_repeated_or_left_out_ends_the_journal():
    one, two = encode_frames(0, [b"one"]), encode_frames(1, [b"two"])
    assert parse_journal(one + one).frames == 1
    assert parse_journal(two).frames == 0
    assert parse_journal(one + two).frames == 2


def test_entries_have_a_limit():
    encode_frames(0, [b"x" * MAX_ENTRY_BYTES])
    with pytest.raises(MalformedInput, match="index 8: 65536 bytes"):
        encode_frames(7, [b"", b"x" * (MAX_ENTRY_BYTES + 1)])


def test_a_large_batch_becomes_several_frames(monkeypatch):
    monkeypatch.setattr(journal, "MAX_FRAME_ENTRIES", 4)
    monkeypatch.setattr(journal, "MAX_FRAME_CONTENT", 10)
    entries = [b"ab"] * 9 + [b"x" * 10, b"y"]
    found = list(frames_of(lambda offset, limit: encode_frames(3, entries)[offset : offset + limit], 0, 3))
    assert [len(f.entries) for f in found] == [4, 4, 1, 1, 1]
    assert [e for f in found for e in f.entries] == entries


@pytest.mark.parametrize("window", [1, 30, 64, 100, 1000])
def test_a_journal_is_read_through_a_small_window(monkeypatch, window):
    monkeypatch.setattr(journal, "_WINDOW", window)
    parts = [[b"x" * n] * 2 for n in range(0, 60, 7)]
    staged = journal_of(parts)
    reads = []

    def read(offset, limit):
        reads.append(limit)
        return (staged + b"torn")[offset : offset + limit]

    *whole, last = frames_of(read)
    assert [e for f in whole for e in f.entries] == [e for part in parts for e in part]
    assert all(isinstance(f, Frame) for f in whole)
    assert whole[-1].end == len(staged)
    assert isinstance(last, Torn)
    assert last.offset == len(staged)


def test_reading_can_begin_at_a_frame():
    parts = [[b"a", b"b"], [b"c"], [b"d"]]
    staged, offset = journal_of(parts), len(journal_of(parts[:1]))
    found = list(frames_of(lambda at, limit: staged[at : at + limit], offset, 2))
    assert [f.entries for f in found] == [(b"c",), (b"d",)]
    assert found[-1].end == len(staged)
