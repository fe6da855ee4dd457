"""What the DataLoaders handed out: a digest of the bytes, and the sample ids the sampler chose.

Patched, because there is no hook: `__init__`, `_next_index` and `__next__` of torch's `_BaseDataLoaderIter`. Ids are
kept by the number of the task they were sent with, so that prefetching, workers and a second epoch cannot shift them.
An epoch is what comes of one iterator of the sampler; how it begins is asked in `epochs`.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import functools
import threading
import time
import weakref
from typing import Any, Optional

import torch
from torch.utils.data import dataloader as _dataloader

from . import contents, epochs, generators, memory, session
from .guard import guarded, wall_ns

MAX_IDS = 256
MAX_EPOCHS = 64  # under way, that a new connection is told of

_Iterator = _dataloader._BaseDataLoaderIter
_original_init = _Iterator.__init__
_original_index = _Iterator._next_index
_original_next = _Iterator.__next__

_loaders: Any = weakref.WeakKeyDictionary()
_iterators: Any = weakref.WeakKeyDictionary()
_loader_count = [0]


class _Known:
    """One iterator: its loader's numbers, the ids of each task not handed out yet, and the epoch that is under way."""

    def __init__(self, loader: list[int]) -> None:
        self.loader = loader
        self.ids: dict[int, Any] = {}
        self.epoch: Optional[int] = None
        self.drawn = 0  # batches that were chosen in it
        self.before = 0  # samples in those
        self.said: Optional[dict[str, Any]] = None


@functools.wraps(_original_init)
def iterate(self: Any, *args: Any, **kwargs: Any) -> None:
    """Torch's own, told of first."""
    if torch.compiler.is_compiling():
        return _original_init(self, *args, **kwargs)
    # Before the original: with workers, its subclass draws the first indices while it is being constructed.
    began(self, args, kwargs)
    return _original_init(self, *args, **kwargs)


