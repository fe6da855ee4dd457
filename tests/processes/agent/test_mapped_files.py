"""Looking up what real processes have mapped, and when the agent looks."""

from __future__ import annotations

import os
import time

import pytest

from agent_attempt import Attempt
from edges.environment.environments import Environment, later, without_stdlib
from edges.host.shared_objects import build, start
from saksi.edges.clock import SystemClock
from saksi.edges.environment.object_places import SealedFiles, Surroundings
from saksi.edges.environment.source_places import OwnCode
from saksi.edges.environment.watched_files import look_at
from saksi.edges.host.mapped import Raw, read_raw
from saksi.processes.agent import mapped_files
from saksi.processes.agent.mapped_files import CLOSED, HIDDEN, MappedFiles, Taken
from saksi.processes.agent.mapped_watch import MappedWatch
from saksi.words.digest import sha256
from saksi.words.records import ExitRecord, ImportsRecord, MappedRecord


class Looks:
    """A worker, and what it found of a process at one look."""

    def __init__(self, *folders, sealed=None, cache=None):
        around = Surroundings(own=OwnCode(folders=tuple(map(str, folders))))
        self.files = MappedFiles(lambda: None, around=around, sealed_files=lambda: sealed, cache=cache)

    def at(self, pid, *, first=True, raw=None):
        self.files.give(Taken(0, pid, 0, None, "drawn", raw or read_raw(pid), first))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = self.files.collect()
            if found:
                return found[0]
            time.sleep(0.01)
        raise AssertionError("nothing was found")


def by_path(looked):
    return {each.path: each for each in looked.objects}


def test_a_preloaded_library_is_told_once_with_its_digest_and_the_variable_that_named_it(tmp_path):
    library = build(tmp_path)
    looks = Looks(tmp_path)
    with start({"LD_PRELOAD": str(library), "PATH": "/usr/bin", "SECRET": "x"}) as child:
        looked = looks.at(child.pid)
        again = looks.at(child.pid, first=False)
        child.kill()
    told = by_path(looked)[str(library)]
    assert (told.origin, told.named_by, told.digest) == ("tree", "LD_PRELOAD", str(sha256(library.read_bytes())))
    assert any(each.origin == "system" and each.digest for each in looked.objects)
    assert looked.objects[0].path == str(library)  # what is foreign is read first
    assert looked.variables == {"LD_PRELOAD": str(library)}
    assert looked.total == len(looked.objects) == again.total
    assert (again.objects, again.variables) == ((), None)


def test_an_object_whose_file_changed_is_told_again_and_one_that_is_gone_without_a_digest(tmp_path):
    library = build(tmp_path)
    looks = Looks(tmp_path)
    with start({"LD_PRELOAD": str(library)}) as child:
        before = by_path(looks.at(child.pid))[str(library)]
        with library.open("ab") as file:
            file.write(b"more")
        (changed,) = looks.at(child.pid).objects
        content = library.read_bytes()
        library.unlink()
        (gone,) = looks.at(child.pid).objects
        child.kill()
    assert (changed.path, changed.inode, changed.digest) == (before.path, before.inode, str(sha256(content)))
    assert (gone.path, gone.deleted, gone.digest) == (str(library), True, None)


def test_sealed_objects_are_compared_by_what_the_look_at_the_start_found_and_not_read_again(tmp_path, monkeypatch):
    without_stdlib(monkeypatch)
    environment = Environment(tmp_path / "venv")
    environment.install(files={"toy/__init__.py": ""})
    library = build(environment.site / "toy")
    found = look_at(environment.question(cache=None), now_ns=later())
    looks = Looks(sealed=SealedFiles(found, found))
    with start({"LD_PRELOAD": str(library)}) as child:
        looked = looks.at(child.pid)
        child.kill()
    told = by_path(looked)[str(library)]
    assert looked.tree
    assert told.origin == "sealed"
    assert told.digest == told.sealed == str(sha256(library.read_bytes()))


def test_digests_are_kept_for_the_next_attempt(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped_files.time, "time_ns", later)  # files younger than two seconds are not kept
    library = build(tmp_path)
    with start({"LD_PRELOAD": str(library)}) as child:
        first = Looks(tmp_path, cache=tmp_path / "cache")
        before = by_path(first.at(child.pid))
        first.files.close()
        monkeypatch.setattr(mapped_files, "hash_file", None)  # nothing is read
        second = Looks(tmp_path, cache=tmp_path / "cache")
        assert by_path(second.at(child.pid)) == before
        child.kill()


def test_once_it_hurries_no_file_is_read_and_that_is_said(tmp_path):
    looks = Looks(tmp_path)
    looks.files.hurry()
    with start({}) as child:
        looked = looks.at(child.pid)
        child.kill()
    assert {each.reason for each in looked.objects if each.origin == "system"} == {CLOSED}


def test_no_more_objects_and_bytes_than_the_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped_files, "MAX_OBJECTS", 2)
    monkeypatch.setattr(mapped_files, "MAX_HASHED", 0)
    with start({}) as child:
        looked = Looks(tmp_path).at(child.pid)
        child.kill()
    assert (len(looked.objects), looked.omitted) == (2, looked.total - 2)
    assert all(each.digest is None and "bytes that are read" in each.reason for each in looked.objects)


def test_what_may_not_be_read_or_has_another_root_is_said(tmp_path):
    looks = Looks(tmp_path)
    assert looks.at(1, raw="permission").reason == HIDDEN
    with start({}) as child:
        raw = read_raw(child.pid)
        child.kill()
    elsewhere = looks.at(1, raw=Raw(raw.maps, None, same_root=False))
    assert {each.origin for each in elsewhere.objects} == {"unknown"}
    assert elsewhere.variables is None
    assert "proc(5)" in looks.at(1, raw=Raw(b"?\n", b"", same_root=True)).reason


