"""Model checkpoints that torch saved or loaded: which file, as the kernel knows it, and the digest where bytes passed.

Patched, because there is no hook: `torch.save` and `torch.load` (also in `torch.serialization`).

A save to a path is left exactly as it is: torch names the folder inside the zip after the file, and `archive` for any
stream, so a save that passed through us would have other bytes. The agent hashes that file from outside, by device,
inode, size and mtime; a small one is read back besides, before anybody else can have changed it. A save to a stream
passes through a thin proxy, which changes nothing: torch calls only `write` and `flush` there, and the zip does not
depend on the stream's class.
"""

# ruff: noqa: SLF001, PTH100, PTH116  (torch gives no public name to what is read here; plain os: light, and also what old interpreters know)

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import stat
from typing import Any, Optional

import torch
import torch.serialization as _serialization

from . import holding, read_back, seams, session, state, thinning
from .guard import guarded
from .plain import text

_original_save = torch.save
_original_load = torch.load
_save_signature = inspect.signature(_original_save)
_load_signature = inspect.signature(_original_load)
MAX_UNREAD = 1024
_unread: set[tuple[Any, ...]] = set()
last_saved: list[Optional[str]] = [None]
"""The path of what was said to be saved last."""


class Tee:
    """A stream that counts and digests what is written, and is the user's own in everything else."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._digest: Optional[Any] = hashlib.sha256()
        self._size = 0

    def write(self, piece: Any) -> Any:
        """Write through, then digest; whatever the stream raises or returns is what the caller gets."""
        written = self._stream.write(piece)
        self._note(piece, written)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @guarded("ckpt")
    def _note(self, piece: Any, written: Any) -> None:
        view = memoryview(piece).cast("B")
        if isinstance(written, int) and written != len(view):
            self._digest = None  # a short write: the stream has other bytes than we were given
        if self._digest is not None:
            self._digest.update(view)
        self._size += len(view)


@functools.wraps(_original_save)
def save(*args: Any, **kwargs: Any) -> Any:
    """Torch's own; a stream it writes to is digested on the way."""
    if torch.compiler.is_compiling():
        return _original_save(*args, **kwargs)
    teed, args, kwargs = with_tee(args, kwargs)
    try:
        result = _original_save(*args, **kwargs)
    except BaseException:
        unsaved()
        raise
    saved(teed, args, kwargs)
    return result


@functools.wraps(_original_load)
def load(*args: Any, **kwargs: Any) -> Any:
    """Torch's own, told of afterwards."""
    if torch.compiler.is_compiling():
        return _original_load(*args, **kwargs)
    try:
        result = _original_load(*args, **kwargs)
    except Exception:
        unread(args[0] if args else kwargs.get("f"))
        raise
    loaded(args, kwargs)
    return result


def install() -> None:
    """Put the wrappers in place."""
    torch.save = _serialization.save = save
    torch.load = _serialization.load = load


def restore() -> None:
    """Put the originals back."""
    torch.save = _serialization.save = _original_save
    torch.load = _serialization.load = _original_load


def with_tee(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The arguments, with a stream replaced by its tee where that cannot change a byte."""
    teed = _tee(args, kwargs)
    if teed is None:
        return None, args, kwargs
    if len(args) > 1:
        return teed, (args[0], teed, *args[2:]), kwargs
    return teed, args, dict(kwargs, f=teed)


@guarded("ckpt")
def _tee(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Optional[Tee]:
    given = _save_signature.bind(*args, **kwargs)
    given.apply_defaults()
    target = given.arguments.get("f")
    if isinstance(target, (str, os.PathLike)) or not callable(getattr(target, "write", None)):
        return None
    # The old format writes large storages to the file descriptor, past any proxy.
    return Tee(target) if given.arguments.get("_use_new_zipfile_serialization") is True else None


@guarded("ckpt")
def saved(teed: Optional[Tee], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Say what was saved; a save wakes a forked child."""
    session.wake()
    holds = holding.of(args[0] if args else kwargs.get("obj"))
    if teed is not None:
        digest = None if teed._digest is None else "sha256:" + teed._digest.hexdigest()
        _say("saved", _path_of(teed._stream), None, digest, teed._size, holds)
        state.at_ckpt(teed._size)
        return
    size = say_file("saved", args[1] if len(args) > 1 else kwargs.get("f"), holds)
    if size:
        state.at_ckpt(size)


@guarded("ckpt")
def loaded(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Say what was loaded; not in the workers of a DataLoader, which may load one file for each sample."""
    if not is_in_a_worker():
        seams.loaded(say_file("loaded", args[0] if args else kwargs.get("f")))


@guarded("ckpt")
def unsaved() -> None:
    """A save raised, and may have left something: what is at its path is not what was saved there last."""
    if not session.dormant:
        session.uncovered("model checkpoints that were not saved", "a save raised, and may have left part of a file")


@guarded("ckpt")
def unread(target: Any) -> None:
    """Say a file that could not be loaded, once in each state; what is none, and a stream, nobody can look at."""
    if not isinstance(target, (str, os.PathLike)) or is_in_a_worker():
        return
    try:
        path, status = _stat(target)
    except Exception:  # a path of the program's own that says nothing
        return
    if status is None or not stat.S_ISREG(status.st_mode) or len(_unread) >= MAX_UNREAD:
        return
    known = (path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if known not in _unread:
        _unread.add(known)
        _say("unread", path, status, None, None, None)


def is_in_a_worker() -> bool:
    """Whether this is a DataLoader's worker, or a forked child that has not trained or saved."""
    return session.dormant or torch.utils.data.get_worker_info() is not None


def say_file(action: str, target: Any, holds: Optional[dict[str, int]] = None) -> int:
    """Say a file by its path, or a stream by its name; how many bytes it has, 0 where there is no such file."""
    path, status = _stat(target)
    by_path = action == "saved" and isinstance(target, (str, os.PathLike))  # a stream may not be written to its end
    digest = read_back.digest_of(path, status) if by_path and path is not None and status is not None else None
    _say(action, path, status, digest, None, holds)
    return 0 if status is None else status.st_size


def _stat(target: Any) -> tuple[Optional[str], Optional[os.stat_result]]:
    path = _path_of(target)
    if path is None:
        return None, None
    try:
        return path, os.stat(path)
    except OSError:
        return path, None


def _path_of(target: Any) -> Optional[str]:
    if not isinstance(target, (str, os.PathLike)):
        target = getattr(target, "name", None)
    if not isinstance(target, (str, os.PathLike)):
        return None
    path = os.fspath(target)
    return text(os.path.abspath(path)) if isinstance(path, str) else None


def _say(action: str, path: Any, status: Any, *known: Any) -> None:
    """`known`: the digest and the size, where `status` does not tell it, and what is known to be in the file."""
    digest, size, holds = known
    if action == "saved":
        last_saved[0] = path
        thinning.saved()
    fields: dict[str, Any] = {
        "action": action,
        "path": path,
        "digest": digest,
        "size": size if status is None else status.st_size,
        "device": None if status is None else status.st_dev,
        "inode": None if status is None else status.st_ino,
        "mtime_ns": None if status is None else status.st_mtime_ns,
        "step": session.step,
    }
    if holds is not None:
        fields["holds"] = holds
    session.say("ckpt", fields)
