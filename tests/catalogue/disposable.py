"""A disposable environment with the real torch: an interpreter, a library and packages of its own, made in a second.

What a test may edit is a copy; all the rest are links to what is installed, so that nothing large is copied. Whatever
is written here is taken back by `restore`, and nothing is ever written through a link.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import marshal
import os
import re
import shutil
import struct
import sys
import venv
from pathlib import Path

from edges.environment.environments import row

COPIED = "torch/optim"
LIBRARY = f"python{sys.version_info[0]}.{sys.version_info[1]}"


class Disposable:
    """`python` is its interpreter, `site` its folder of packages, `library` its standard library."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.library = folder / "base" / "lib" / LIBRARY
        self.site = folder / "venv" / "lib" / LIBRARY / "site-packages"
        self.python = folder / "venv" / "bin" / "python"
        self._before: dict[Path, bytes | None] = {}

    def make(self) -> None:
        """Everything, once."""
        base = self._base()
        venv.EnvBuilder(with_pip=False, symlinks=True).create(self.folder / "venv")
        settings = self.folder / "venv" / "pyvenv.cfg"
        lines = settings.read_text().splitlines(keepends=True)
        settings.write_text("".join(f"home = {base.parent}\n" if each.startswith("home =") else each for each in lines))
        for name in [each.name for each in self.python.parent.glob("python*")]:
            (self.python.parent / name).unlink()
            (self.python.parent / name).symlink_to(base)
        linked: set[str] = set()
        for name in ("torch", "numpy"):
            self._link(name, linked)

    def _base(self) -> Path:
        """What a base image brings: an interpreter that finds the standard library beside it."""
        installed = Path(os.path.realpath(sys.executable))
        self.library.mkdir(parents=True)
        for each in Path(os.__file__).parent.iterdir():
            if each.name not in ("site-packages", "dist-packages", "__pycache__", "sitecustomize.py", "random.py"):
                (self.library / each.name).symlink_to(each)
        shutil.copy(Path(os.__file__).with_name("random.py"), self.library / "random.py")
        for each in (installed.parents[1] / "lib").glob("libpython*"):
            (self.library.parent / each.name).symlink_to(each)
        base = self.folder / "base" / "bin" / installed.name
        base.parent.mkdir()
        shutil.copy(installed, base)
        return base

    def _link(self, name: str, linked: set[str]) -> None:
        """The top-level entries of a distribution and of all that it requires.

        They are links, but for what is edited of torch, and its list.
        """
        linked.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # what is for other systems only
            return
        top = {each.parts[0] for each in found.files or ()} - {"..", "__pycache__"}
        for entry in sorted(top):
            installed = Path(str(found.locate_file(entry)))
            if entry == "torch":
                self._link_but(installed, self.site / entry, COPIED.partition("/")[2])
            elif name == "torch" and entry.endswith(".dist-info"):
                shutil.copytree(installed, self.site / entry)
            elif not (self.site / entry).exists():
                (self.site / entry).symlink_to(installed)
        required = [re.match(r"[\w.-]+", each)[0] for each in found.requires or () if "extra ==" not in each]
        for each in required:
            if each not in linked:
                self._link(each, linked)

    @staticmethod
    def _link_but(installed: Path, here: Path, copied: str) -> None:
        here.mkdir()
        for each in installed.iterdir():
            if each.name == copied:
                shutil.copytree(each, here / copied, ignore=shutil.ignore_patterns("__pycache__"))
            elif each.name != "__pycache__":
                (here / each.name).symlink_to(each)

    def write(self, file: Path, content: str | bytes) -> Path:
        """Write a file that `restore` puts back."""
        if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(self.folder)):
            raise AssertionError(f"{file} is no file of the disposable environment")
        if file not in self._before:
            self._before[file] = file.read_bytes() if file.exists() else None
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    def append(self, file: Path, more: str) -> Path:
        """Edit a file that is there."""
        return self.write(file, file.read_text() + more)

    def remove(self, file: Path) -> None:
        """Remove a file until `restore`."""
        self.write(file, b"")
        file.unlink()

    def install(self, name: str, version: str, files: dict[str, str], *, entry_points: str | None = None) -> None:
        """A distribution as an installer leaves it, with its list; another version of it goes first."""
        for old in self.site.glob(f"{name}-*.dist-info"):
            for each in sorted(old.iterdir()):
                self.remove(each)
            old.rmdir()
        info = f"{name}-{version}.dist-info"
        inside = {**files, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}
        if entry_points is not None:
            inside[f"{info}/entry_points.txt"] = entry_points
        rows = [row(path, self.write(self.site / path, text).read_bytes()) for path, text in inside.items()]
        self.write(self.site / info / "RECORD", "".join(f"{each}\n" for each in [*rows, f"{info}/RECORD,,"]))

    def list_anew(self, path: str) -> Path:
        """Give a file of torch a row in RECORD that fits it, as somebody does who hides an edit."""
        (info,) = self.site.glob("torch-*.dist-info")
        lines = (info / "RECORD").read_text().splitlines()
        new = [row(path, (self.site / path).read_bytes()) if each.startswith(f"{path},") else each for each in lines]
        assert new != lines
        return self.write(info / "RECORD", "\n".join(new) + "\n")

    def keep(self) -> None:
        """What was written so far is how the environment is from now on."""
        self._before.clear()

    def restore(self) -> None:
        """Put back what was written since the last `keep`."""
        for file, content in self._before.items():
            if content is None:
                file.unlink(missing_ok=True)
                if file.parent.is_dir() and not any(file.parent.iterdir()):
                    file.parent.rmdir()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        self._before.clear()

    def forge(self, path: str, text: str) -> Path:
        """Bytecode of other source text, under a header that is right for the source at `path`."""
        source = self.site / path
        pyc = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        made = source.stat()
        header = (0, int(made.st_mtime) & 0xFFFFFFFF, made.st_size & 0xFFFFFFFF)  # PEP 552: by time and size
        code = compile(text, str(source), "exec", dont_inherit=True)
        return self.write(pyc, importlib.util.MAGIC_NUMBER + struct.pack("<3I", *header) + marshal.dumps(code))
