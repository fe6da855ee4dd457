from __future__ import annotations

import os
import pty
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from saksi.words.records import ExitRecord, GapRecord, SignalRecord
from saksi_run import Home, agents_alive


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    yield home
    deadline = time.monotonic() + 10
    while agents_alive(home) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert agents_alive(home) == []


def the_exit(home):
    (record,) = [each for each in home.records() if isinstance(each, ExitRecord)]
    return record


@pytest.mark.parametrize("code", [0, 1, 3, 42, 255])
def test_the_commands_own_exit_code_is_returned(home, code):
    assert home.run("run", "--", sys.executable, "-c", f"raise SystemExit({code})").returncode == code
    assert the_exit(home).code == code


def test_a_command_killed_by_a_signal_gives_128_and_its_number(home):
    done = home.run("run", "--", sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")
    assert done.returncode == 137
    assert the_exit(home).signal == 9


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("/etc/passwd", 126), ("/", 126)])
def test_a_command_that_cannot_start_is_told_apart_and_the_log_is_closed(home, command, code):
    done = home.run("run", "-q", "--", command)
    assert done.returncode == code
    assert done.stderr.startswith("saksi: ")
    assert done.stderr.count("\n") == 1
    assert the_exit(home).code is None


def test_output_is_untouched_but_for_one_line_at_the_start_and_one_at_the_end(home):
    script = "import sys; sys.stdout.write('out'); sys.stderr.write('err\\n')"
    done = home.run("run", "--", sys.executable, "-c", script)
    assert done.stdout == "out"
    first, middle, last = done.stderr.splitlines()
    assert first.startswith("saksi: run ")
    assert middle == "err"
    assert last.startswith("saksi: run ")
    assert home.run("run", "-q", "--", sys.executable, "-c", script).stderr == "err\n"


def test_input_reaches_the_command(home):
    done = home.run("run", "--", sys.executable, "-c", "print(input().upper())", input="spoken\n")
    assert done.stdout == "SPOKEN\n"


def test_the_end_of_output_is_the_commands_end_not_the_agents(home):
    read, write = os.pipe()
    process = home.popen("run", "-q", "--", sys.executable, "-c", "print(1)", stdout=write, pass_fds=(write,))
    os.close(write)
    with os.fdopen(read) as output:
        assert output.read() == "1\n"
    assert process.wait(20) == 0


def test_a_terminal_stays_a_terminal(home):
    primary, secondary = pty.openpty()
    script = "import sys, os; print([os.isatty(n) for n in (0, 1, 2)])"
    process = home.popen(
        "run", "-q", "--", sys.executable, "-c", script, stdin=secondary, stdout=secondary, stderr=secondary
    )
    os.close(secondary)
    assert process.wait(20) == 0
    assert b"[True, True, True]" in os.read(primary, 1000)
    os.close(primary)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGINT"])
