"""Real accounts: processes under uids that own nothing, with an environment that they can read. For root only.

No entry in /etc/passwd is needed, and nothing outside one folder below /var/tmp is touched. Where the interpreter or
its packages lie behind a folder that only root may enter, they are copied into that folder; not linked, since a further
link is a change of the files that other tests look at.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import saksi
from saksi.edges.host.procfs import children_of
from saksi.edges.store.local import LocalStore
from saksi.proofs.journal import parse_journal
from saksi.words.codec import decode_record

JOB, AGENT, OTHER = 64_001, 64_002, 64_003
NAMES = {JOB: "job", AGENT: "agent", OTHER: "other", 0: "agent"}


class Accounts:
    """A folder that every account can enter, with a home for each, and a Python with saksi and torch."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="saksi-accounts-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.python = _interpreter(self.folder)
        packages = _readable(Path(sysconfig.get_path("purelib")), self.folder / "packages")
        source = _readable(Path(saksi.__file__).parents[1], self.folder / "src")
        self.path = f"{source}{os.pathsep}{packages}"
        for uid, name in ((each, NAMES[each]) for each in (JOB, AGENT, OTHER)):
            (self.folder / name).mkdir(mode=0o700)
            os.chown(self.folder / name, uid, uid)

    def home_of(self, uid):
        return self.folder / NAMES[uid]

    def environment(self, uid, **added):
        home = self.home_of(uid)
        return {
            "PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8",
            "PYTHONPATH": self.path, "OMP_NUM_THREADS": "1", **added,
        }  # fmt: skip

    def popen(self, uid, *words, added=None, **options):
        options.setdefault("cwd", self.home_of(uid))
        return subprocess.Popen(
            [str(each) for each in words],
            user=uid, group=uid, extra_groups=[], env=self.environment(uid, **(added or {})), **options,
        )  # fmt: skip

    def run(self, uid, *words, added=None, timeout=100):
        with self.popen(
            uid,
            *words,
            added=added,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        ) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Service:
    """`saksi agent` under the agent's account."""

    def __init__(self, accounts, name, *, settings="", home=None, contained=False):
        self.accounts = accounts
        self.root = accounts.folder / name
        self.root.mkdir(mode=0o755, exist_ok=True)
        os.chown(self.root, AGENT, AGENT)
        self.socket = self.root / "run" / "agent.sock"
        self.home = home or accounts.home_of(AGENT) / name
        if settings:
            self.home.mkdir(mode=0o700)
            (self.home / "agent.toml").write_text(settings)
            for each in (self.home, self.home / "agent.toml"):
                os.chown(each, AGENT, AGENT)
        self.log = (self.root / "log").open("w")
        uid, prefix = AGENT, ()
        if contained:  # in a pid namespace of its own
            uid = 0
            prefix = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "setpriv", f"--reuid={AGENT}",
                      f"--regid={AGENT}", "--clear-groups")  # fmt: skip
        self.process = accounts.popen(
            uid, *prefix, accounts.python, "-m", "saksi.doors.main", "agent",
            "--home", self.home, "--socket", self.socket, stderr=self.log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(lambda: "listening at" in self.said() or self.process.poll() is not None)
        assert self.process.poll() is None, self.said()

    def said(self):
        return (self.root / "log").read_text()

    def saksi(self, uid, *words, popen=False, **options):
        """`saksi` as `uid` types it on this node."""
        added = {"SAKSI_AGENT": str(self.socket), **options.pop("added", {})}
        command = (self.accounts.python, "-m", "saksi.doors.main", *words)
        start = self.accounts.popen if popen else self.accounts.run
        return start(uid, *command, added=added, **options)

    def read(self, *words):
        """A read command, as the agent's account gives it."""
        return self.saksi(AGENT, *words, added={"SAKSI_HOME": str(self.home)})

    def json(self, *words):
        done = self.read(*words, "--json")
        return json.loads(done.stdout or done.stderr)

    def runs(self):
        folder = self.home / "runs"
        return sorted(folder.iterdir(), key=lambda each: each.stat().st_ctime_ns) if folder.exists() else []

    def records(self, folder, kind=object):
        entries = parse_journal(LocalStore(folder).journal()).entries
        return [each for each in map(decode_record, entries) if isinstance(each, kind)]

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            inner = children_of(self.process.pid)  # of `unshare`, which passes nothing on
            os.kill(inner[0] if inner else self.process.pid, number)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        self.log.close()


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def _interpreter(folder):
    """The interpreter of this environment, or the same one where every account can start it."""
    program = Path(os.path.realpath(sys.executable))
    if _reachable(program):
        return program
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base, copy = Path(sys.base_prefix), folder / "python"
    (copy / "bin").mkdir(parents=True)
    (copy / "lib").mkdir()
    _copy(program, copy / "bin" / version)
    for library in (base / "lib").glob("libpython*"):
        _copy(library, copy / "lib" / library.name)
    _tree(base / "lib" / version, copy / "lib" / version, without=("test", "site-packages", "idlelib"))
    return copy / "bin" / version


def _readable(folder, copy):
    """`folder` itself if every account can read in it, else a copy in which they can."""
    if not _reachable(folder):
        _tree(folder, copy, without=())
        return copy
    return folder


def _reachable(path):
    resolved = Path(os.path.realpath(path))
    return all(each.stat().st_mode & 0o001 for each in resolved.parents) and bool(resolved.stat().st_mode & 0o004)


def _tree(source, target, *, without):
    shutil.copytree(source, target, copy_function=_copy, ignore=shutil.ignore_patterns(*without), symlinks=False)
    for where, folders, _ in os.walk(target):
        for each in (where, *(os.path.join(where, name) for name in folders)):
            os.chmod(each, 0o755)


def _copy(source, target):
    shutil.copy2(source, target)
    os.chmod(target, os.stat(target).st_mode | 0o444)
