"""The files below a root, and their digests: a walk, then one pass over what the cache does not know.

Rules:

- Links are followed and said. A link back to a folder that it lies in is a loop and is listed, not entered. Links to
  one folder are followed up to `MAX_NAMES` times: links to folders of links would be exponentially many.
- In a checkout a folder is passed over only where no import reaches it: version control, hidden folders, and inside a
  virtual environment those with a dot in their name, as its `python3.11`. Which, is said.
- The digest belongs to one state of a file: its stamp is compared before and after the read. What changed has none.
- Small files are read by one thread: with two, handing the interpreter's lock over costs more than it gains. Files of
  more than a mebibyte are read by others meanwhile.
- Nothing raises for what is found there. What cannot be listed or read has a reason.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec

from saksi.edges.environment.stat_cache import DIGEST_BYTES, HEAD_BYTES, Known, stamp_key
from saksi.edges.files import MAX_FILE_BYTES
from saksi.judgement.environment.tree import MAX_TREE_FILES, Root, TreeFile
from saksi.judgement.redaction import printable

__all__ = ["Folder", "Place", "Progress", "Read", "Walk", "Walked", "read_files", "root_of", "silent", "walk"]

LARGE: Final = 1 << 20
MAX_DEPTH: Final = 64
"""Folders in folders: no import reaches deeper, and PATH_MAX ends soon after."""
MAX_NAMES: Final = 16
"""Of one folder, by links to it: real ones have two (`lib64`)."""
MAX_FOLDERS: Final = 500_000
"""In one root. A torch environment has 2,000, a cluster's shared installation fifty times that."""
MAX_ROOT_BYTES: Final = 1 << 38
"""256 GiB, some minutes of reading: more is a data set that lies on the search path."""
_LARGE_THREADS: Final = 2
_CHANGED: Final = "it changed while it was read"
_MAX_PASSED: Final = 100
"""Folders that are named as passed over."""
_OPEN: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

Value = TypeVar("Value")


class Progress(Protocol):
    """Whoever shows how far a loop is."""

    def __call__(self, values: Sequence[Value], what: str, /) -> Iterator[Value]:
        """`values`, one after the other."""