def test_a_signal_sent_to_the_launcher_reaches_the_command_and_its_sender_is_recorded(home, name):
    number = getattr(signal, name)
    script = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *a: (print('got it', flush=True), sys.exit(9)))\n"
        "print('up', flush=True); time.sleep(60)"
    )
    process = home.popen("run", "-q", "--", sys.executable, "-c", script, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    assert process.stdout.readline() == "got it\n"
    process.stdout.close()
    assert process.wait(20) == 9
    (record,) = [each for each in home.records() if isinstance(each, SignalRecord)]
    assert (record.signal, record.forwarded) == (name, True)
    assert record.sender.pid == os.getpid()


def test_control_c_on_the_terminal_reaches_the_command_once(home):
    pid, primary = pty.fork()
    script = (
        "import signal, time, sys\ncount = 0\n"
        "def handler(*a):\n    global count\n    count += 1\n"
        "signal.signal(signal.SIGINT, handler)\nprint('up', flush=True)\n"
        "end = time.monotonic() + 1.5\nwhile time.monotonic() < end: time.sleep(0.05)\n"
        "sys.exit(40 + count)"
    )
    if pid == 0:
        os.execvpe(
            sys.executable,
            [sys.executable, "-m", "saksi.doors.main", "run", "-q", "--", sys.executable, "-c", script],
            home.environment,
        )
    seen = b""
    while b"up\r\n" not in seen:
        seen += os.read(primary, 1000)
    os.write(primary, b"\x03")
    _, status = os.waitpid(pid, 0)
    os.close(primary)
    assert os.waitstatus_to_exitcode(status) == 41


@pytest.mark.parametrize("delay", [0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4])
def test_an_interrupt_at_any_moment_leaves_no_process_and_no_traceback(home, delay):
    process = home.popen("run", "--", "sleep", "60", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # An interpreter that is interrupted before it has read a line of ours may show a traceback, or lose the interrupt.
    for caught in (True, False):
        deadline = time.monotonic() + 1
        while _catches_interrupts(process.pid) != caught and time.monotonic() < deadline:
            pass
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode in (130, -2)
    assert "Traceback" not in errors


def _catches_interrupts(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (mask,) = [int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")]
    return bool(mask & 1 << signal.SIGINT - 1)


def test_without_a_usable_home_the_command_runs_unwitnessed_and_says_so(home, tmp_path):
    (tmp_path / "home").write_text("in the way")
    done = home.run("run", "--", sys.executable, "-c", "print('trained')")
    assert done.returncode == 0
    assert done.stdout == "trained\n"
    assert "NOT witnessed" in done.stderr
    assert done.stderr.count("\n") == 1
    required = home.run("run", "--require", "--", sys.executable, "-c", "print('trained')")
    assert required.returncode == 125
    assert required.stdout == ""


def test_a_recorder_that_was_switched_off_is_a_gap_in_the_record(home):
    environment = {**home.environment, "SAKSI_DISABLE": "1"}
    home.run("run", "-q", "--", sys.executable, "-c", "pass", env=environment)
    assert any("SAKSI_DISABLE" in each.reason for each in home.records() if isinstance(each, GapRecord))


def test_the_agent_being_killed_does_not_touch_the_command(home):
    process = home.popen(
        "run",
        "--",
        sys.executable,
        "-c",
        "print('up', flush=True); input(); print('done')",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "up\n"
    agents = agents_alive(home)
    assert agents
    for pid in agents:
        os.kill(pid, signal.SIGKILL)
    output, errors = process.communicate("\n", timeout=30)
    assert process.returncode == 0
    assert output == "done\n"
    assert errors.count("\n") == 2
    (gap,) = [each for each in home.records() if isinstance(each, GapRecord)]
    assert "ended by SIGKILL" in gap.reason
    assert the_exit(home).code == 0


def test_the_launcher_being_killed_does_not_touch_the_command_and_the_log_is_closed(home, tmp_path):
    out = tmp_path / "out"
    script = f"import time; time.sleep(1.0); open({str(out)!r}, 'w').write('trained')"
    process = home.popen("run", "-q", "--", sys.executable, "-c", script)
    deadline = time.monotonic() + 10
    while not home.runs() or len(home.records()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)
    process.kill()
    process.wait()
    while not out.exists() or out.read_text() != "trained" or agents_alive(home):
        assert time.monotonic() < deadline + 10
        time.sleep(0.1)
    assert the_exit(home).code is None


def test_files_that_were_open_stay_open_for_the_command(home):
    words = f"{sys.executable} -m saksi.doors.main run -q -- cat"
    done = subprocess.run(
        ["bash", "-c", f"{words} <(echo through a pipe)"],
        env=home.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stdout == "through a pipe\n"


def test_a_parent_that_ignores_the_end_of_children_gets_the_exit_code_all_the_same(home):
    script = "import signal, sys; print(signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN); sys.exit(7)"
    process = home.popen(
        "run",
        "-q",
        "--",
        sys.executable,
        "-c",
        script,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    )
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 7
    assert output == "True\n"


def test_an_agent_that_cannot_begin_leaves_the_terminal_alone(home, tmp_path):
    home.run("run", "-q", "--", sys.executable, "-c", "pass")
    process = home.popen(
        "run",
        "--",
        sys.executable,
        "-c",
        "print('trained')",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)),
    )
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert output == "trained\n"
    assert "Traceback" not in errors
    assert errors.count("\n") == 1
    assert "NOT witnessed" in errors


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_what_ends_launcher_and_command_at_once_is_somebody_who_stopped_them(home, name):
    script = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_DFL); print('up', flush=True); time.sleep(60)"
    )
    words = ("run", "-q", "--", sys.executable, "-c", script)
    process = home.popen(*words, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout.readline() == "up\n"
    os.killpg(process.pid, getattr(signal, name))
    process.communicate(timeout=20)
    found = [each for each in home.json("findings", "last")["items"] if each["code"] == "availability.killed"]
    assert [each["severity"] for each in found] == ["info"]
