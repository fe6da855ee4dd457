"""Disposable environments: a real venv without pip, with packages that were "installed" by hand."""

from __future__ import annotations

import base64
import hashlib
import os
import py_compile
import sys
import time
import venv
from pathlib import Path

from judgement.environment.manifests import against
from saksi.edges.environment import roots
from saksi.edges.environment.examine import examine
from saksi.edges.environment.listing import Question
from saksi.edges.environment.remembered import RACY_NS
from saksi.judgement.environment.judge import judge_environment

ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent"}
SGD = """\
class SGD:
    def step(self, rate=0.1):
        def scaled(value):
            return value * rate
        return scaled(2.0)
"""


def later():
    return time.time_ns() + 10 * RACY_NS


def row(path, content):
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}"


class Environment:
    """A venv at `folder`. `site` is its purelib."""

    def __init__(self, folder):
        venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
        self.folder = Path(folder)
        self.python = self.folder / "bin" / "python"
        self.site = next(self.folder.glob("lib/python*/site-packages"))

    def put(self, path, content):
        file = self.site / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    def install(self, name="toytorch", version="1.0", *, files, extra_rows=(), metadata=None):
        """A distribution as pip leaves it; `files` by path, relative to purelib."""
        info = f"{name}-{version}.dist-info"
        inside = {"METADATA": f"Name: {name}\nVersion: {version}\n", "INSTALLER": "pip\n", **(metadata or {})}
        everything = {**files, **{f"{info}/{each}": text for each, text in inside.items()}}
        rows = []
        for path, text in everything.items():
            content = self.put(path, text).read_bytes()
            rows.append(row(path, content))
        rows += [*extra_rows, f"{info}/RECORD,,"]
        self.put(f"{info}/RECORD", "\n".join(rows) + "\n")
        return self.site / info

    def compile(self, path, *, mode=py_compile.PycInvalidationMode.TIMESTAMP, optimise=-1):
        made = py_compile.compile(str(self.site / path), doraise=True, invalidation_mode=mode, optimize=optimise)
        return Path(made)

    def forge(self, path, text, *, flags=None):
        """Bytecode of other source text, under a header that is right for the file at `path`."""
        source = self.site / path
        pyc = self.compile(path)
        code = compile(text, str(source), "exec", dont_inherit=True)
        head = pyc.read_bytes()[:16]
        if flags is not None:
            head = head[:4] + flags.to_bytes(4, "little") + b"\0" * 8
        pyc.write_bytes(head + __import__("marshal").dumps(code))
        return pyc

    def question(self, *, environment=ENVIRONMENT, bytecode=True, cache=None, python=None, jobs=1):
        return Question(
            python=python or self.python,
            environment=environment,
            folder=self.folder,
            cache=cache,
            bytecode=bytecode,
            jobs=jobs,
        )

    def observed(self, *, now_ns=None, **options):
        return examine(self.question(**options), now_ns=now_ns or later())

    def judged(self, expected=None, source="wheels", **options):
        observed = self.observed(**options)
        return judge_environment(observed, None if expected is None else against(observed, expected, source))


def without_stdlib(monkeypatch):
    """Leave the standard library out: its bytecode alone takes a minute to compare."""
    whole = roots._interpreter

    def bare(finder, *given):
        base = whole(finder, *given)
        finder.places = [each for each in finder.places if each.label != "stdlib"]
        return base

    monkeypatch.setattr(roots, "_interpreter", bare)


def kinds(report):
    return [(each.kind, each.label, each.path) for each in report.differences]


VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
