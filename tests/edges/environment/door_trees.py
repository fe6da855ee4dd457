"""A disposable environment as a tree of files: a venv's shape, with an interpreter that is told and not asked."""

from __future__ import annotations

import base64
import hashlib
import os
import venv
from pathlib import Path

from saksi.edges.environment.doors import Surroundings, observe_doors
from saksi.edges.environment.interpreter import Python, PythonFile, describe

VERSION = "3.11.7"


class Tree:
    """`prefix` is a venv whose standard library lies in `base`; `system` is the root of the system's files."""

    def __init__(self, folder, version=VERSION):
        minor = ".".join(version.split(".")[:2])
        self.folder = folder
        self.version = version
        self.prefix, self.base, self.system = folder / "venv", folder / "base", folder / "system"
        self.site = self.prefix / f"lib/python{minor}/site-packages"
        self.stdlib = self.base / f"lib/python{minor}"
        self.home = folder / "home"
        for each in (self.site, self.stdlib, self.system / "etc", self.home, self.prefix / "bin", self.base / "bin"):
            each.mkdir(parents=True)
        for each in ("os.py", "random.py", "encodings/__init__.py"):
            self.write(self.stdlib / each)
        self.write(self.base / "bin/python3")
        (self.prefix / "bin/python").symlink_to(self.base / "bin/python3")
        self.settings(f"home = {self.base / 'bin'}\ninclude-system-site-packages = false\n")

    def settings(self, text):
        self.write(self.prefix / "pyvenv.cfg", text)

    def write(self, path, content=""):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def install(self, name, files, folder=None):
        """A distribution with a RECORD."""
        site = self.site if folder is None else folder
        rows = ""
        for path, text in files.items():
            self.write(site / path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            rows += f"{path},sha256={digest},{len(text)}\n"
        self.write(site / f"{name}.dist-info/RECORD", rows + f"{name}.dist-info/RECORD,,\n")

    def python(self, *, sees_base=False, of_base=False):
        minor = ".".join(self.version.split(".")[:2])
        path = self.base / "bin/python3" if of_base else self.prefix / "bin/python"
        file = PythonFile(
            digest="sha256:" + "0" * 64, version=self.version, build="", implementation="cpython", cache_tag=None,
            base_prefix=str(self.base), executable=str(path), base_site=(str(self.stdlib / "site-packages"),),
            site_below_prefix=(f"/@prefix@/lib/python{minor}/site-packages",),
            stdlib=(str(self.stdlib),), libraries=(), magic="",
        )  # fmt: skip
        prefix = self.base if of_base else self.prefix
        return Python(
            path=path, real_path=self.base / "bin/python3", prefix=prefix, sees_base=sees_base or of_base, file=file
        )

    def report(self, *, letters="", python=None, recorder=None, **environment):
        surroundings = Surroundings(
            environment={"HOME": str(self.home), **environment}, folder=self.folder, account=os.getuid(),
            letters=frozenset(letters), system=self.system, recorder=recorder,
        )  # fmt: skip
        return observe_doors(self.python() if python is None else python, surroundings)

    def doors(self, kind=None, **options):
        """The doors of one kind, by name; those of the tree itself left out."""
        report = self.report(**options)
        return {each.name: each for each in report.doors if kind is None or each.kind == kind}


class RealVenv:
    """A real virtual environment of the interpreter that runs the tests."""

    def __init__(self, folder):
        venv.EnvBuilder(with_pip=False, symlinks=True).create(folder / "venv")
        self.folder = folder
        self.path = folder / "venv/bin/python"
        self.site = next((folder / "venv").glob("lib/python*/site-packages"))
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8"}

    def report(self, **environment):
        around = {**self.environment, **environment}
        python = describe(Path(self.path), around, cache=None, now_ns=0)
        return observe_doors(
            python, Surroundings(environment=around, folder=self.folder, account=os.getuid(), system=self.folder)
        )
