"""Where a mapped object lies, and what was sealed there.

Rules:

- The environment's sealed files come first: by path below a root, or by device and inode, since a package may be links
  into a store. Then installed packages by what their RECORD lists, the standard library, caches of kernels and
  extensions, libraries below the interpreter's prefix, the user's own folders, the launch's LD_LIBRARY_PATH, the
  system's folders.
- A folder of the system is one of `SYSTEM`, or any that root alone can write, for a job that is not root's.
- A folder of packages, and a library, are such only where they are of the interpreter (`installations`).
- Nothing here is a judgement: a place is told, and read by the check.

BUG: whoever may write to a cache, or to the folder of the script, has objects there that are told as such.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.environment.installations import LIBRARY, SITE, Installations
from saksi.edges.environment.source_places import MAX_DISTRIBUTIONS, MAX_RECORD_BYTES, OwnCode
from saksi.edges.files import OnBehalf, read_file
from saksi.judgement.environment.door_variables import LOADING, VARIABLES, paths_named
from saksi.judgement.environment.watched_files import FileAt, FilesAt
from saksi.words.records import ObjectOrigin

__all__ = ["ObjectPlaces", "SealedFiles", "Surroundings", "named_objects"]

SYSTEM: Final = ("/usr/", "/lib/", "/lib64/", "/lib32/", "/opt/")
"""As the file-system hierarchy standard has them; compilers, drivers and toolkits are installed below /opt."""
_OPEN: Final = ("/dev/shm/", "/dev/hugepages/", "/dev/mqueue/")  # noqa: S108 - folders of /dev that hold plain files
LD_SO_PRELOAD: Final = Path("/etc/ld.so.preload")
MAX_PRELOAD_BYTES: Final = 65_536
CACHES: Final = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "TORCH_EXTENSIONS_DIR", "PYTORCH_KERNEL_CACHE_PATH")
_CACHE: Final = re.compile(r"/(torchinductor_[^/]+|torch_extensions|\.triton/cache|\.cache/torch/kernels)/")
_LISTED: Final = re.compile(rb"(?m)^([^,\"\n]+\.so(?:\.[^,/\n]*)?),")


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What the seal says of where objects may come from. `prefixes` hold what the interpreter brings besides packages.

    `search_path` are the folders of the launch's LD_LIBRARY_PATH; `libraries` are the standard library and the site
    folder of the interpreter. `root` is whether the job is root's: then root's alone means nothing.
    """

    own: OwnCode = OwnCode()
    prefixes: tuple[str, ...] = ()
    search_path: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    root: bool = True


class SealedFiles:
    """The files of the environment as they were sealed, and as the look at the start found them."""

    def __init__(self, sealed: FilesAt, found: FilesAt) -> None:
        self._sealed = sealed.files
        self._roots = [(os.path.realpath(folder), label) for label, folder in found.places.items()]
        self._by_inode: dict[tuple[int, ...], tuple[str, str]] = {}
        self._by_state: dict[tuple[int, ...], str] = {}
        for key, at in found.files.items():
            if at.state:
                self._by_inode[at.state[:2]] = key
                if at.digest is not None:
                    self._by_state[at.state] = at.digest

    def at(self, path: str, found: os.stat_result | None) -> FileAt | None:
        """What was sealed at `path`, whose state is `found`; `None` if nothing was."""
        for folder, label in self._roots:
            if path.startswith(f"{folder}/"):
                sealed = self._sealed.get((label, path[len(folder) + 1 :]))
                if sealed is not None:
                    return sealed
        key = None if found is None else self._by_inode.get((found.st_dev, found.st_ino))
        return None if key is None else self._sealed.get(key)

    def digest(self, found: os.stat_result) -> str | None:
        """The digest of a file that is in the state in which the look found it."""
        state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        return self._by_state.get(state)


