from __future__ import annotations

import pytest

from saksi.edges.store.memory import Fate, MemoryDisk, MemoryStore, Outcome
from saksi.words.errors import NotStored, StoreError


def opened(disk, faults=None):
    store = MemoryStore(disk, faults=faults)
    store.lock()
    return store


@pytest.mark.parametrize(("outcome", "kept"), [(Outcome.LOST, b""), (Outcome.KEPT, b"frame!"), (Outcome.TORN, b"fra")])
def test_a_failed_append_leaves_what_its_outcome_says(outcome, kept):
    store = opened(MemoryDisk(), lambda call: outcome if call.verb == "append" else None)
    with pytest.raises(StoreError, match="simulated"):
        store.append(b"frame!")
    assert store.journal() == kept


@pytest.mark.parametrize(("outcome", "kept"), [(Outcome.LOST, None), (Outcome.KEPT, b"h"), (Outcome.TORN, None)])
def test_a_failed_swap_is_atomic(outcome, kept):
    store = opened(MemoryDisk(), lambda call: outcome if call.verb == "swap_head" else None)
    with pytest.raises(StoreError):
        store.swap_head(None, b"h")
    assert store.load_head() == kept


@pytest.mark.parametrize(("fate", "found"), [(Fate.KEPT, b"soft"), (Fate.LOST, None), (Fate.TORN, b"so")])
def test_a_crash_decides_on_what_was_not_durable(fate, found):
    disk = MemoryDisk()
    store = opened(disk)
    store.write_once("log/tile/0/000", b"hard")
    store.write_once("log/tile/0/001", b"soft", durable=False)
    disk.crash(lambda _name: fate)
    store = opened(disk)
    assert store.read("log/tile/0/000") == b"hard"
    if found is None:
        with pytest.raises(NotStored):
            store.read("log/tile/0/001")
    else:
        assert store.read("log/tile/0/001") == found


def test_a_crash_may_bring_back_what_was_discarded():
    disk = MemoryDisk()
    store = opened(disk)
    store.write_once("log/tile/0/000.p/3", b"abc")
    store.discard("log/tile/0/000.p/3")
    assert list(store.names("")) == []
    disk.crash(lambda _name: Fate.LOST)
    assert list(opened(disk).names("")) == ["log/tile/0/000.p/3"]


def test_writing_the_same_bytes_durably_makes_them_durable():
    disk = MemoryDisk()
    store = opened(disk)
    store.write_once("log/tile/0/000", b"x", durable=False)
    store.write_once("log/tile/0/000", b"x")
    disk.crash()
    assert opened(disk).read("log/tile/0/000") == b"x"


def test_calls_are_numbered_for_the_fault_hook():
    seen = []
    store = opened(MemoryDisk(), seen.append)
    store.append(b"x")
    store.journal()
    assert [(c.number, c.verb) for c in seen] == [(0, "lock"), (1, "append"), (2, "journal")]
