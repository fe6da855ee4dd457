"""What happened over attempts and restarts, and where loaded model checkpoints came from."""

from functools import partial

import msgspec
import pytest

from doors.cli.cli_home import OTHER, SealedRun
from saksi.doors.cli.capsule_lines import capsule_lines, is_there_below
from saksi.judgement.history_builder import HistoryBuilder
from saksi.judgement.origins import Saved, in_words, origin_of_load, saves_of
from saksi.judgement.story import Story, StoryBuilder
from saksi.words.records import CapsuleRecord, Peer, SignalRecord
from simulated_run import RUN, SimulatedRun, hex64, honest_run

A, B = (f"sha256:{letter * 64}" for letter in "ab")
LOADED = {"action": "loaded", "step": -1}


def story_of(simulated: SimulatedRun) -> Story:
    builder = StoryBuilder()
    for item in simulated.items():
        builder.take(item)
    return builder.build()


def ranks(simulated: SimulatedRun, *, count: int, steps: int, first_pid: int, goodbye: bool = False) -> None:
    connections = [simulated.attach(rank, world_size=count, pid=first_pid + rank) for rank in range(count)]
    for each in connections:
        for _ in range(steps):
            each.update()
    for each in connections:
        each.goodbye() if goodbye else each.vanish()


def loads(simulated: SealedRun, others=()):
    story = story_of(simulated)
    own = saves_of(simulated.run, story.files)
    used = [each for each in story.files if each.action == "loaded"]
    found = [(each, origin_of_load(each, run=simulated.run, own=own, others=others)) for each in used]
    return [(origin, in_words(each, origin, run=simulated.run)) for each, origin in found]


def test_restarts_within_an_attempt_are_told_apart():
    simulated = SimulatedRun()
    ranks(simulated, count=4, steps=6, first_pid=4000)
    ranks(simulated, count=2, steps=3, first_pid=5000, goodbye=True)
    simulated.exit()
    first, second = story_of(simulated).groups
    assert (first.beginning, first.world_size, first.ranks, first.last_step) == ("first", 4, (0, 1, 2, 3), 5)
    assert (second.beginning, second.world_size, second.ranks, second.last_step) == ("restart", 2, (0, 1), 2)
    assert first.ended_ns is not None
    assert first.ended_ns < second.began_ns


@pytest.mark.parametrize(("command", "beginning"), [("train.py", "restart"), ("evaluate.py", "other")])
def test_another_command_is_no_restart(command, beginning):
    simulated = SimulatedRun()
    simulated.process(pid=4000, attached=True, command=["python", "train.py"])
    ranks(simulated, count=1, steps=2, first_pid=4000)
    simulated.process(pid=5000, attached=True, command=["python", command])
    ranks(simulated, count=1, steps=2, first_pid=5000)
    assert [each.beginning for each in story_of(simulated).groups] == ["first", beginning]


def test_a_job_beside_another_is_no_restart():
    simulated = SimulatedRun()
    one, other = simulated.attach(pid=4000), simulated.attach(pid=5000)
    for each in (one, other):
        each.update()
        each.goodbye()
    assert [each.beginning for each in story_of(simulated).groups] == ["first", "beside"]


def test_each_attempt_counts_its_groups_anew():
    simulated = honest_run()
    simulated.resume()
    ranks(simulated, count=1, steps=2, first_pid=4000)
    groups = story_of(simulated).groups
    assert [(each.attempt, each.number, each.beginning, each.steps) for each in groups] == [
        (0, 0, "first", 6),
        (1, 0, "first", 2),
    ]


def test_signals_are_told_with_their_sender():
    simulated = SimulatedRun()
    sender = Peer(pid=812, uid=0, gid=0)
    simulated.add(SignalRecord(**simulated.stamp(), signal="SIGTERM", forwarded=True, sender=sender))
    (told,) = story_of(simulated).signals
    assert (told.signal, told.forwarded, told.sender) == ("SIGTERM", True, "process 812, uid 0")


def saved_then_loaded(*, save: str | None = A, load: str | None = A, path: str = "/ckpt.pt") -> SealedRun:
    simulated = SealedRun()
    connection = simulated.attach()
    for _ in range(4):
        connection.update()
    connection.flush()
    simulated.file(path="/ckpt.pt", digest=save, step=3)
    connection.goodbye()
    simulated.exit()
    simulated.resume()
    second = simulated.attach(pid=5000)
    simulated.file(path=path, digest=load, **LOADED)
    second.update()
    second.goodbye()
    simulated.exit()
    return simulated


def test_a_load_is_linked_to_the_save_of_the_same_bytes():
    ((origin, said),) = loads(saved_then_loaded(path="/moved.pt"))
    assert (origin.kind, origin.run, origin.attempt, origin.group, origin.step) == ("saved", RUN, 0, 0, 3)
    assert said == "continues step 3 of attempt 0 (model checkpoint /moved.pt, sha256:aaaaaaaaaaaa)"


