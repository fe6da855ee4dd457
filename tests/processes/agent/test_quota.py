from __future__ import annotations

import pytest

from saksi.edges.store.memory import MemoryDisk, MemoryStore
from saksi.processes.agent.quota import Quota, QuotaStore
from saksi.words.errors import NotStored, StoreError

BLOB = "blobs/sha256/ab/" + "c" * 62


def stored(quota):
    store = QuotaStore(MemoryStore(MemoryDisk()), quota)
    store.lock()
    store.begun = True
    return store


def test_blobs_are_given_up_first_and_records_last():
    quota = Quota(100_000)
    store = stored(quota)
    store.write_once(BLOB, b"x")
    store.append(b"frame")
    quota.measured(91_000)
    store.write_once(BLOB.replace("c", "d"), b"y")
    assert store.thinned == 1
    with pytest.raises(NotStored):
        store.read(BLOB.replace("c", "d"))
    assert store.read(BLOB) == b"x"
    store.append(b"frame")
    quota.measured(100_000)
    with pytest.raises(StoreError, match="quota"):
        store.append(b"frame")
    assert store.journal() == b"frameframe"


def test_what_is_written_counts_until_the_home_is_measured_again():
    quota = Quota(100_000)
    store = stored(quota)
    for number in range(40):
        store.write_once(f"blobs/sha256/ab/{number:062}", b"x")  # small files take a block each
    assert store.thinned > 0
    quota.measured(0)
    store.write_once(BLOB, b"x")
    assert store.read(BLOB) == b"x"


def test_the_seal_is_never_given_up():
    store = QuotaStore(MemoryStore(MemoryDisk()), Quota(1))
    store.lock()
    store.write_once(BLOB, b"the seal")
    assert store.read(BLOB) == b"the seal"


def test_without_a_quota_nothing_is_given_up():
    quota = Quota(None)
    quota.measured(2**60)
    assert quota.takes_blobs()
    assert quota.takes_records()