class ObjectPlaces:
    """Answers for one attempt; remembers what packages list. Owned by one thread."""

    def __init__(self, around: Surroundings, *, on_behalf_of: OnBehalf | None = None) -> None:
        self._root = around.root
        # The kernel names a file by its path without links, a seal as the user went there.
        self._own, self._prefixes, self._search_path = (
            tuple(dict.fromkeys(os.path.realpath(each) for each in folders if each))
            for folders in (around.own.folders, around.prefixes, around.search_path)
        )
        self._on_behalf_of = on_behalf_of
        self._installations = Installations(around.own.installations, around.own.sites, on_behalf_of=on_behalf_of)
        self._listed: dict[Path, frozenset[str]] = {}
        self.read_ns = 0  # CPU time that lists of packages took: once for each folder of packages

    def place(self, path: str, caches: tuple[str, ...]) -> ObjectOrigin:
        """Where `path`, which is none of the sealed files, lies; `caches` are folders the process keeps kernels in.

        Raises `OSError` where the file system does not say.
        """
        if path.startswith(("/dev/", "/SYSV", "anon_inode:")) and not path.startswith(_OPEN):
            return "device"
        if path.startswith("/memfd:") or not path.startswith("/"):
            return "memory"
        installed = self._installed(path)
        if installed is not None:
            return installed
        if _CACHE.search(path) is not None or _below(path, caches):
            return "cache"
        if _below(path, self._prefixes):
            return "prefix"
        if _below(path, self._own):
            return "tree"
        if _below(path, self._search_path):
            return "search_path"
        return "system" if path.startswith(SYSTEM) or self._is_roots(path) else "elsewhere"

    def _installed(self, path: str) -> ObjectOrigin | None:
        parts = path.split("/")
        for at in range(len(parts) - 2, 0, -1):
            if parts[at] in SITE:
                if path.startswith(SYSTEM[0]) and parts[at] == "dist-packages":  # Debian's have no RECORD
                    return "system"
                site = Path("/".join(parts[: at + 1]))
                if not self._installations.has(site):
                    return None
                listed = self._objects(site)
                return "package" if "/".join(parts[at + 1 :]) in listed else "elsewhere"
            if LIBRARY.match(parts[at]) is not None:
                library = "/".join(parts[: at + 1])
                if os.path.isfile(f"{library}/os.py") and self._installations.has(Path(library)):  # noqa: PTH113 - as text
                    return "library"
        return None

    def _objects(self, site: Path) -> frozenset[str]:
        """The shared objects that the installed distributions of `site` list."""
        found = self._listed.get(site)
        if found is None:
            begun = time.thread_time_ns()
            listed: set[str] = set()
            for record in sorted(site.glob("*.dist-info/RECORD"))[:MAX_DISTRIBUTIONS]:
                content = read_file(record, MAX_RECORD_BYTES, on_behalf_of=self._on_behalf_of).content or b""
                listed.update(each.decode("utf-8", "replace") for each in _LISTED.findall(content))
            found = self._listed[site] = frozenset(listed)
            self.read_ns += time.thread_time_ns() - begun
        return found

    def _is_roots(self, path: str) -> bool:
        """Whether root alone could have put the file there. The job's own account must not be root."""
        if self._root:
            return False
        try:
            states = [each.lstat() for each in (Path(path), *Path(path).parents)]
        except OSError:
            return False
        return all(each.st_uid == 0 and not each.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for each in states)


def named_objects(variables: Mapping[str, str], folder: str) -> dict[str, str]:
    """The variable that names each object: by its resolved path, or by its file name where only that is given."""
    named: dict[str, str] = {}
    for variable in VARIABLES:
        name = variable.name
        parts = paths_named(variable, variables.get(name, "")) if name in LOADING else ()
        for part in parts:
            if part:
                named.setdefault(_resolved(part, folder), name)
            if name.startswith("NCCL_") and "/" not in part:
                named.setdefault(f"libnccl-{name.split('_')[1].lower()}-{part}.so", name)
    content = read_file(LD_SO_PRELOAD, MAX_PRELOAD_BYTES).content or b""
    for part in content.decode("utf-8", "replace").replace(":", " ").split():
        named.setdefault(_resolved(part, folder), str(LD_SO_PRELOAD))
    return named


def _resolved(part: str, folder: str) -> str:
    return part if "/" not in part else os.path.realpath(os.path.join(folder, part))  # noqa: PTH118 - may be anything


def _below(path: str, folders: tuple[str, ...]) -> bool:
    return any(each not in ("", "/") and path.startswith(f"{each.rstrip('/')}/") for each in folders)
