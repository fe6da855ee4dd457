"""The files below a root as a value, with their digests: one pass over what the cache does not know.

Rules:

- The digest belongs to one state of a file: its stamp is compared before and after the read. What changed has none.
- Small files are read by one thread: with two, handing the interpreter's lock over costs more than it gains. Files of
  more than a mebibyte are read by others meanwhile.
- Nothing raises for what is found there. What cannot be read has a reason.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple, Protocol, TypeVar

from saksi.edges.environment.stat_cache import DIGEST_BYTES, HEAD_BYTES, Known, stamp_key
from saksi.edges.environment.walk import Walked, words_of
from saksi.edges.files import MAX_FILE_BYTES
from saksi.judgement.environment.tree import Root, TreeFile
from saksi.judgement.redaction import printable

__all__ = ["Progress", "Read", "read_files", "root_of", "silent"]

LARGE: Final = 1 << 20
MAX_ROOT_BYTES: Final = 1 << 38
"""256 GiB, some minutes of reading: more is a data set that lies on the search path."""
_LARGE_THREADS: Final = 2
_CHANGED: Final = "it changed while it was read"
_OPEN: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

Value = TypeVar("Value")


class Progress(Protocol):
    """Whoever shows how far a loop is."""

    def __call__(self, values: Sequence[Value], what: str, /) -> Iterator[Value]:
        """`values`, one after the other."""


def silent(values: Sequence[Value], _what: str, /) -> Iterator[Value]:
    """No progress is shown."""
    return iter(values)


class Read(NamedTuple):
    """What a file says: its digest and first bytes, or why it has none."""

    digest: bytes | None
    head: bytes
    reason: str | None


_read = functools.partial(tuple.__new__, Read)


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
        return Read(None, b"", words_of(error))


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
        return Read(None, b"", words_of(error))


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
