"""Whatever state saksi is started in, the command runs as it would have, and what is wrong is one line."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from saksi.words.records import ExitRecord
from saksi_run import Home, agents_alive

SAKSI = f"{sys.executable} -m saksi.doors.main"


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def shell(home, text, **options):
    return subprocess.run(
        ["bash", "-c", text], env=home.environment, capture_output=True, text=True, timeout=60, check=False, **options
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_files_cost_neither_the_command_nor_the_witness(home, tmp_path, closed):
    mark = tmp_path / "ran"
    done = shell(home, f"{SAKSI} run -- sh -c 'touch {mark}; exit 6' {closed}")
    assert done.returncode == 6, done.stderr
    assert mark.exists()
    assert isinstance(home.records()[-1], ExitRecord)


def test_a_working_directory_that_is_gone_does_not_stop_the_command(home, tmp_path):
    (tmp_path / "gone").mkdir()
    done = shell(home, f"cd {tmp_path}/gone; rmdir {tmp_path}/gone; {SAKSI} run -- sh -c 'exit 5'")
    assert done.returncode == 5
    assert "NOT witnessed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_that_hangs_up_reaches_the_command(home, tmp_path):
    mark = tmp_path / "hung-up"
    script = (
        "import signal, sys, time\n"
        f"signal.signal(signal.SIGHUP, lambda *a: (open({str(mark)!r}, 'w').close(), sys.exit(3)))\n"
        "print('up', flush=True); time.sleep(30)"
    )
    pid, primary = pty.fork()
    if pid == 0:
        words = [sys.executable, "-m", "saksi.doors.main", "run", "-q", "--", sys.executable, "-c", script]
        os.execvpe(sys.executable, words, home.environment)
    seen = b""
    while b"up\r\n" not in seen:  # a terminal that hangs up in the middle of the line ends the command's print
        seen += os.read(primary, 1000)
    os.close(primary)
    _, status = os.waitpid(pid, 0)
    assert mark.exists()
    assert os.waitstatus_to_exitcode(status) == 3


def test_a_signal_after_the_end_neither_waits_nor_changes_the_exit_code(home):
    # Hashing a large sparse file keeps the agent busy after the command ended.
    big = home.folder / "big"
    with big.open("wb") as file:
        file.truncate(20 << 30)
    script = (
        "import hashlib, json, os, socket, time\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(os.environ['SAKSI_SOCKET'])\n"
        "s.send(b'saksi-knock/v1 ' + os.environ['SAKSI_TOKEN'].encode())\n"
        "prev = '0' * 64\n"
        "def say(n, **f):\n"
        "    global prev\n"
        "    raw = json.dumps({'seq': n, 'prev': prev, 'wall_ns': 1, 'mono_ns': 1, 'lost': 0, **f}).encode()\n"
        "    prev = hashlib.sha256(raw).hexdigest(); s.send(raw)\n"
        "say(0, kind='hello', version=1, pid=1, ppid=1, rank=0, local_rank=0, world_size=1, forked=False,\n"
        "    level='standard', python='3', implementation='c', executable='x', torch='2', threads=1,\n"
        "    deterministic=False, flags={}, fingerprint_key='0' * 64)\n"
        f"say(1, kind='ckpt', action='saved', path={str(big)!r}, digest=None, size=None, device=None, inode=None,\n"
        "    mtime_ns=None, step=-1)\n"
        "print('said', flush=True); time.sleep(0.5)\n"
    )
    process = home.popen("run", "-q", "--", sys.executable, "-c", script, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "said\n"
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert process.wait(20) == 0
    assert time.monotonic() - started < 5
    process.stdout.close()
    for pid in agents_alive(home):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    "changed",
    [{"HOME": "", "SAKSI_HOME": ""}, {"SAKSI_HOME": "relative"}],
    ids=["no-home", "relative-home"],
)
def test_surroundings_that_cannot_be_used_never_stop_the_command(home, changed):
    home.environment |= changed
    home.environment.pop("XDG_DATA_HOME", None)
    done = home.run("run", "--", sys.executable, "-c", "print('trained')")
    assert done.returncode == 0
    assert done.stdout == "trained\n"
    assert "NOT witnessed" in done.stderr


@pytest.mark.parametrize("options", [(), ("--segment", "5")])
def test_what_audits_ask_of_a_recorder_and_a_segment_reach_no_command_from_elsewhere(home, options):
    names = ("SAKSI_SEGMENT", "SAKSI_ROOTS", "SAKSI_DOCTOR", "SAKSI_THREADS", "SAKSI_TRANSCRIPT")
    names += ("SAKSI_PLANTED", "SAKSI_SAMPLES")
    set_there = dict.fromkeys(names, "1:1:1:/nowhere") | {"SAKSI_SEGMENT": "1000000"}
    say = f"import os; print(*(os.environ.get(name, '') for name in {names!r}), sep=',')"
    done = home.run("run", "-q", *options, "--", sys.executable, "-c", say, env=home.environment | set_there)
    assert done.stdout == ("5" if options else "") + "," * (len(names) - 1) + "\n"


def test_a_mistake_in_the_projects_settings_never_stops_the_command(home, tmp_path):
    (tmp_path / "saksi.toml").write_text("level = 'loud'\n")
    done = home.run("run", "--", sys.executable, "-c", "print('trained')", cwd=tmp_path)
    assert done.returncode == 0
    assert "saksi.toml" in done.stderr
    assert home.run("run", "--require", "--", sys.executable, "-c", "1", cwd=tmp_path).returncode == 125


def test_a_script_without_an_interpreter_line_runs_as_in_a_shell(home, tmp_path):
    script = tmp_path / "train.sh"
    script.write_text("echo trained; exit 4\n")
    script.chmod(0o755)
    done = home.run("run", "-q", "--", str(script))
    assert (done.returncode, done.stdout) == (4, "trained\n")


@pytest.mark.parametrize("runtime", [".", "/bin/sh", "/" + "x" * 120, ""])
def test_an_odd_runtime_folder_is_passed_over(home, runtime):
    home.environment["XDG_RUNTIME_DIR"] = runtime
    done = home.run("run", "--", sys.executable, "-c", "import os; print(os.environ['SAKSI_SOCKET'])")
    assert os.path.isabs(done.stdout)
    assert "NOT witnessed" not in done.stderr


def test_resuming_what_still_runs_is_refused(home):
    process = home.popen("run", "-q", "--name", "first", "--", "sleep", "4")
    deadline = time.monotonic() + 10
    while not home.runs() or len(home.records()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    done = home.run("run", "--resume", "first", "--", sys.executable, "-c", "print('trained')")
    assert done.returncode == 125
    assert done.stdout == ""
    assert "still being written" in done.stderr
    process.wait()


def test_what_is_printed_of_ours_cannot_steer_a_terminal(home):
    done = home.run("run", "--resume", "\x1b[31mred", "--", "true")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("name", [r"$'\xff'", "$(printf 'x%.0s' {1..9000})"])
def test_a_command_of_any_name_that_cannot_start_is_the_reason_in_the_record(home, name):
    done = shell(home, f"{SAKSI} run -- {name}")
    assert done.returncode in (126, 127)
    assert "Traceback" not in done.stderr
    (ended,) = [each for each in home.records() if isinstance(each, ExitRecord)]
    assert "did not start" in ended.reason