@functools.wraps(_original_index)
def next_index(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Torch's own, and what it chose is noted."""
    if torch.compiler.is_compiling():
        return _original_index(self, *args, **kwargs)
    begins(self)
    index = _original_index(self, *args, **kwargs)
    chosen(self, index)
    return index


@functools.wraps(_original_next)
def next_batch(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Torch's own, and what it handed out is noted."""
    if torch.compiler.is_compiling():
        return _original_next(self, *args, **kwargs)
    if session.dormant:
        return _original_next(self, *args, **kwargs)
    start, own = time.monotonic_ns(), wall_ns()
    try:
        batch = _original_next(self, *args, **kwargs)
    except StopIteration:
        exhausted(self)
        raise
    # What we spent meanwhile is not the loader's; it is told apart, and taken off only once.
    waited = max(0, time.monotonic_ns() - start - (wall_ns() - own))
    if not session.trains_elsewhere():
        session.gathered.data_ns += waited
    handed_out(self, batch)
    return batch


def install() -> None:
    """Put the wrappers in place."""
    _Iterator.__init__ = iterate
    _Iterator._next_index = next_index
    _Iterator.__next__ = next_batch


def restore() -> None:
    """Put the originals back."""
    _Iterator.__init__ = _original_init
    _Iterator._next_index = _original_index
    _Iterator.__next__ = _original_next


@guarded("batches")
def began(iterator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A loader is iterated: number it the first time."""
    loader = args[0] if args else kwargs.get("loader")
    known = _loaders.get(loader)
    if known is None:
        known = _loaders[loader] = [_loader_count[0], 0, 0]  # its number, its batches, its epochs
        _loader_count[0] += 1
    _iterators[iterator] = _Known(known)


@guarded("epochs")
def begins(iterator: Any) -> None:
    """The sampler is about to choose: if it is for the first batch, an epoch begins."""
    known = _iterators.get(iterator)
    if known is None or (known.drawn and getattr(iterator, "_send_idx", None) != 0):
        return
    known.epoch, known.drawn, known.before, known.said = None, 0, 0, None
    known.said = {"loader": known.loader[0], **epochs.begun(iterator)}


@guarded("epochs")
def _begun(known: _Known) -> None:
    if known.said is not None:
        known.said["epoch"] = known.epoch = known.loader[2]
        known.loader[2] += 1
        epochs.after_the_draw(known.said)
        session.say("epoch", known.said)


@guarded("batches")
def chosen(iterator: Any, index: Any) -> None:
    """The sampler chose the ids of the task that is about to be sent."""
    known = _iterators.get(iterator)
    if known is None:
        return
    if not known.drawn:
        _begun(known)
    task = getattr(iterator, "_send_idx", -1)  # without workers there is one task at a time
    if task == 0:
        known.ids.clear()  # a new epoch of workers that stayed: what was prefetched before is void
    known.drawn += 1
    known.ids[task] = (
        known.before,
        list(index) if type(index) is list else index,
    )  # a dataset may sort what it is handed
    known.before += len(index) if type(index) in (list, tuple) else 1


@guarded("epochs")
def exhausted(iterator: Any) -> None:
    """There is no more to hand out: the epoch is whole."""
    known = _iterators.get(iterator)
    if known is not None and known.epoch is not None and known.said is not None:
        known.said = None  # once: an iterator may be asked again
        session.say("exhausted", {"loader": known.loader[0], "epoch": known.epoch, "batches": known.drawn})


@guarded("epochs", list)
def announced() -> list[tuple[str, dict[str, Any]]]:
    """The frames for epochs under way as a connection begins."""
    under_way = [one.said for one in list(_iterators.values()) if one.said is not None and one.drawn]
    return [("epoch", said) for said in under_way[-MAX_EPOCHS:]]


@guarded("batches")
def handed_out(iterator: Any, batch: Any) -> None:
    """Note a batch for the next update."""
    known = _iterators.get(iterator)
    if known is None:
        return
    number = known.loader[1]
    known.loader[1] += 1
    received = getattr(iterator, "_rcvd_idx", None)
    before, index = known.ids.pop(-1 if received is None else received - 1, (None, None))
    place = known.drawn - 1 if received is None else received - 1
    if not getattr(iterator, "_in_order", True):
        index = None
        known.ids.clear()
    if session.hollow:  # no update is told of it
        return
    if session.trains_elsewhere():
        _say_elsewhere()
        return
    gathered = session.gathered
    ids = _ids(index)
    said_ids = ids if ids is not None and len(ids) <= MAX_IDS else None
    with memory.quiet():
        said = contents.digest(batch, said_ids)
    handed = {
        "loader": known.loader[0],
        "ordinal": number,
        "digest": said.digest,
        "items": len(ids) if ids is not None else said.items,
        "ids": said_ids,
    }
    if said.rows is not None:
        handed.update(said.rows)
    if known.epoch is not None and getattr(iterator, "_in_order", True):
        handed.update(epoch=known.epoch, place=max(0, place), before=before)
    _keep(gathered, (threading.get_ident(), handed))


def _keep(gathered: Any, one: tuple[int, dict[str, Any]]) -> None:
    if len(gathered.batches) < session.FIRST_BATCHES:
        gathered.batches.append(one)
        return
    gathered.batches_omitted += len(gathered.latest) == session.LATEST_BATCHES
    gathered.latest.append(one)


@guarded("batches", lambda: {"batches": [], "batches_omitted": 0})
def of_this_training(gathered: Any) -> dict[str, Any]:
    """The fields of an update that tell of those that a thread that trains was handed, which may be known only now."""
    first, latest = _of_trainers(gathered.batches), _of_trainers(gathered.latest)
    if len(first) + len(latest) < len(gathered.batches) + len(gathered.latest):
        _say_elsewhere()
    fields = {"batches": first + latest, "batches_omitted": gathered.batches_omitted}
    if gathered.batches_omitted:
        fields["batches_behind"] = len(latest)
    return fields


def _of_trainers(handed: Any) -> list[dict[str, Any]]:
    return [batch for thread, batch in handed if thread in session.trainers]


def _say_elsewhere() -> None:
    reason = "it is not known for which update: they are not in the record"
    session.uncovered("batches that were fetched in another thread than that of the updates", reason)


@guarded("batches", dict)
def generator_states() -> dict[str, str]:
    """The digest of each generator that a DataLoader, or its sampler, was given. Call inside `quiet`."""
    return {name: generators.of_torch(one) for name, one in own_generators()}


def own_generators() -> list[tuple[str, Any]]:
    """Name and generator of those that loaders, or their samplers, were given."""
    out = []
    for loader, (number, _, _) in list(_loaders.items()):
        own, of_sampler = getattr(loader, "generator", None), getattr(loader.sampler, "generator", None)
        named = [("loader.%d" % number, own)]
        if of_sampler is not own:
            named.append(("loader.%d.sampler" % number, of_sampler))
        out += [(name, one) for name, one in named if isinstance(one, torch.Generator) and one.device.type == "cpu"]
    return out


def _ids(index: Any) -> Optional[list[int]]:
    chosen_ids = index if isinstance(index, (list, tuple)) else [index]
    if all(type(one) is int and -(2**63) <= one < 2**63 for one in chosen_ids):
        return list(chosen_ids)
    return None


def _forget() -> None:
    for known in list(_loaders.values()):
        known[1] = 0


session.wakers.append(_forget)