def silent(values: Sequence[Value], _what: str, /) -> Iterator[Value]:
    """No progress is shown."""
    return iter(values)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A root to be listed: `only` these entries below `folder`, or everything; never what is in `skip` (absolute).

    `checkout`: folders that no import reaches are passed over. `also` are entries that belong to the root and lie
    outside of it, by their path from it; `named` such that go by a name of their own, each with its absolute path.
    """

    label: str
    folder: str
    only: tuple[str, ...] | None = None
    also: tuple[str, ...] = ()
    named: tuple[tuple[str, str], ...] = ()
    skip: frozenset[str] = frozenset()
    checkout: bool = False


class Walked(NamedTuple):
    """One entry: its path below the root, where it lies, its state (of what a link leads to), why it is not read."""

    path: str
    where: str
    found: os.stat_result | None
    link: str | None
    reason: str | None


class Folder(NamedTuple):
    """A folder that was listed: its path below the root (with `/`, empty for the root), its state, the names in it.

    `names` is a hash of them in this process; bytecode that was made anew counts as another name.
    """

    path: str
    found: os.stat_result
    names: int


class Walk(NamedTuple):
    """A root as it was listed: its files, sorted, and why they are not all of them, if they are not.

    `passed` are the first folders of a checkout that were not entered, since no import reaches them.
    """

    files: list[Walked]
    reason: str | None
    folders: list[Folder]
    passed: tuple[str, ...]


_walked = functools.partial(tuple.__new__, Walked)
"""Half the cost of the named form, 21,000 times."""


class Read(NamedTuple):
    """What a file says: its digest and first bytes, or why it has none."""

    digest: bytes | None
    head: bytes
    reason: str | None


_read = functools.partial(tuple.__new__, Read)


def walk(place: Place, *, limit: int = MAX_TREE_FILES, go_on: Callable[[], bool] = lambda: True) -> Walk:
    """What lies below a root. Once `go_on` is false, the rest is not listed, and `reason` says so."""
    walker = _Walker(place, limit, go_on)
    if place.only is None:
        walker.folder(place.folder, "", ())
    for each in (*(place.only or ()), *place.also):
        walker.entry(os.path.normpath(os.path.join(place.folder, each)), each, ())  # noqa: PTH118 - text for speed
    for name, where in place.named:
        walker.entry(where, name, ())
    walker.files.sort()
    return Walk(walker.files, walker.reason, walker.folders, tuple(sorted(walker.passed)))


class _Walker:
    def __init__(self, place: Place, limit: int, go_on: Callable[[], bool]) -> None:
        self._place = place
        self._limit = limit
        self._go_on = go_on
        self._entered: Counter[tuple[int, int]] = Counter()
        self.files: list[Walked] = []
        self.folders: list[Folder] = []
        self.passed: list[str] = []
        self.reason: str | None = None

    def folder(
        self, folder: str, below: str, above: tuple[tuple[int, int], ...], *, in_environment: bool = False
    ) -> None:
        """Everything in `folder`; `above` are the folders that it lies in, to see loops."""
        if self.reason is not None:
            return
        try:
            found = os.stat(folder)  # noqa: PTH116 - text for speed: a Path for each of 21,000 files costs more than they do
            identity = (found.st_dev, found.st_ino)
            why = self._not_entered(identity, above)
            if why is not None:
                self.files.append(Walked(below.rstrip("/"), folder, None, _link(folder), why))
                return
            with os.scandir(folder) as entries:
                listed = list(entries)
        except (OSError, ValueError) as error:
            self.files.append(Walked(below.rstrip("/") or ".", folder, None, None, f"its folder: {_words(error)}"))
            return
        names = {each.name for each in listed}
        caches = {each.inode() for each in listed if each.name == "__pycache__"}
        self.folders.append(Folder(below, found, hash((frozenset(names), frozenset(caches)))))
        in_environment = in_environment or (below != "" and "pyvenv.cfg" in names)
        inside = (*above, identity)
        files, skip = self.files, self._place.skip
        for entry in listed:
            if len(files) >= self._limit:
                self.reason = f"more than {self._limit:,} files: the rest was not listed"
            if self.reason is not None:
                return
            path = f"{below}{entry.name}"
            try:
                if entry.is_file(follow_symlinks=False):
                    files.append(_walked((path, entry.path, entry.stat(follow_symlinks=False), None, None)))
                elif entry.path in skip or self._passes_over(entry, path, in_environment=in_environment):
                    continue
                elif entry.is_dir(follow_symlinks=False):
                    self.folder(entry.path, f"{path}/", inside, in_environment=in_environment)
                else:
                    self.entry(entry.path, path, inside, in_environment=in_environment)
            except OSError as error:
                files.append(Walked(path, entry.path, None, None, _words(error)))

    def _not_entered(self, identity: tuple[int, int], above: tuple[tuple[int, int], ...]) -> str | None:
        """Why a folder is listed by its name alone; if the whole walk is to end, `reason` says so from now on."""
        if identity in above:
            return "a link into its own folder"
        if len(above) > MAX_DEPTH:
            return f"more than {MAX_DEPTH} folders deep"
        self._entered[identity] += 1
        if self._entered[identity] > MAX_NAMES:
            return f"the folder that it leads to has more than {MAX_NAMES} names"
        if len(self.folders) >= MAX_FOLDERS:
            self.reason = f"more than {MAX_FOLDERS:,} folders: the rest was not listed"
        elif not self._go_on():
            self.reason = "the look was ended before every folder was listed"
        return self.reason

    def _passes_over(self, entry: os.DirEntry[str], path: str, *, in_environment: bool) -> bool:
        """Whether an entry of a checkout is a folder that no import reaches: a module's name has no dot in it."""
        hidden = entry.name.startswith(".") or (in_environment and "." in entry.name)
        passed = self._place.checkout and hidden and entry.is_dir()
        if passed and len(self.passed) < _MAX_PASSED:
            self.passed.append(path)
        return passed

    def entry(self, where: str, path: str, above: tuple[tuple[int, int], ...], *, in_environment: bool = False) -> None:
        """One entry by name, links followed; what is not there is not listed unless a link says that it is."""
        link = _link(where)
        try:
            found = os.stat(where)  # noqa: PTH116 - as above
        except FileNotFoundError:
            if link is not None:
                self.files.append(Walked(path, where, None, link, "a link to something that is not there"))
            return
        except (OSError, ValueError) as error:
            self.files.append(Walked(path, where, None, link, _words(error)))
            return
        if stat.S_ISDIR(found.st_mode):
            self.folder(where, f"{path}/", above, in_environment=in_environment)
        else:
            reason = None if stat.S_ISREG(found.st_mode) else "not a regular file"
            self.files.append(Walked(path, where, found, link, reason))


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)  # noqa: PTH115 - as above
    except OSError:
        return None


def _words(error: Exception) -> str:
    if getattr(error, "errno", None) == errno.ELOOP:
        return "a loop of links"
    return getattr(error, "strerror", None) or type(error).__name__


