from __future__ import annotations

import pytest

from log_soundness import assert_log_sound
from saksi.edges.store.local import LocalStore
from saksi.edges.store.memory import Fate, MemoryDisk, MemoryStore, Outcome
from saksi.processes.agent import sequencer as under_test
from saksi.processes.agent.sequencer import LogRefused, Sequencer, SequencerStopped
from saksi.processes.agent.soundness import check_log, repair_projections
from saksi.proofs.tlog.log_checkpoint import LogCheckpoint, open_log_checkpoint, sign_log_checkpoint
from saksi.proofs.tlog.merkle import CompactRange, leaf_hashes, root_of
from saksi.proofs.tlog.note import NoteSigner
from saksi.words.errors import LogBusy, MalformedInput, StoreError

ORIGIN = "saksi/run/0011223344556677"
SIGNER = NoteSigner(ORIGIN, bytes(32))
NEXT = NoteSigner(ORIGIN, b"\x01" * 32)
KEYS = [SIGNER.key, NEXT.key]


def entries(first, count):
    return [b"entry %d" % i for i in range(first, first + count)]


def begun(store, count=0, *, published=False):
    log = Sequencer.open(store, ORIGIN, SIGNER)
    if count:
        log.append(entries(0, count))
    if published:
        log.publish()
    return log


def test_appended_entries_are_in_the_log_and_published(another):
    log = begun(another())
    assert log.head.size == 0
    assert log.append(entries(0, 3)) == range(3)
    assert log.append([]) == range(3, 3)
    assert log.append(entries(3, 400)) == range(3, 403)
    assert log.head == LogCheckpoint(origin=ORIGIN, size=403, root=root_of(leaf_hashes(entries(0, 403))))
    assert open_log_checkpoint(log.head_note, KEYS) == log.head
    assert log.published_size == 0
    log.publish()
    assert log.published_size == 403
    log.close()
    assert_log_sound(another(), KEYS, entries(0, 403))


def test_publishing_in_small_steps_leaves_only_current_partial_tiles(another):
    store = another()
    log = begun(store)
    for first in range(0, 600, 37):
        log.append(entries(first, 37))
        log.publish()
        log.publish()  # nothing new: nothing done
        assert_log_sound(store, KEYS, entries(0, first + 37))
    partial = [name for name in store.names("log/tile/") if ".p/" in name]
    assert partial == ["log/tile/0/002.p/117", "log/tile/1/000.p/2", "log/tile/entries/002.p/117"]
    log.close()


def test_each_attempt_goes_on_with_its_own_key(another):
    log = begun(another(), 300, published=True)
    log.close()
    log = Sequencer.open(another(), ORIGIN, NEXT, [SIGNER.key])
    assert log.append(entries(300, 10)) == range(300, 310)
    log.publish()
    log.close()
    assert_log_sound(another(), KEYS, entries(0, 310))
    with pytest.raises(LogRefused, match="cannot be opened"):
        Sequencer.open(another(), ORIGIN, SIGNER)


def test_a_signer_named_after_another_log_is_refused(another):
    with pytest.raises(ValueError, match="not named after"):
        Sequencer.open(another(), "another", SIGNER)


def test_the_head_of_another_log_is_refused(another):
    begun(another(), 3).close()
    other = NoteSigner("saksi/run/ffff", bytes(32))
    with pytest.raises(LogRefused, match="of the log"):
        Sequencer.open(another(), other.name, other, [SIGNER.key])


def test_an_entry_over_the_limit_is_refused_before_anything_is_written(another):
    store = another()
    log = begun(store, 2)
    staged = store.journal()
    with pytest.raises(MalformedInput):
        log.append([b"fine", b"x" * 65_536])
    assert store.journal() == staged
    assert log.append([b"x" * 65_535, b""]) == range(2, 4)


def test_what_was_staged_but_never_acknowledged_is_cut(another):
    store = another()
    log = begun(store, 5, published=True)
    whole = store.journal()
    store.append(under_test.encode_frames(5, entries(5, 3)) + b"saksi/j1 torn")
    log.close()
    log = Sequencer.open(another(), ORIGIN, SIGNER)
    assert another().journal() == whole
    assert log.append([b"other"]) == range(5, 6)
    log.close()
    assert_log_sound(another(), KEYS, [*entries(0, 5), b"other"])


@pytest.mark.parametrize("published", [True, False])
def test_a_journal_shorter_than_the_head_is_refused_and_left_alone(another, published):
    store = another()
    begun(store, 5, published=published)
    store.cut_journal(len(store.journal()) - 1)
    left = store.journal()
    store.close()
    with pytest.raises(LogRefused, match="the log and its head disagree: the journal ends after 0 of 5"):
        begun(store)
    assert store.journal() == left
    assert check_log(store, KEYS) != []
    with pytest.raises(LogRefused):
        repair_projections(store, KEYS)


