"""What `Store` promises, checked for each implementation."""

from __future__ import annotations

import itertools

import pytest

from saksi.edges.store.protocol import Store
from saksi.words.errors import Conflict, HeadConflict, LogBusy, NotStored, StoreError


@pytest.fixture
def store(another):
    made: Store = another()
    made.lock()
    yield made
    made.close()


def test_what_was_written_is_read(store):
    store.write_once("blobs/sha256/ab/cd", b"one")
    store.write_once("log/tile/0/000", b"two", durable=False)
    assert store.read("blobs/sha256/ab/cd") == b"one"
    assert store.read("log/tile/0/000") == b"two"


def test_an_absent_object_is_not_stored(store):
    with pytest.raises(NotStored):
        store.read("log/tile/0/000")


@pytest.mark.parametrize(("first", "second"), list(itertools.product([True, False], repeat=2)))
def test_write_once_accepts_the_same_bytes_and_refuses_others(store, first, second):
    store.write_once("log/tile/0/000", b"one", durable=first)
    store.write_once("log/tile/0/000", b"one", durable=second)
    with pytest.raises(Conflict):
        store.write_once("log/tile/0/000", b"two", durable=second)
    assert store.read("log/tile/0/000") == b"one"


def test_replace_replaces(store):
    store.replace("log/checkpoint", b"one")
    store.replace("log/checkpoint", b"two")
    assert store.read("log/checkpoint") == b"two"


def test_only_partial_tiles_can_be_discarded(store):
    store.write_once("log/tile/0/000.p/5", b"five")
    store.discard("log/tile/0/000.p/5")
    store.discard("log/tile/0/000.p/5")
    assert list(store.names("log/")) == []
    for name in ("log/tile/0/000", "blobs/sha256/ab/cd", "log/checkpoint", "journal", "log/tile/0/000.p/../000"):
        with pytest.raises(ValueError, match="never removed"):
            store.discard(name)


def test_names_are_sorted_and_start_with_the_prefix(store):
    names = ["blobs/sha256/ab/cd", "log/checkpoint", "log/tile/0/000", "log/tile/0/000.p/7", "log/tile/entries/000"]
    for name in reversed(names):
        store.write_once(name, b"x")
    store.append(b"frame")
    store.swap_head(None, b"head")
    assert list(store.names("")) == names
    assert list(store.names("log/ti")) == names[2:]
    assert list(store.names("log/tile/0/000.p/")) == names[3:4]
    assert list(store.names("nowhere/")) == []


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "head",
            "journal",
            "lock",
            "/etc/passwd",
            "a/../b",
            "../x/y",
            "a//b",
            "a/",
            "A/b",
            "a/.b",
            ".a/b",
            "a/b\n",
        ),
        *("a/b\0", "a/" + "b" * 200, "/".join(["a" * 100] * 6), "a\\b/c", "ä/b"),
    ],
)
def test_names_that_break_the_law_are_refused(store, name):
    for verb in (lambda: store.read(name), lambda: store.write_once(name, b""), lambda: store.replace(name, b"")):
        with pytest.raises(ValueError, match="not a name"):
            verb()


def test_the_journal_grows_and_is_cut(store):
    assert store.journal() == b""
    store.append(b"one")
    store.append(b"two")
    assert store.journal() == b"onetwo"
    assert (store.journal(2), store.journal(2, 3), store.journal(9)) == (b"etwo", b"etw", b"")
    store.cut_journal(3)
    store.cut_journal(10)
    store.append(b"three")
    assert store.journal() == b"onethree"


def test_the_head_is_swapped_only_for_the_expected_one(store):
    assert store.load_head() is None
    with pytest.raises(HeadConflict):
        store.swap_head(b"zero", b"one")
    store.swap_head(None, b"one")
    with pytest.raises(HeadConflict):
        store.swap_head(None, b"two")
    store.swap_head(b"one", b"two")
    assert store.load_head() == b"two"


def test_a_second_writer_is_told_who_writes(store, another):
    with pytest.raises(LogBusy):
        another().lock()
    store.lock()  # again by the holder: accepted
    store.close()
    store.close()
    second = another()
    second.lock()
    second.close()


def test_readers_need_no_lock(store, another):
    store.write_once("log/checkpoint", b"note")
    store.append(b"frame")
    store.swap_head(None, b"head")
    reader = another()
    assert reader.read("log/checkpoint") == b"note"
    assert (reader.journal(), reader.load_head(), list(reader.names("log/"))) == (b"frame", b"head", ["log/checkpoint"])


def test_writing_needs_the_lock(another):
    store = another()
    for verb in (
        lambda: store.append(b""),
        lambda: store.cut_journal(0),
        lambda: store.swap_head(None, b""),
        lambda: store.write_once("a/b", b""),
        lambda: store.replace("a/b", b""),
        lambda: store.discard("log/tile/0/000.p/1"),
    ):
        with pytest.raises(StoreError, match="not locked"):
            verb()
