import fcntl
import os

import pytest

from saksi.edges.runs import is_written_now, open_run, read_run
from saksi.edges.store.local import LocalStore
from saksi.edges.store.memory import MemoryDisk, MemoryStore
from saksi.judgement.verify import Trust, VerificationPolicy, verify
from saksi.proofs.journal import encode_frames
from saksi.proofs.projection import Projection
from saksi.words.blobs import blob_name
from saksi.words.errors import MalformedInput, UsageError
from simulated_run import INSTALLATION, RUN, SimulatedRun, honest_run


def write(store, simulated: SimulatedRun, *, published: bool = False) -> None:
    """What the agent leaves in a store."""
    store.lock()
    for digest, content in simulated.blobs.items():
        store.write_once(blob_name(digest), content)
    if published:
        projection = Projection()
        for each in (*projection.add(simulated.entries), *projection.partials()):
            store.write_once(each.name, each.content)
        store.replace("log/checkpoint", simulated.head())
    else:
        half = len(simulated.entries) // 2
        store.append(encode_frames(0, simulated.entries[:half]))
        store.append(encode_frames(half, simulated.entries[half:]))
        store.swap_head(None, simulated.head())
    store.close()


def outcome(materials) -> int:
    return verify(trust=Trust((INSTALLATION.key,)), materials=materials.log, policy=VerificationPolicy()).exit_code


@pytest.fixture
def folder(tmp_path):
    return tmp_path / RUN


def test_a_run_is_read_from_its_journal(folder):
    simulated = honest_run()
    write(LocalStore(folder), simulated)
    run = open_run(folder)
    assert (run.run, run.head, run.entries, run.live, run.short) == (
        RUN,
        simulated.head(),
        simulated.entries,
        False,
        None,
    )
    assert outcome(run) == 0


def test_entries_that_are_staged_and_not_acknowledged_are_left_out(folder):
    simulated = honest_run()
    store = LocalStore(folder)
    write(store, simulated)
    store.lock()
    store.append(encode_frames(len(simulated.entries), [b"{}"]))
    store.close()
    assert outcome(open_run(folder)) == 0


@pytest.mark.parametrize("cut", [1, 200, 3000])
def test_a_truncated_journal_is_read_as_far_as_it_goes_and_refused(folder, cut):
    write(LocalStore(folder), honest_run())
    journal = folder / "journal"
    os.truncate(journal, journal.stat().st_size - cut)
    run = open_run(folder)
    assert run.short is not None
    assert outcome(run) == 1


def test_a_changed_journal_is_refused_though_the_tiles_are_whole(folder):
    simulated = honest_run()
    write(LocalStore(folder), simulated)
    content = bytearray((folder / "journal").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "journal").write_bytes(bytes(content))
    assert outcome(open_run(folder)) == 1


def test_a_published_copy_is_read_from_its_tiles():
    simulated = honest_run()
    for pid in range(600):
        simulated.process(pid=pid + 1, attached=True)
    store = MemoryStore(MemoryDisk())
    write(store, simulated, published=True)
    run = read_run(store, run=RUN, live=False)
    assert (run.entries, run.short) == (simulated.entries, None)


def test_a_published_copy_without_a_tile_is_short():
    simulated = honest_run()
    disk = MemoryDisk()
    write(MemoryStore(disk), simulated, published=True)
    for name in [each for each in disk.objects if "entries" in each]:
        del disk.objects[name]
    run = read_run(MemoryStore(disk), run=RUN, live=False)
    assert run.short is not None
    assert outcome(run) == 1


def test_a_blob_that_is_gone_is_inconclusive():
    disk = MemoryDisk()
    write(MemoryStore(disk), honest_run())
    for name in [each for each in disk.objects if each.startswith("blobs/")]:
        del disk.objects[name]
    assert outcome(read_run(MemoryStore(disk), run=RUN, live=False)) == 3


def test_a_run_that_never_had_a_head(folder):
    folder.mkdir()
    run = open_run(folder)
    assert (run.head, run.short) == (None, "there is no head")
    assert outcome(run) == 3


def test_a_head_that_does_not_parse_is_malformed(folder):
    folder.mkdir()
    (folder / "head").write_bytes(b"garbage")
    with pytest.raises(MalformedInput):
        open_run(folder)


def test_what_is_no_run_is_a_mistake_of_the_caller(tmp_path):
    for name in ("nothing", RUN):
        with pytest.raises(UsageError):
            open_run(tmp_path / name)


def test_a_run_is_live_while_its_lock_is_held(folder):
    store = LocalStore(folder)
    assert not is_written_now(folder)
    store.lock()
    assert is_written_now(folder)
    store.close()
    assert not is_written_now(folder)


def test_a_stale_or_odd_lock_is_not_live(folder):
    folder.mkdir()
    for text in (b"", b"0\n", b"x", b"999999999999999999"):
        (folder / "lock").write_bytes(text)
        assert not is_written_now(folder)


def test_looking_takes_no_lock_of_a_writer_that_is_gone(folder):
    folder.mkdir()
    (folder / "lock").write_bytes(b"999999999\n")
    assert not is_written_now(folder)
    with (folder / "lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