def test_a_changed_journal_is_refused():
    disk = MemoryDisk()
    begun(MemoryStore(disk), 5)
    for at in range(len(disk.journal)):
        disk.journal[at] ^= 1
        disk.holder = None
        with pytest.raises(LogRefused, match="disagree"):
            begun(MemoryStore(disk))
        disk.journal[at] ^= 1


def test_a_journal_rewritten_with_good_digests_is_refused():
    disk = MemoryDisk()
    begun(MemoryStore(disk), 5)
    disk.holder = None
    disk.journal[:] = under_test.encode_frames(0, [b"forged", *entries(1, 4)])
    with pytest.raises(LogRefused, match="another root"):
        begun(MemoryStore(disk))


def test_a_head_inside_a_frame_is_refused():
    disk = MemoryDisk()
    begun(MemoryStore(disk), 5)
    head = LogCheckpoint(origin=ORIGIN, size=3, root=root_of(leaf_hashes(entries(0, 3))))
    disk.head, disk.holder = sign_log_checkpoint(head, SIGNER), None
    with pytest.raises(LogRefused, match="inside a frame"):
        begun(MemoryStore(disk))


def test_a_lost_head_is_refused_and_never_begun_again():
    disk = MemoryDisk()
    begun(MemoryStore(disk), 5)
    disk.head, disk.holder = None, None
    with pytest.raises(LogRefused, match="no head"):
        begun(MemoryStore(disk))
    assert check_log(MemoryStore(disk), KEYS) == [str(LogRefused("there are entries and no head"))]


@pytest.mark.parametrize("keep", ["published", "tiles"])
def test_a_log_rolled_back_behind_what_readers_saw_is_refused(keep):
    disk = MemoryDisk()
    log = begun(MemoryStore(disk), 5, published=True)
    old = (bytes(disk.journal), disk.head, dict(disk.objects), dict(disk.unflushed))
    log.append(entries(5, 300))
    log.publish()
    disk.journal[:], disk.head, disk.holder = old[0], old[1], None
    if keep == "published":
        disk.unflushed = old[3]
    else:
        disk.objects = old[2]
    with pytest.raises(LogRefused, match=r"signed, the present one|is of a log of at least"):
        begun(MemoryStore(disk))


def test_a_whole_folder_rolled_back_is_refused_against_an_anchor(another):
    disk = MemoryDisk()
    begun(MemoryStore(disk), 5)
    for size, content, reason in [(9, 9, "was signed, the present one has 5"), (3, 4, "another root"), (5, 4, "two")]:
        disk.holder = None
        anchored = LogCheckpoint(origin=ORIGIN, size=size, root=root_of(leaf_hashes(entries(0, content))))
        with pytest.raises(LogRefused, match=reason):
            Sequencer.open(MemoryStore(disk), ORIGIN, SIGNER, known_heads=[anchored])
    disk.holder = None
    anchored = LogCheckpoint(origin=ORIGIN, size=3, root=root_of(leaf_hashes(entries(0, 3))))
    Sequencer.open(MemoryStore(disk), ORIGIN, SIGNER, known_heads=[anchored])


def test_a_second_sequencer_is_refused_while_the_first_writes(another):
    begun(another(), 3)
    with pytest.raises(LogBusy):
        begun(another())


def test_without_locks_the_head_still_lets_only_one_writer_go_on():
    disk = MemoryDisk(locking=False)
    first, second = begun(MemoryStore(disk)), begun(MemoryStore(disk))
    first.append(entries(0, 3))
    with pytest.raises(SequencerStopped, match="not the one this writer expected"):
        second.append([b"other"])
    with pytest.raises(SequencerStopped):
        second.publish()
    assert first.head.size == 3
    first.close()
    log = begun(MemoryStore(disk))
    log.append(entries(3, 1))
    assert_log_sound(MemoryStore(disk), KEYS, entries(0, 4))


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("verb", ["append", "swap_head"])
def test_a_failed_append_stops_the_writer_for_good(verb, outcome):
    disk, failing = MemoryDisk(), []
    store = MemoryStore(disk, faults=lambda call: outcome if call.verb in failing else None)
    log = begun(store, 3)
    failing.append(verb)
    with pytest.raises(SequencerStopped) as caught:
        log.append(entries(3, 1))
    assert isinstance(caught.value.__cause__, StoreError)
    failing.clear()
    for again in (lambda: log.append(entries(3, 1)), log.publish):
        with pytest.raises(SequencerStopped, match="this writer has stopped"):
            again()
    log = begun(store)  # the same store again: recovery
    persisted = verb == "swap_head" and outcome is Outcome.KEPT
    assert log.head.size == (4 if persisted else 3)
    assert_log_sound(store, KEYS, entries(0, 3))


