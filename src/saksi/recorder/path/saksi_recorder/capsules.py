"""Capsules: the whole state behind a Step, written to a file that a replay can begin with (`spec/capsule.md`).

Rules: what a capsule holds is what the root behind the same Step binds, byte for byte, with the generators, scalers and
the beginnings of epochs that no root binds; written between two Steps by the training thread, which costs what writing
the file takes. One that cannot be whole is none, and is said once. With a budget they become rarer as it fills: each
second one goes, and twice as many Steps lie between those to come. Room is left on the disk for everybody else.

Patched, where capsules are asked for alone, and because there is no hook: `DataLoader.__iter__`, whose draws come
before those that an epoch is known by, and `GradScaler.__init__`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import weakref
from typing import Any, Optional

import torch
from torch.amp.grad_scaler import GradScaler
from torch.utils.data import DataLoader

from . import capsule_writing, generator_states, memory, session, state, steps
from .guard import guarded
from .plain import text

MAX_EPOCHS = 1_000  # whose beginnings are kept, some 20 kB each
FIRST = 100  # Steps between two, as long as the budget has room
RESERVE = 1024 * 1024 * 1024  # bytes that stay free on the disk

_original_iter = DataLoader.__iter__
_original_init = GradScaler.__init__

_every = [0]  # Steps between two; 0: none are written any more
_budget: list[Optional[int]] = [None]  # bytes that those of all ranks of a machine may take
_folder = [""]
_kept: list[tuple[int, str, int]] = []  # Step, path and size of those that are on the disk
_epochs: list[dict[str, Any]] = []
_scalers: list[Any] = []


def install() -> None:
    """Take the settings, and put the wrappers in place."""
    asked, _, folder = os.environ["SAKSI_CAPSULES"].partition(":")
    word, _, value = asked.partition("=")
    if word not in ("every", "budget") or not value.isdigit() or not os.path.isabs(folder):  # noqa: PTH117 - light
        raise ValueError("SAKSI_CAPSULES is neither every=STEPS:FOLDER nor budget=BYTES:FOLDER")
    os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103 - light, and what old interpreters know
    _folder[0] = folder
    _every[0], _budget[0] = (int(value), None) if word == "every" else (FIRST, int(value))
    DataLoader.__iter__ = iterate  # type: ignore[method-assign]
    GradScaler.__init__ = made  # type: ignore[method-assign]
    state.also_due.append(is_due)
    steps.ended.append(ended)


def restore() -> None:
    """Put the originals back."""
    DataLoader.__iter__ = _original_iter  # type: ignore[method-assign]
    GradScaler.__init__ = _original_init  # type: ignore[method-assign]
    if ended in steps.ended:
        steps.ended.remove(ended)
        state.also_due.remove(is_due)
    _every[0], _budget[0] = 0, None


def after_fork_in_child() -> None:
    """What the parent wrote is the parent's, and its beginnings of epochs are those of the child too."""
    _kept.clear()


@functools.wraps(_original_iter)
def iterate(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Torch's own; what the generators are before it draws is noted."""
    if torch.compiler.is_compiling():
        return _original_iter(self, *args, **kwargs)
    _begins()
    return _original_iter(self, *args, **kwargs)


@functools.wraps(_original_init)
def made(self: Any, *args: Any, **kwargs: Any) -> None:
    """Torch's own, noted."""
    if torch.compiler.is_compiling():
        return _original_init(self, *args, **kwargs)
    _original_init(self, *args, **kwargs)
    _scalers.append(weakref.ref(self))
    return None


def is_due(step: int) -> bool:
    """Whether a capsule is written behind this Step, and so a root taken."""
    return bool(_every[0]) and (step + 1) % _every[0] == 0


@guarded("capsules")
def _begins() -> None:
    if session.dormant or not _every[0]:
        return
    if len(_epochs) >= MAX_EPOCHS:
        _give_up("loaders were iterated more than %d times" % MAX_EPOCHS)
        return
    with memory.quiet():
        _epochs.append(generator_states.of_process())


@guarded("capsules")
def ended(step: int) -> None:
    """A Step has returned, and its root was taken."""
    if not is_due(step):
        return
    rooted = state.last_said[0]
    if rooted is None or rooted[0] != step:
        _give_up("no root of the state is known as the Step returns, as where some of it lies on a device")
        return
    try:
        with memory.quiet():
            _take(step, *rooted[1:])
    except capsule_writing.UnfitError as why:
        _give_up(str(why))
    except OSError as error:
        _give_up("one could not be written: %s" % (error.strerror or type(error).__name__))


def _take(step: int, root: str, layout: str) -> None:
    """Raises `UnfitError`, `OSError`."""
    rank, world_size = session.world()
    entries = state.listed()
    header = capsule_writing.header_of(
        entries,
        rank=str(rank),
        step=str(step),
        root=root,
        layout=layout,
        generators=generator_states.of_all(),
        epochs=_epochs,
        scalers=[None if one() is None else one().state_dict() for one in _scalers],
    )
    size = capsule_writing.size_of(header, entries)
    if not _fits(step, size, session.count_of("LOCAL_WORLD_SIZE", world_size)):
        return
    path = os.path.join(_folder[0], "%d-%012d-%d.safetensors" % (rank, step, os.getpid()))  # noqa: PTH118 - light
    capsule_writing.write(path, header, entries)
    _kept.append((step, path, size))
    status = os.stat(path)  # noqa: PTH116 - light
    _tell(
        path=text(path),
        size=status.st_size,
        device=status.st_dev,
        inode=status.st_ino,
        mtime_ns=status.st_mtime_ns,
        step=step,
        root=root,
    )


def _fits(step: int, size: int, ranks: int) -> bool:
    """Whether there is room for one more, once others are gone that the budget has none for."""
    limit = None if _budget[0] is None else _budget[0] // max(1, ranks)
    if limit is not None and size > limit:
        _give_up("one takes more than the budget")
        return False
    while limit is not None and sum(kept for _, _, kept in _kept) + size > limit and is_due(step):
        _thin()
    if not is_due(step):
        return False
    free = os.statvfs(_folder[0])
    if free.f_bavail * free.f_frsize < size + RESERVE:
        _give_up("the disk would have less than %d MiB left" % (RESERVE >> 20))
        return False
    return True


def _thin() -> None:
    """Each second one goes, which is said: an audit knows from the record which are there."""
    _every[0] *= 2
    for one in [each for each in _kept if (each[0] + 1) % _every[0]]:
        _kept.remove(one)
        with contextlib.suppress(OSError):
            os.unlink(one[1])  # noqa: PTH108 - light
    _tell()


def _give_up(reason: str) -> None:
    """What was written stays."""
    every, _every[0] = _every[0], 0
    _epochs.clear()
    _tell(reason=reason, every=every)


def _tell(**known: Any) -> None:
    nothing = dict.fromkeys(("path", "size", "device", "inode", "mtime_ns", "root", "reason"))
    session.say("capsule", {**nothing, "step": session.step, "every": _every[0], **known})
