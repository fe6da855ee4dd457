r"""What a process has mapped as code, and some of the variables that it was started with: /proc/PID/maps and environ.

Rules:

- Only what the kernel says, of executable mappings: files each once (path, device, inode, whether the name is gone),
  those without a file counted. Pages that were made executable, written and made unexecutable again are not seen.
- A path is bytes that the job chooses. The kernel spells a line break in it as `\012`; what is no UTF-8 is escaped,
  and what is too long for a record is cut: no file is looked for under such a path.
- `environ` is what the kernel laid down at `exec`. A process can overwrite that memory; `putenv` leaves it as it is.

The format is proc(5), `/proc/pid/maps` and `/proc/pid/environ`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

from saksi.edges.host.procfs import PROC
from saksi.words.errors import MalformedInput

__all__ = ["MAX_MAPS", "Mapped", "MappedFile", "Raw", "parse_environ", "parse_maps", "read_raw"]

MAX_MAPS: Final = 8 << 20
"""Bytes of `maps` that are read: some 80,000 mappings; the kernel allows 65,530 (vm.max_map_count)."""
MAX_ENVIRON: Final = 8 << 20
"""The kernel gives arguments and environment together a quarter of the stack's limit, mostly 2 MiB, at most 6 MiB."""
MAX_FILES: Final = 4_096
"""Different executable files of one process: torch with CUDA maps about 150."""
MAX_PATH: Final = 4_096
"""Characters of a path: what a record's text holds."""
_DELETED: Final = " (deleted)"
_LINE: Final = re.compile(
    rb"([0-9a-f]{1,16})-([0-9a-f]{1,16}) ([r-][w-][x-][ps]) ([0-9a-f]{1,16}) "
    rb"([0-9a-f]{2,}:[0-9a-f]{2,}) ([0-9]{1,20})(?: +([^\n]*))?"
)

Hidden: TypeAlias = Literal["gone", "permission"]


class MappedFile(NamedTuple):
    """A file that is mapped as code. `deleted`: its name is gone, or belongs to another file by now.

    `whole` is false where the path was cut or escaped, so that it names no file.
    """

    path: str
    device: str
    inode: int
    deleted: bool
    whole: bool


class Mapped(NamedTuple):
    """The executable mappings of a process: files, how many have none, how many files are beyond the limit."""

    files: tuple[MappedFile, ...]
    anonymous: int
    omitted: int


class Raw(NamedTuple):
    """The two files as read, `environ` null with a `reason`. `same_root`: a path names the same file for us."""

    maps: bytes
    environ: bytes | None
    same_root: bool
    reason: str | None = None

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.maps) + len(self.environ or b"")


def read_raw(pid: int) -> Raw | Hidden:
    """What the kernel says of `pid` now, or why not. Takes the process's memory lock for a moment."""
    folder = PROC / str(pid)
    maps = _maps(folder)
    if maps is None:  # /proc may be mounted so that it hides other accounts' processes (hidepid)
        return "permission" if _exists(pid) else "gone"
    if not isinstance(maps, bytes):
        return maps
    same_root = _same_root(str(folder))
    environ, reason = _environ(folder)
    if (not same_root or not environ) and not isinstance(again := _maps(folder), bytes):
        return again or "gone"  # by now: what was read of it meanwhile says nothing
    return Raw(maps, environ, same_root, reason)


def _maps(folder: Path) -> bytes | Hidden | None:
    """What is mapped; `None` where there is no such file."""
    try:
        with (folder / "maps").open("rb") as file:
            return file.read(MAX_MAPS) or "gone"  # empty: a zombie, or in the middle of exec
    except PermissionError:
        return "permission"
    except FileNotFoundError:
        return None
    except OSError:
        return "gone"


def _environ(folder: Path) -> tuple[bytes | None, str | None]:
    """The variables it began with, or why not."""
    try:
        with (folder / "environ").open("rb") as file:
            environ = file.read(MAX_ENVIRON + 1)
    except OSError as error:
        return None, f"the variables it began with cannot be read: {error.strerror}"
    if len(environ) > MAX_ENVIRON:
        return None, f"the variables it began with have more than the {MAX_ENVIRON:,} bytes read"
    return environ, None


def parse_maps(content: bytes) -> Mapped:
    """The executable mappings in `maps`; a last line that was cut counts as omitted. Raises `MalformedInput`."""
    files: dict[tuple[bytes, bytes, bytes], None] = {}
    anonymous = 0
    whole, _, rest = content.rpartition(b"\n")
    for line in whole.split(b"\n") if whole else []:
        found = _LINE.fullmatch(line)
        if found is None:
            raise MalformedInput("maps", f"a line that proc(5) does not know: {line[:80]!r}")
        if found[3][2:3] != b"x":
            continue
        device, inode, path = found[5], found[6], found[7] or b""
        if path.startswith(b"["):  # [vdso] and [vsyscall] are the kernel's own, [heap] and [anon:…] memory
            anonymous += path not in (b"[vdso]", b"[vsyscall]")
        elif not path:
            anonymous += 1
        else:
            files[path, device, inode] = None
    kept = list(files)[:MAX_FILES]
    return Mapped(tuple(_file(*each) for each in kept), anonymous, len(files) - len(kept) + bool(rest))


def parse_environ(content: bytes, names: Container[str]) -> dict[str, str]:
    """The variables with these names; of one that is there twice the first, as `getenv` answers."""
    found: dict[str, str] = {}
    whole, _, _ = content.rpartition(b"\0")
    for each in whole.split(b"\0"):
        name, equals, value = each.partition(b"=")
        word = name.decode("utf-8", "surrogateescape")
        if equals and word in names:
            found.setdefault(word, value.decode("utf-8", "surrogateescape"))
    return found


def _file(path: bytes, device: bytes, inode: bytes) -> MappedFile:
    raw = path.replace(b"\\012", b"\n")
    text = raw.decode("utf-8", "backslashreplace")
    deleted = text.endswith(_DELETED)
    text = text.removesuffix(_DELETED)
    printable = text.isprintable() and len(text) <= MAX_PATH
    whole = printable and text.encode("utf-8") == raw.removesuffix(_DELETED.encode())
    shown = text if printable else text.encode("unicode_escape").decode("ascii")
    number = min(int(inode), 2**63 - 1)
    return MappedFile(shown[:MAX_PATH], device.decode("ascii")[:32], number, deleted, whole)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _same_root(folder: str) -> bool:
    """Whether a path of that process names the same file here: one mount namespace, one root."""
    try:
        names = [os.readlink(f"{each}/ns/mnt") for each in (folder, "/proc/self")]  # noqa: PTH115 - no paths of files
        roots = [os.stat(f"{each}/root") for each in (folder, "/proc/self")]  # noqa: PTH116 - as above
    except OSError:
        return False
    return names[0] == names[1] and os.path.samestat(*roots)
