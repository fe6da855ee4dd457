"""The model checkpoint that a replay resumes from: what the run saved, where the program looks for it.

Rules: it has to hold the bytes that the agent saw saved, and must import nothing that acts as it is loaded: what a
pickle runs would run in the replay too. It is put into a check-out only where nothing is, and into one that is this
replay's own.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from saksi.edges.pickle_imports import MORE, pickle_imports
from saksi.judgement.checks.ckpt_imports import executing, unexpected
from saksi.judgement.replay.stretches import Restart
from saksi.words.errors import UsageError

__all__ = ["opened", "pour", "put_in_place"]


def put_in_place(
    restart: Restart, folder: Path, placed: Sequence[tuple[Path, Path]], beside: Path
) -> tuple[tuple[Path, Path], ...]:
    """What is to be `placed` so that the model checkpoint is where a program in `folder` looks for it.

    Of each pair the first folder stands in the place of the second. Where that is a check-out, one of this replay's own
    takes its place, at `beside`, where nothing is yet: others that go on at the same time do not see the file. Raises
    `UsageError`, `OSError`.
    """
    path = Path(os.path.normpath(folder / restart.path))
    pairs = tuple(placed)
    with opened(path) as file:
        _require_saved(file, path, restart)
        _require_plain(file, path)
        for at, (source, target) in enumerate(pairs):
            if path.is_relative_to(target) and source.is_dir():
                shutil.copytree(source, beside, symlinks=True, copy_function=_link)
                _copy(file, beside, path.relative_to(target))
                pairs = (*pairs[:at], (beside, target), *pairs[at + 1 :])
                break
    return pairs


@contextlib.contextmanager
def opened(path: Path) -> Iterator[io.FileIO]:
    """A file of the run's, and no pipe or device in its place. Raises `UsageError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    with io.FileIO(descriptor) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UsageError(f"{path} is no file")
        yield file


def _require_saved(file: io.FileIO, path: Path, restart: Restart) -> None:
    other = restart.size is not None and os.fstat(file.fileno()).st_size != restart.size
    if other or f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" != restart.digest:
        raise UsageError(f"{path} has changed since the run saved it")


def _require_plain(file: io.FileIO, path: Path) -> None:
    file.seek(0)
    names = pickle_imports(file)
    if names is None:  # no pickle: nothing that is imported, as far as that can be said
        return
    acting = (*executing(names), *unexpected(names), *(name for name in names if name == MORE))
    if acting:
        raise UsageError(f"{path} imports {acting[0]} as it is loaded, and is loaded by no replay")


def _link(source: str, target: str) -> None:
    """A second name for a file that no replay can write to, since there is a layer above it; a copy elsewhere."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _copy(file: io.FileIO, checkout: Path, name: Path) -> None:
    """A copy below `checkout`, which follows no link that leads elsewhere and replaces nothing."""
    parent = (checkout / name).parent
    there = next(each for each in (parent, *parent.parents) if each.is_dir())
    if not there.resolve().is_relative_to(checkout.resolve()):
        raise UsageError(f"{name}: a link of the sealed commit leads elsewhere")
    parent.mkdir(parents=True, exist_ok=True)
    copy = parent.resolve() / name.name
    try:
        descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"{name} is in the sealed commit too") from None
    with os.fdopen(descriptor, "wb") as out:
        pour(file, out)


def pour(file: io.FileIO, out: IO[bytes]) -> None:
    """All of the file. Raises `OSError`."""
    file.seek(0)
    while chunk := file.read(1 << 20):
        out.write(chunk)
