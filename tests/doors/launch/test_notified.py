"""`saksi run --notify` and the home's `[notify]`: somebody hears, and the run is none the wiser."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import jsonschema
import pytest

from saksi.doors.cli.schemas import schema_text
from saksi.doors.launch import notified
from saksi.doors.launch.arguments import parse_arguments
from saksi.doors.launch.notified import MAX_ASKED, NOBODY, notified_by
from saksi.processes.agent.notices import LAST_NOTICES_S
from saksi.words.errors import UsageError
from saksi_run import Home

KILLED = ["sh", "-c", "kill -KILL $$"]
"""Ends with 137 and one finding that is not about coverage."""


@pytest.fixture
def home(tmp_path):
    found = Home(tmp_path)
    found.environment["SAKSI_AGENT"] = "embedded"
    return found


def keeper(folder):
    """A command that keeps what it hears, one file for each."""
    script = folder / "keep.py"
    script.write_text(
        "import sys, tempfile\nname = tempfile.mktemp(dir=sys.argv[1], suffix='.json')\n"
        "open(name, 'w').write(sys.stdin.read())\n"
    )
    (folder / "heard").mkdir()
    return [sys.executable, str(script), str(folder / "heard")]


def heard(folder):
    found = [json.loads(each.read_text()) for each in (folder / "heard").iterdir()]
    for each in found:
        jsonschema.validate(each, json.loads(schema_text("saksi.notice/v1")), jsonschema.Draft202012Validator)
    return {each["finding"]["code"]: each for each in found}


def settings(home, text):
    (home.folder / "home").mkdir(exist_ok=True, mode=0o700)
    (home.folder / "home" / "settings.toml").write_text(text)


def test_a_command_hears_of_each_finding_once(home):
    words = " ".join(keeper(home.folder))
    done = home.run("run", "--name", "n", "--project", "p", "--notify", words, "--", *KILLED)
    assert (done.returncode, "not delivered" in done.stderr) == (137, False)
    found = heard(home.folder)
    assert set(found) == {"availability.killed", "coverage.no_training_seen"}
    assert len(list((home.folder / "heard").iterdir())) == 2
    run = home.runs()[0].name
    killed = found["availability.killed"]
    assert (killed["run"], killed["name"], killed["project"], killed["attempt"]) == (run, "n", "p", 0)
    assert killed["next_command"] == f"saksi show {run}"


def test_the_homes_settings_say_who_hears_and_from_when_on(home):
    words = keeper(home.folder)
    settings(home, f"[notify]\ncommand = {json.dumps(words)}\nseverity = 'critical'\n")
    assert home.run("run", "--", *KILLED).returncode == 137
    assert heard(home.folder) == {}
    settings(home, f"[notify]\ncommand = {json.dumps(words)}\n")
    assert home.run("run", "--", *KILLED).returncode == 137
    assert "availability.killed" in heard(home.folder)


def test_nobody_hears_unless_somebody_is_named(home):
    arguments = parse_arguments(["--", "x"])
    assert notified_by(arguments, home.environment, say=pytest.fail) == NOBODY


def test_the_projects_files_name_nobody(home):
    words = keeper(home.folder)
    (home.folder / "saksi.toml").write_text(f"notify = {json.dumps(words)}\n")
    done = home.run("run", "--", *KILLED, cwd=home.folder)
    assert done.returncode == 137
    assert "'notify' is never read from a project's files" in done.stderr
    assert heard(home.folder) == {}


def test_settings_that_cannot_be_read_are_said_and_cost_no_witness(home):
    settings(home, "[notify]\ncomand = ['/bin/true']\n")
    done = home.run("run", "--", *KILLED)
    assert done.returncode == 137
    assert "nobody is notified by the home's settings" in done.stderr
    assert "settings.toml" in done.stderr
    assert "witnessed" in done.stderr
    assert len(home.runs()) == 1


@pytest.mark.parametrize("text", ["no-such-command-at-all", "http://", "ftp://h/", "https://a:b@h/"])
def test_a_hook_that_is_none_ends_before_the_command_starts(home, text):
    done = home.run("run", "--notify", text, "--", "touch", str(home.folder / "ran"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert not (home.folder / "ran").exists()
    assert home.runs() == []


def test_an_agent_of_the_node_starts_nothing_for_others(home):
    home.environment["SAKSI_AGENT"] = str(home.folder / "agent.sock")
    done = home.run("run", "--notify", "true", "--", "touch", str(home.folder / "ran"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "starts nothing for others" in done.stderr
    assert not (home.folder / "ran").exists()


def test_a_python_without_ssl_and_a_defect_of_ours_are_said_and_cost_nothing(home, monkeypatch):
    settings(home, "[notify]\nwebhook = 'https://hooks.example.org/'\n")
    arguments, said = parse_arguments(["--", "x"]), []
    monkeypatch.setitem(sys.modules, "saksi.edges.webhook", None)
    assert notified_by(arguments, home.environment, say=said.append) == NOBODY
    assert "name a command instead" in said[0]
    monkeypatch.setattr(notified, "read_notify_settings", lambda _: 1 / 0)
    assert notified_by(arguments, home.environment, say=said.append) == NOBODY
    assert "ZeroDivisionError" in said[1]
    with pytest.raises(UsageError, match="posts nothing"):
        notified_by(parse_arguments(["--notify", "https://h/", "--", "x"]), home.environment, say=said.append)


def test_without_a_home_nothing_is_said_of_its_settings():
    assert notified_by(parse_arguments(["--", "x"]), {}, say=pytest.fail) == NOBODY


def test_hooks_are_bounded(home):
    arguments = parse_arguments([*["--notify", "true"] * (MAX_ASKED + 1), "--", "x"])
    with pytest.raises(UsageError, match="more than"):
        notified_by(arguments, home.environment, say=pytest.fail)


@pytest.mark.parametrize(
    ("hook", "lost"),
    [
        ("sleep 60", 2),
        ("false", 2),
        (f"{sys.executable} -c \"print('x' * 5_000_000)\"", 0),
        (f"{sys.executable} -c 'import os, signal; os.kill(os.getpid(), 9)'", 2),
    ],
)
def test_what_a_command_does_is_nothing_to_the_run_and_is_counted(home, hook, lost):
    before = time.monotonic()
    done = home.run("run", "--notify", hook, "--", *KILLED)
    assert done.returncode == 137
    assert time.monotonic() - before < LAST_NOTICES_S + 20
    assert done.stdout == ""
    assert (f"{lost} notices not delivered" in done.stderr) == bool(lost)
    assert ("notices were not taken" in (home.runs()[0] / "agent.log").read_text()) == bool(lost)
    assert home.run("fsck", "last").returncode == 0
    codes = {each["code"] for each in home.json("findings", "last")["items"]}
    assert codes == {"availability.killed", "coverage.no_training_seen"}


@pytest.mark.enable_socket
def test_a_url_hears_of_each_finding(home):
    posted = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        settings(home, f'[notify]\nwebhook = "http://127.0.0.1:{server.server_port}/x"\n')
        done = home.run("run", "--", *KILLED)
        server.shutdown()
        thread.join()
    assert (done.returncode, "not delivered" in done.stderr) == (137, False)
    assert {each["finding"]["code"] for each in posted} == {"availability.killed", "coverage.no_training_seen"}


@pytest.mark.enable_socket
def test_a_url_that_does_not_answer_is_nothing_to_the_run(home):
    with socket.create_server(("127.0.0.1", 0)) as silent, contextlib.suppress(OSError):
        before = time.monotonic()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        done = home.run("run", "--notify", url, "--", *KILLED)
        assert done.returncode == 137
        assert time.monotonic() - before < LAST_NOTICES_S + 20
        assert "2 notices not delivered" in done.stderr
