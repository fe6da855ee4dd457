"""Where signed heads go at once, so that what they cover can no longer be rewritten or cut off unseen.

`--anchor` names a folder, best one that another account owns, or a command:

- an existing folder, or text that ends in `/`: each head becomes `<folder>/<run>/<size, 12 digits>.note`, written once,
  with the modes the umask gives, since somebody else is meant to read it;
- text whose first word is a command: it is started with the note on its standard input, and has 10 seconds. Exit 0
  means that the note is kept;
- a URL comes with the server.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from saksi.edges.store.durable import flush_folder, told, write_all
from saksi.proofs.tlog.note import MAX_NOTE_BYTES
from saksi.words.errors import Conflict, StoreError, UsageError

__all__ = ["Anchor", "CommandAnchor", "FolderAnchor", "parse_anchor", "read_anchors"]

COMMAND_SECONDS: Final = 10.0
"""How long a command may take for one head. It runs beside the agent, but later heads wait for it."""

MAX_ANCHORS: Final = 1_000_000
"""Notes read from one folder: a head every ten seconds for 115 days. More is somebody filling the disk."""

_SIZE_DIGITS: Final = 12
_NOTE: Final = re.compile(r"[0-9]{12,19}\.note", re.ASCII)
_RUN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ERROR_CHARS: Final = 200


class FolderAnchor(NamedTuple):
    """Heads are kept as files below `folder`."""

    folder: Path

    @property
    def target(self) -> str:
        """How records name it."""
        return str(self.folder)

    def send(self, run: str, size: int, note: bytes) -> None:
        """Keep the head for good. The same head again is accepted.

        Raises `Conflict` if another head of that size is there, and `StoreError` if the disk refuses.
        """
        if _RUN.fullmatch(run) is None:
            raise ValueError(f"{run[:80]!r} cannot name a folder of anchors")
        path = self.folder / run / f"{size:0{_SIZE_DIGITS}d}.note"
        with told("anchor to", path):
            _make(path.parent)
            staged = path.with_name(f".{path.name}.{os.getpid()}")
            staged.unlink(missing_ok=True)
            fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            try:
                write_all(fd, note)
                os.fsync(fd)
                _link_once(staged, path, note)
            finally:
                os.close(fd)
                staged.unlink(missing_ok=True)
            flush_folder(path.parent)


class CommandAnchor(NamedTuple):
    """Heads are handed to a command."""

    argv: tuple[str, ...]
    seconds: float = COMMAND_SECONDS

    @property
    def target(self) -> str:
        """How records name it: the program, since its arguments may hold a secret."""
        return self.argv[0]

    def send(self, run: str, size: int, note: bytes) -> None:
        """Start the command with the note on its standard input. Raises `StoreError` unless it ends with 0 in time."""
        what = f"anchor command {self.argv[0]} for {size} entries of run {run}"
        with told("start", Path(self.argv[0])), tempfile.TemporaryFile() as errors:
            # Its error output goes to a file: a grandchild that keeps a pipe open would hold us for ever.
            # Its own session: on time-out the whole group is ended.
            child = subprocess.Popen(
                self.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
            try:
                child.communicate(note, timeout=self.seconds)
            except subprocess.TimeoutExpired:
                raise StoreError(f"{what}: no end after {self.seconds:g} seconds") from None
            finally:
                _end(child)
            if child.returncode != 0:
                errors.seek(0)
                said = errors.read(1 << 16).decode("utf-8", "replace").strip().splitlines()
                tail = f": {said[-1][:_ERROR_CHARS]}" if said else ""
                raise StoreError(f"{what}: ended with {child.returncode}{tail}")


Anchor = FolderAnchor | CommandAnchor


def parse_anchor(text: str, *, which: Callable[[str], str | None] = shutil.which) -> Anchor:
    """The anchor that `--anchor text` names. Raises `UsageError` with what to write instead."""
    if _URL.match(text):
        raise UsageError(
            f"--anchor {text}: a server as anchor comes with `saksi serve`", remedy="name a folder or a command"
        )
    if text.endswith("/") or (text and Path(text).is_dir()):  # Path("") would be the present folder
        return FolderAnchor(Path(text).absolute())
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--anchor {text}: {error}", remedy="check the quotes of the command") from error
    found = which(words[0]) if words else None
    if found is None:
        raise UsageError(
            f"--anchor {text}: neither a folder nor a command",
            remedy="make the folder, end its name with '/', or give a command found on PATH",
        )
    return CommandAnchor((str(Path(found).absolute()), *words[1:]))


def read_anchors(path: Path, run: str | None = None) -> list[bytes]:
    """The notes of an anchor folder, the smallest head first; of `run`'s folder in it if there is one.

    `path` may also be one note. Nothing is verified here. Raises `UsageError` if there is no such file or folder,
    `StoreError` if it cannot be read or goes over a limit.
    """
    if run is not None and _RUN.fullmatch(run) is not None and (path / run).is_dir():
        path /= run
    with told("read", path):
        if path.is_file():
            return [_note_of(path)]
        if not path.is_dir():
            raise UsageError(f"{path} is neither a folder of anchors nor a note")
        names = sorted((p for p in path.iterdir() if _NOTE.fullmatch(p.name)), key=lambda p: int(p.stem))
        if len(names) > MAX_ANCHORS:
            raise StoreError(f"{path} holds {len(names):,} notes, the limit is {MAX_ANCHORS:,}")
        return [_note_of(p) for p in names]


def _note_of(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        note = file.read(MAX_NOTE_BYTES + 1)
    if len(note) > MAX_NOTE_BYTES:
        raise StoreError(f"{path} is larger than a note can be ({MAX_NOTE_BYTES:,} bytes)")
    return note


def _make(folder: Path) -> None:
    if folder.is_dir():
        return
    folder.mkdir(exist_ok=True, parents=True)
    # A drop box of another account can be written and not listed, and a folder is opened for reading to be flushed.
    with contextlib.suppress(PermissionError):
        flush_folder(folder.parent)


def _link_once(staged: Path, path: Path, note: bytes) -> None:
    try:
        os.link(staged, path)
    except FileExistsError:
        if path.read_bytes() != note:
            raise Conflict(f"{path} already holds another head of this size") from None


def _end(child: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the command's group, and collect it."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if child.stdin is not None:
        child.stdin.close()