def read_files(files: Sequence[Walked], known: Known, *, progress: Progress = silent) -> list[Read]:
    """What each of `files` says, in their order; from the cache where the file is the same."""
    reads: list[Read | None] = [None] * len(files)
    small: list[int] = []
    large: list[tuple[int, Future[Read]]] = []
    left = MAX_ROOT_BYTES
    with ThreadPoolExecutor(_LARGE_THREADS, thread_name_prefix="saksi-hash") as pool:
        for at, each in enumerate(files):
            if each.found is None or each.reason is not None:
                reads[at] = Read(None, b"", each.reason)
                continue
            value = known.recall(stamp_key(each.found))
            if value is not None:
                reads[at] = _read((value[:DIGEST_BYTES], value[DIGEST_BYTES:], None))
            elif each.found.st_size > left:
                reads[at] = Read(None, b"", f"more than {MAX_ROOT_BYTES:,} bytes are not read")
            else:
                left -= each.found.st_size
                if each.found.st_size > LARGE:
                    large.append((at, pool.submit(_read_large, each)))
                else:
                    small.append(at)
        for at in progress(small, "hashing files"):
            reads[at] = _read_small(files[at])
        for at, future in progress(large, "hashing large files"):
            reads[at] = future.result()
    done = [each if each is not None else Read(None, b"", "it was not read") for each in reads]
    for at in (*small, *(at for at, _ in large)):
        found, read = files[at].found, done[at]
        if found is not None and read.digest is not None:
            known.learn(stamp_key(found), found, read.digest, read.head)
    return done


def _read_small(file: Walked) -> Read:
    try:
        descriptor = os.open(file.where, _OPEN)
        try:
            before = os.fstat(descriptor)
            # Another file, or one that grew: what it says of its size is not what is set aside for it.
            if (changed := _same(file, before, before, before.st_size)) is not None:
                return changed
            content = os.read(descriptor, before.st_size + 1)
            while len(content) <= before.st_size and (more := os.read(descriptor, LARGE)):
                content += more
            return _same(file, before, os.fstat(descriptor), len(content)) or Read(
                hashlib.sha256(content).digest(), content[:HEAD_BYTES], None
            )
        finally:
            os.close(descriptor)
    except (OSError, ValueError, MemoryError) as error:
        return Read(None, b"", _words(error))


def _read_large(file: Walked) -> Read:
    try:
        with open(os.open(file.where, _OPEN), "rb", buffering=0) as opened:  # noqa: PTH123 - a descriptor
            before = os.fstat(opened.fileno())
            if before.st_size > MAX_FILE_BYTES:
                return Read(None, b"", f"more than {MAX_FILE_BYTES:,} bytes are not read")
            hasher, buffer, length, head = hashlib.sha256(), bytearray(LARGE), 0, b""
            view = memoryview(buffer)
            while length <= before.st_size and (count := opened.readinto(buffer)):
                head = head or bytes(view[:HEAD_BYTES])
                hasher.update(view[:count])
                length += count
            changed = _same(file, before, os.fstat(opened.fileno()), length)
            return changed or Read(hasher.digest(), head, None)
    except (OSError, ValueError, MemoryError) as error:
        return Read(None, b"", _words(error))


def _same(file: Walked, before: os.stat_result, after: os.stat_result, length: int) -> Read | None:
    """`None` if what was read is the file that was listed, in one state; else why not."""
    if not stat.S_ISREG(before.st_mode):
        return Read(None, b"", "not a regular file")
    key = stamp_key(before)
    if file.found is None or stamp_key(file.found) != key or stamp_key(after) != key or length != before.st_size:
        return Read(None, b"", _CHANGED)
    return None


def root_of(label: str, files: Sequence[Walked], reads: Sequence[Read], reason: str | None) -> Root:
    """The root as a value. Of two names that read the same when written down, the first is kept, and that is said."""
    listed: dict[str, TreeFile] = {}
    for (written, _, found, link, _), (digest, _, why) in zip(files, reads, strict=True):
        path = written if written.isascii() else printable(written)
        if path in listed:
            reason = reason or "two of its files have names that cannot be told apart in writing"
            continue
        listed[path] = TreeFile(
            path=path,
            digest=None if digest is None else f"sha256:{digest.hex()}",
            size=0 if found is None else found.st_size,
            link=None if link is None else printable(link)[:4096],
            reason=why,
        )
    ordered = tuple(listed[path] for path in sorted(listed))
    return Root(label=label, files=ordered, reason=reason)