def test_an_interrupt_inside_append_stops_the_writer():
    def interrupt(call):
        if call.verb == "swap_head" and call.number > 10:
            raise KeyboardInterrupt

    log = begun(MemoryStore(MemoryDisk(), faults=interrupt), 3)
    log.append([b"x"])
    with pytest.raises(KeyboardInterrupt):
        log.append([b"x"])
    with pytest.raises(SequencerStopped, match="interrupted"):
        log.append([b"x"])


@pytest.mark.parametrize("outcome", [Outcome.LOST, Outcome.KEPT])
def test_publishing_can_be_tried_again_after_a_failure(outcome):
    for number in range(30):
        disk, failing = MemoryDisk(), [False]

        def faults(call, failing=failing, number=number):
            if not failing[0]:
                return None
            failing[0] = failing[0] - 1 if failing[0] > 1 else 0
            return None if failing[0] else outcome

        store = MemoryStore(disk, faults=faults)
        log = begun(store, 300, published=True)
        log.append(entries(300, 300))
        failing[0] = number + 2  # the call with this number from here on fails
        try:
            log.publish()
        except StoreError:
            failing[0] = 0
            assert_log_sound(store, KEYS, entries(0, 600))
            log.publish()
            log.append(entries(600, 1))
            log.publish()
            assert_log_sound(store, KEYS, entries(0, 601))
        else:
            assert number > 8
            break
    else:
        pytest.fail("publishing has more calls than were made to fail")


@pytest.mark.parametrize("fate", list(Fate))
def test_tiles_that_a_crash_took_are_made_again(fate):
    disk = MemoryDisk()
    log = begun(MemoryStore(disk), 700, published=True)
    log.append(entries(700, 5))
    disk.crash(lambda _name: fate)
    store = MemoryStore(disk)
    if fate is not Fate.KEPT:
        assert check_log(store, KEYS) != []
    log = begun(store)
    assert_log_sound(store, KEYS, entries(0, 705))
    assert log.published_size == 700
    log.append(entries(705, 1))
    log.publish()
    assert_log_sound(store, KEYS, entries(0, 706))


def test_a_torn_tile_of_a_local_store_is_found_and_made_again(tmp_path):
    begun(LocalStore(tmp_path / "run"), 300, published=True).close()
    store = LocalStore(tmp_path / "run")
    tile = tmp_path / "run/log/tile/entries/000"
    whole = tile.read_bytes()
    tile.write_bytes(whole[:100])
    (tmp_path / "run/log/tile/1/000.p/1").unlink()
    (tmp_path / "run/log/tile/0/notes.txt").write_bytes(b"?")
    assert check_log(store, KEYS) == [
        "log/tile/1/000.p/1: missing",
        "log/tile/entries/000: differs from the journal",
        "log/tile/0/notes.txt: not part of a log",
    ]
    store.lock()
    assert repair_projections(store, KEYS) == ["log/tile/1/000.p/1", "log/tile/entries/000"]
    assert tile.read_bytes() == whole
    (tmp_path / "run/log/tile/0/notes.txt").unlink()
    store.close()
    assert_log_sound(store, KEYS, entries(0, 300))


def test_a_published_note_that_no_key_opens_is_repaired_but_not_written_over_unasked(another):
    store = another()
    begun(store, 300, published=True)
    note = store.read("log/checkpoint")
    store.replace("log/checkpoint", note.replace(b"300", b"299"))
    store.close()
    with pytest.raises(LogRefused, match="log/checkpoint cannot be opened"):
        begun(store)
    store.lock()
    assert repair_projections(store, KEYS) == ["log/checkpoint"]
    assert store.read("log/checkpoint") == note
    assert_log_sound(store, KEYS, entries(0, 300))


def test_a_blob_with_other_bytes_than_its_name_says_is_found(another):
    store = another()
    begun(store, 1)
    store.write_once("blobs/sha256/ab/" + "c" * 62, b"?")
    store.write_once("blobs/sha256/2c/f24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", b"hello")
    (problem,) = check_log(store, KEYS)
    assert problem.startswith("blobs/sha256/ab/" + "c" * 62)


def test_a_folder_without_a_log_is_sound(another):
    assert check_log(another(), KEYS) == []


def test_a_head_that_does_not_continue_the_last_is_never_signed():
    log = begun(MemoryStore(MemoryDisk()), 3)
    log._edge = CompactRange()  # a defect of ours, or memory gone bad
    log._edge.extend(leaf_hashes([b"a", b"b", b"c"]))
    with pytest.raises(LogRefused, match="does not continue"):
        log.append([b"d"])
    with pytest.raises(SequencerStopped):
        log.append([b"d"])


def test_a_journal_that_does_not_read_back_is_not_published():
    disk = MemoryDisk()
    log = begun(MemoryStore(disk), 300)
    disk.journal[50] ^= 1
    with pytest.raises(LogRefused, match="cannot be read back"):
        log.publish()
    assert list(MemoryStore(disk).names("log/")) == []
    with pytest.raises(SequencerStopped):
        log.append([b"x"])
