"""Runs `saksi run` as a user would: the installed command, a home of its own, output kept apart."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from saksi.edges.host.procfs import read_process
from saksi.edges.store.local import LocalStore
from saksi.proofs.journal import parse_journal
from saksi.words.codec import decode_record

SAKSI = [sys.executable, "-m", "saksi.doors.main"]


class Home:
    """A home for saksi and everything its runs left there."""

    def __init__(self, folder: Path, *, cache: Path | None = None):
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SAKSI")},
            "SAKSI_HOME": str(folder / "home"),
            "XDG_CACHE_HOME": str(cache or _shared_cache(folder)),
        }

    def popen(self, *words, **options):
        options.setdefault("env", self.environment)
        return subprocess.Popen([*SAKSI, *words], **options)

    def run(self, *words, timeout=100, **options):
        options.setdefault("env", self.environment)
        return subprocess.run([*SAKSI, *words], capture_output=True, text=True, timeout=timeout, check=False, **options)

    def runs(self):
        folder = self.folder / "home" / "runs"
        return sorted(folder.iterdir(), key=lambda each: each.stat().st_ctime_ns) if folder.exists() else []

    def records(self, number=-1):
        entries = parse_journal(LocalStore(self.runs()[number]).journal()).entries
        return [decode_record(entry) for entry in entries]

    def json(self, *words):
        return json.loads(self.run(*words, "--json").stdout)


def agents_alive(home):
    """The agents that wrote this home's runs and still exist, by pid (the lock's text is the writer's)."""
    found = []
    for folder in home.runs():
        try:
            process = read_process(int((folder / "lock").read_text()))
        except (OSError, ValueError):
            continue
        if process is not None and process.state != "Z":  # some systems reap orphans only seconds later
            found.append(process.pid)
    return found


def _shared_cache(folder):
    """One cache for a session's tests, of all its workers: bytecode is then compiled once, as for a real user."""
    base = next((each for each in folder.parents if re.fullmatch(r"pytest-\d+", each.name)), folder)
    return base / "saksi-cache"