def line(path):
    return f"7f00-7f10 r-xp 00000000 fe:00 7 {path}\n".encode()


def test_a_path_that_the_file_system_refuses_costs_no_other_object_and_not_the_variables(tmp_path):
    library = build(tmp_path)
    long = "/" + "x" * 300
    maps = line(f"{long}/python3.11/m.so") + line(f"{long}/site-packages/m.so") + line(library)
    looked = Looks(tmp_path).at(1, raw=Raw(maps, b"LD_PRELOAD=/x.so\0", same_root=True))
    told = by_path(looked)
    assert told[str(library)].digest == str(sha256(library.read_bytes()))
    assert told[f"{long}/site-packages/m.so"].origin == "unknown"
    assert "File name too long" in told[f"{long}/site-packages/m.so"].reason
    assert told[f"{long}/python3.11/m.so"].origin == "elsewhere"
    assert (looked.reason, looked.variables) == (None, {"LD_PRELOAD": "/x.so"})


def test_objects_of_a_look_that_failed_are_told_at_the_next_and_its_variables_at_once(tmp_path, monkeypatch):
    library = build(tmp_path)
    looks = Looks(tmp_path)
    raw = Raw(line(library), b"LD_PRELOAD=/x.so\0", same_root=True)
    with monkeypatch.context() as broken:
        broken.setattr(looks.files._places, "place", lambda *_: 1 / 0)
        failed = looks.at(1, raw=raw)
    assert (failed.objects, failed.variables) == ((), {"LD_PRELOAD": "/x.so"})
    assert "ZeroDivisionError" in failed.reason
    assert [each.path for each in looks.at(1, raw=raw).objects] == [str(library)]


def test_variables_that_were_not_read_say_so_at_the_first_look_only(tmp_path):
    looks = Looks(tmp_path)
    raw = Raw(b"", None, same_root=True, reason="too long")
    assert (looks.at(1, raw=raw).reason, looks.at(1, raw=raw, first=False).reason) == ("too long", None)


def test_no_more_bytes_wait_than_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped_files, "MAX_WAITING_BYTES", 100)
    looks = Looks(tmp_path)
    taken = Taken(0, 1, 0, None, "drawn", Raw(b"x" * 90, b"", same_root=True), first=True)
    assert [looks.files.give(taken) for _ in range(3)] == [True, False, False]  # a first one, however large it is
    deadline = time.monotonic() + 20
    while not looks.files.collect() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert looks.files.give(taken)


def test_variables_of_any_length_fit_a_record_and_say_how_long_they_are(tmp_path):
    watch = MappedWatch(
        clock=SystemClock(), scribe=None, wake=lambda: None, around=Surroundings(), sealed_files=lambda: None,
        draw=os.urandom, redaction_key=b"k" * 32,
    )  # fmt: skip
    shown = watch._shown(
        {"PYTHONPATH": "/x" * 2_000, "NCCL_NET_PLUGIN": "é" * 4_000, "LD_PRELOAD": "/a.so", "CC": "cc"}
    )
    assert shown["LD_PRELOAD"] == "/a.so"
    assert shown["CC"].startswith("hmac-sha256:")
    assert shown["PYTHONPATH"] == "/x" * 2_000
    many = watch._shown(dict.fromkeys(("PYTHONPATH", "PYTHONHOME", "LD_PRELOAD", "LD_AUDIT", "CUDA_HOME"), "/x" * 2000))
    assert sorted(each for each in many.values() if each.startswith("[")) == ["[4000 characters]"] * 2
    assert sum(map(len, many.values())) < 16_000


@pytest.fixture
def attempt(tmp_path):
    return Attempt(tmp_path)


def test_a_process_that_trains_is_looked_at_and_one_that_only_attached_is_not(attempt):
    attempt.start_job()
    recorder = attempt.recorder()
    recorder.hello()
    time.sleep(1.5)
    assert attempt.records(MappedRecord) == []
    recorder.update(0)
    deadline = time.monotonic() + 30
    while not attempt.records(MappedRecord) and time.monotonic() < deadline:
        time.sleep(0.05)
    recorder.update(1)
    recorder.detach([2])
    attempt.end()
    looks = attempt.records(MappedRecord)
    assert (looks[0].pid, looks[0].moment, looks[0].step) == (os.getpid(), "begin", 0)
    assert looks[0].variables is not None
    assert all(each.variables is None for each in looks[1:])
    named = [each.path for look in looks for each in look.objects]
    assert any("libc" in each for each in named)
    assert len(named) == len({(each.path, each.inode, each.digest) for look in looks for each in look.objects})
    assert isinstance(attempt.records()[-1], ExitRecord)


def test_where_a_process_says_that_it_imported_from_is_looked_up_as_it_ends(attempt, tmp_path):
    (tmp_path / "random.py").touch()
    library = os.path.dirname(os.__file__)
    modules = [["random", f"{tmp_path}/random.py"], ["random.sub", "/x.py"], ["json", f"{library}/json/__init__.py"]]
    attempt.start_job()
    recorder = attempt.recorder()
    recorder.hello()
    recorder.say("environment", part=0, parts=2, modules=modules[:1])
    recorder.say("environment", part=1, parts=2, modules=modules[1:])
    recorder.detach([])
    attempt.end()
    (record,) = attempt.records(ImportsRecord)
    (told,) = record.shadowed
    assert (record.pid, record.total, told.name) == (os.getpid(), 1, "random")
    assert (told.path, told.other, told.other_origin) == (f"{tmp_path}/random.py", f"{library}/random.py", "library")
