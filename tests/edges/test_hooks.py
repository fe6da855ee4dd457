"""Commands that hear of findings: what they get, and that nothing they do lasts."""

from __future__ import annotations

import json
import os
import sys
import threading
import time

import pytest

from saksi.edges.hooks import CommandHook, parse_command
from saksi.words.errors import StoreError, UsageError


def python(script, *words, seconds=20.0):
    return CommandHook((sys.executable, "-c", script, *words), seconds=seconds)


def test_a_command_gets_the_document_and_none_of_the_jobs_surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD_NOT", "x")
    monkeypatch.setenv("PYTHONPATH", "/attacked")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    script = (
        "import json, os, sys; json.dump([sys.stdin.read(), dict(os.environ), os.getcwd(), os.getsid(0) == os.getpid(),"
        "sorted(os.listdir('/proc/self/fd'))], open(sys.argv[1], 'w'))"
    )
    kept_open = os.open(out, os.O_WRONLY | os.O_CREAT)
    os.set_inheritable(kept_open, True)
    try:
        python(script, str(out)).send(b'{"a":1}\n')
    finally:
        os.close(kept_open)
    document, environment, folder, own_session, _ = json.loads(out.read_text())
    assert (document, folder, own_session) == ('{"a":1}\n', "/", True)
    assert set(environment) - {"LC_CTYPE"} == {"PATH", "HOME", "LANG"}
    assert "/attacked" not in str(environment)


def test_a_command_that_reads_nothing_took_the_document_if_it_says_so(tmp_path):
    done = tmp_path / "done"
    python("import os, sys; os.close(0); open(sys.argv[1], 'w').close()", str(done)).send(b"x" * 200_000)
    assert done.exists()


def test_a_command_that_fails_did_not_take_it():
    with pytest.raises(StoreError, match="ended with 3"):
        python("raise SystemExit(3)").send(b"")


def test_a_command_that_is_gone_did_not_take_it(tmp_path):
    with pytest.raises(StoreError, match="cannot start"):
        CommandHook((str(tmp_path / "gone"),), seconds=1).send(b"")


def test_a_command_that_floods_its_output_fills_nothing(tmp_path):
    done = tmp_path / "done"
    flood = "import sys\nfor _ in range(200): print('x' * 65536); print('y' * 65536, file=sys.stderr)"
    python(f"{flood}\nopen(sys.argv[1], 'w').close()", str(done)).send(b"")
    assert done.exists()


def test_a_command_that_hangs_is_ended_with_its_group(tmp_path):
    pids = tmp_path / "pids"
    script = (
        "import os, subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "open(sys.argv[1], 'w').write(f'{os.getpid()} {child.pid}'); time.sleep(60)"
    )
    before = time.monotonic()
    with pytest.raises(StoreError, match="no end after 2 seconds"):
        python(script, str(pids), seconds=2).send(b"")
    assert time.monotonic() - before < 15
    for pid in map(int, pids.read_text().split()):
        assert gone(pid)


def test_a_command_is_broken_off_from_another_thread(tmp_path):
    hook = python(
        "import sys, time; open(sys.argv[1], 'w').close(); time.sleep(60)", str(tmp_path / "here"), seconds=50
    )
    failed = []

    def send():
        with pytest.raises(StoreError) as refused:
            hook.send(b"")
        failed.append(str(refused.value))

    thread = threading.Thread(target=send)
    thread.start()
    end = time.monotonic() + 20
    while not (tmp_path / "here").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    hook.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert "ended with -9" in failed[0]
    with pytest.raises(StoreError, match="the run has ended"):
        hook.send(b"")


def gone(pid):
    """Whether the process ended; a zombie that nobody has collected yet has."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def test_a_command_is_found_on_the_path_once():
    found = parse_command("page --team 'a b'", seconds=1, which=lambda word: f"/opt/{word}")
    assert found.target == "/opt/page"
    assert found._argv == ("/opt/page", "--team", "a b")


@pytest.mark.parametrize("text", ["", "  ", "nosuchcommandatall x", "'a", "a\0b"])
def test_what_names_no_command_is_refused_in_one_line(text):
    with pytest.raises(UsageError) as refused:
        parse_command(text, seconds=1)
    assert refused.value.remedy