def test_a_file_that_changed_is_said_so_and_links_nothing():
    ((origin, said),) = loads(saved_then_loaded(load=B))
    assert (origin.kind, origin.step, origin.digest) == ("changed", 3, A)
    assert said == (
        "loaded model checkpoint /ckpt.pt, sha256:bbbbbbbbbbbb: another content (sha256:aaaaaaaaaaaa) was saved at "
        "this path after step 3 of attempt 0, so the file changed in between"
    )


def test_a_file_of_unknown_origin():
    ((origin, said),) = loads(saved_then_loaded(load=B, path="/other.pt"))
    assert origin.kind == "unknown"
    assert "unknown origin, no run here saved this content" in said


def test_a_file_that_nobody_could_read_is_of_no_known_origin():
    ((origin, said),) = loads(saved_then_loaded(load=None))
    assert origin.kind == "unread"
    assert "its bytes are not known" in said


def test_a_save_of_another_run_explains_a_load():
    elsewhere = saves_of(OTHER, story_of(saved_then_loaded(save=B)).files)
    ((origin, said),) = loads(saved_then_loaded(load=B), elsewhere)
    assert (origin.kind, origin.run, origin.attempt, origin.step) == ("saved", OTHER, 0, 3)
    assert f"continues step 3 of run {OTHER}" in said


def test_a_save_that_came_later_explains_nothing():
    simulated = saved_then_loaded(load=B, path="/other.pt")
    saves = saves_of(RUN, story_of(simulated).files)
    late = [Saved(run=OTHER, use=msgspec.structs.replace(each.use, digest=B, wall_ns=2**62)) for each in saves]
    ((origin, _),) = loads(simulated, late)
    assert origin.kind == "unknown"


def test_the_same_load_by_several_ranks_is_told_once():
    simulated = SealedRun()
    connections = [simulated.attach(rank, world_size=2) for rank in range(2)]
    for each in connections:
        simulated.file(path="/w.pt", digest=A, connection=each.number, rank=each.rank, **LOADED)
    for each in connections:
        each.update()
        each.goodbye()
    (use,) = story_of(simulated).files
    assert (use.ranks, use.group) == ((0, 1), 0)


def test_a_load_through_a_file_object_is_told_with_what_is_known():
    simulated = SimulatedRun()
    connection = simulated.attach()
    ckpt = {"path": None, "size": None, "device": None, "inode": None, "mtime_ns": None, "step": -1}
    connection.send("ckpt", action="loaded", digest=None, **ckpt)
    connection.update()
    connection.goodbye()
    (use,) = story_of(simulated).files
    assert (use.path, use.digest, use.observed) == (None, None, False)
    assert "bytes were not seen" in (use.reason or "")


def test_a_history_has_its_story():
    builder = HistoryBuilder()
    for item in honest_run().items():
        builder.take(item)
    assert [each.steps for each in builder.build().story.groups] == [6]


def test_capsules_that_were_read_are_kept_and_all_are_counted():
    simulated = SimulatedRun()

    def capsule(step: int, path: str | None, digest: str | None, reason: str | None = None) -> None:
        simulated.add(
            CapsuleRecord(
                **simulated.stamp(), connection=0, seq=0, rank=0, path=path, step=step, root=hex64("r"), digest=digest,
                every=10, size=7, reason=reason,
            )
        )  # fmt: skip

    capsule(9, "/a", A)
    capsule(19, "/b", None, "it is gone")
    capsule(19, None, None, "no room")
    story = story_of(simulated)
    assert story.capsules_written == ((0, 2),)
    assert [(each.path, each.read, each.reason) for each in story.capsules] == [
        ("/a", True, None), ("/b", False, "it is gone"), (None, False, "no room")
    ]  # fmt: skip
    line = capsule_lines(story, lambda path, size: (path, size) == ("/a", 7))[0]
    assert (line.written, line.kept, line.bytes, line.first_step, line.last_step) == (2, 1, 7, 9, 9)
    assert (line.folder, line.reason, line.unread, line.unread_reason) == ("/", "no room", 1, "it is gone")
    assert capsule_lines(story, lambda *_: False)[0].kept == 0


def test_nothing_is_looked_for_but_below_the_folder_of_capsules(tmp_path):
    (tmp_path / "capsules").mkdir()
    for name in ("capsules/a", "b"):
        (tmp_path / name).write_bytes(b"1234567")
    (tmp_path / "capsules" / "link").symlink_to(tmp_path / "b")
    below = partial(is_there_below, tmp_path / "capsules")
    assert below(str(tmp_path / "capsules" / "a"), 7)
    assert not below(str(tmp_path / "capsules" / "a"), 8)
    for path in ("b", "capsules/../b", "capsules/link", "capsules/none", "capsules/\0"):
        assert not below(f"{tmp_path}/{path}", 7)
