"""Names and files that a job chooses must not end the agent, nor hold it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

from agent_attempt import Attempt
from saksi.words.records import FileRecord, ProcessRecord


def saved(recorder, path):
    stat = {"digest": None, "size": None, "device": None, "inode": None, "mtime_ns": None}
    recorder.say("ckpt", action="saved", path=str(path), step=0, **stat)


def test_a_program_whose_path_is_not_utf8_is_written_down(attempt, tmp_path):
    folder = os.fsencode(tmp_path) + b"/b\xff"
    os.mkdir(folder)
    shutil.copy(shutil.which("sleep"), folder + b"/sleep")
    with subprocess.Popen([b"\xfe", "60"], executable=folder + b"/sleep") as process:
        time.sleep(2)
        process.kill()
    attempt.end()
    (seen, *_) = [each for each in attempt.records(ProcessRecord) if each.pid == process.pid]
    assert seen.executable.endswith("b\\xff/sleep")
    assert seen.command[0] == "\\xfe"


def test_a_command_of_control_characters_is_cut_and_stops_nothing(attempt):
    words = ["\1" * 600] * 70
    with subprocess.Popen([shutil.which("python3"), "-c", "import time; time.sleep(60)", *words]) as process:
        time.sleep(2)
        process.kill()
    attempt.end()
    seen = [each for each in attempt.records(ProcessRecord) if each.pid == process.pid]
    assert seen
    assert seen[0].command[1] == "-c"


def test_files_that_are_none_get_a_reason_and_the_next_one_its_digest(attempt, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "good").write_bytes(b"weights")
    recorder = attempt.recorder()
    recorder.hello()
    recorder.update(0)
    for path in ("/tmp/a\0b", "/dev/zero", tmp_path / "fifo", tmp_path, "/proc/self/maps", tmp_path / "good"):
        saved(recorder, path)
    recorder.detach([1])
    attempt.end()
    records = attempt.records(FileRecord)
    assert [each.path[-4:] for each in records if each.digest is not None] == ["good"]
    assert len(records) == 6
    assert all(each.reason for each in records if each.digest is None)


def test_a_file_that_is_not_read_by_the_end_gets_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("saksi.processes.agent.attempt.FILES_NS", 500_000_000)
    attempt = Attempt(tmp_path)
    attempt.start_job()
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    recorder = attempt.recorder()
    recorder.hello()
    recorder.update(0)
    saved(recorder, huge)
    saved(recorder, "/etc/hostname")
    recorder.detach([1])
    attempt.end()
    records = attempt.records(FileRecord)
    assert [each.path for each in records] == [str(huge), "/etc/hostname"]
    assert all("closed before" in each.reason for each in records)
