"""One Update of one rank with everything that was said around it: what two runs are compared by.

Rules: times, process ids, counters of the connection and the recorder's own cost are left out, since no two runs
share them; so are keyed fingerprints, whose key is new in every process. What happens between two updates (seeds,
loads) belongs to the update that follows it, a root of Step k to Step k itself. What a device did not deliver is
named, so that its absence is not taken for a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from saksi.judgement.deferral import Deferral
from saksi.judgement.items import Item
from saksi.judgement.machines import FLAGS_OF_THE_MACHINE
from saksi.judgement.trained_state import TrainedStates
from saksi.words.frames import (
    AnyFrame,
    Batch,
    CkptFrame,
    DetachFrame,
    HelloFrame,
    InventoryFrame,
    LayoutFrame,
    ModuleFrame,
    OptimizerFrame,
    RootFrame,
    SeededFrame,
    UpdateFrame,
)
from saksi.words.records import AttachRecord, BlockRecord

__all__ = ["FIELD_ORDER", "Key", "UpdateView", "update_views"]

FIELD_ORDER: Final = (
    "setting",
    "groups",
    "groups_omitted",
    "seeded",
    "optimizers",
    "modules",
    "loaded",
    "batches",
    "batches_omitted",
    "rng",
    "inventory",
    "loss",
    "losses",
    "skipped",
    "gradient_norm",
    "fingerprints",
    "root",
)
"""Causes before effects: a hyper-parameter explains a loss, never the reverse."""

_COMPARED: Final = "sum64-4096"
"""The others have another key in each process, or are not in the records of older recorders."""
_MAX_INVENTORIES: Final = 4096
"""Inventories of one connection whose hooks are kept; of those that come later digests are compared alone."""
_MAX_BETWEEN: Final = 4096
"""Events kept between two updates; a loop that seeds a million times is compared by its first ones."""


class Key(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """Which Update: attempt, how often the rank had attached before in it, counter, rank, optimizer.

    `at` is where a root of its Step was taken, empty for the Update itself: a Step may have several, and state that
    was saved and state held at the end need not be the same.
    """

    attempt: int
    generation: int
    update: int
    rank: int
    optimizer: int
    at: str = ""

    @property
    def update_key(self) -> Key:
        """The key of the Update whose root this is, or of this one."""
        return msgspec.structs.replace(self, at="")


class UpdateView(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of one Update that two runs can share. `unseeded` are generators that nobody had seeded by then.

    `lacking` are fields that lay on a device and are not in the record, or not as they were.
    """

    key: Key
    entry: int
    fields: dict[str, Any]
    unseeded: frozenset[str] = frozenset()
    lacking: frozenset[str] = frozenset()


class _Stream:
    """One connection as it is read: what was said since the last update."""

    def __init__(self, attempt: int, rank: int, generation: int) -> None:
        self.attempt = attempt
        self.rank = rank
        self.generation = generation
        self.between: dict[str, list[Any]] = {}
        self.hooks: dict[str, dict[str, list[str]]] = {}  # by the digest of the inventory: each is said once
        self.seeded: set[str] = set()
        self.deferral: Deferral[int] = Deferral()
        self.states = TrainedStates()

    def say(self, name: str, value: object) -> None:
        kept = self.between.setdefault(name, [])
        if len(kept) < _MAX_BETWEEN:
            kept.append(value)

    def view(self, update: int, optimizer: int, entry: int, fields: dict[str, Any], at: str = "") -> UpdateView:
        key = Key(
            attempt=self.attempt,
            generation=self.generation,
            update=update,
            rank=self.rank,
            optimizer=optimizer,
            at=at,
        )
        unseeded = frozenset(name for name in fields.get("rng", ()) if _seeder_of(name) not in self.seeded)
        return UpdateView(key=key, entry=entry, fields=fields, unseeded=unseeded)


def _seeder_of(generator: str) -> str:
    """Whose seed call sets a generator's state: torch's sets those of every device."""
    return generator if generator in {"python", "numpy"} else "torch"


def update_views(items: Iterable[Item]) -> Iterator[UpdateView]:
    """The views of a log, as its blocks come. A root follows in a view of its own, under a key of its own."""
    streams: dict[tuple[int, int], _Stream] = {}
    generations: dict[tuple[int, int], int] = {}
    for item in items:
        record = item.record
        if isinstance(record, AttachRecord):
            yield from _rest(streams.pop((record.attempt, record.connection), None))
        if not isinstance(record, BlockRecord):
            continue
        place = (record.attempt, record.connection)
        for line in item.lines:
            stream = streams.get(place)
            if stream is None:
                stream = streams[place] = _Stream(record.attempt, record.rank, -1)
            if stream.generation < 0 and isinstance(line.frame, UpdateFrame | RootFrame):
                rank = (record.attempt, record.rank)
                stream.generation = generations[rank] = generations.get(rank, -1) + 1
            for frame, entry in stream.deferral.take(line.frame, item.index, len(line.raw)):
                yield from _views(stream, entry, frame)
    for stream in streams.values():
        yield from _rest(stream)


def _rest(stream: _Stream | None) -> Iterator[UpdateView]:
    """What a connection said of Updates whose values never came."""
    if stream is not None:
        for frame, entry in stream.deferral.rest():
            yield from _views(stream, entry, frame)


def _views(stream: _Stream, entry: int, frame: AnyFrame) -> Iterator[UpdateView]:
    match frame:
        case UpdateFrame():
            fields = _fields(stream, frame)
            stream.between = {}
            view = stream.view(frame.update, frame.optimizer, entry, fields)
            lacking = _lacking(frame)
            yield msgspec.structs.replace(view, lacking=lacking) if lacking else view
        case RootFrame():
            root = {"root": frame.root, "layout": frame.layout}
            bound = stream.states.of(frame)
            fields = {"root": root, "trained": bound.trained, "optimized": bound.optimized}
            yield stream.view(frame.step, 0, entry, fields, frame.at)
        case LayoutFrame():
            stream.states.lay(frame)
        case HelloFrame():
            setting = {"world_size": frame.world_size, "torch": frame.torch, "threads": frame.threads}
            flags = {name: value for name, value in frame.flags.items() if name not in FLAGS_OF_THE_MACHINE}
            setting |= {"python": frame.python, "deterministic": frame.deterministic, "flags": flags}
            stream.say("setting", setting)
        case SeededFrame():
            stream.seeded.add(frame.generator)
            stream.say("seeded", {"generator": frame.generator, "seed": frame.seed})
        case OptimizerFrame():
            optimizer = {"class": frame.class_name, "defaults": frame.defaults, "tensors": frame.tensors}
            stream.say("optimizers", optimizer | {"groups": frame.groups})
        case ModuleFrame():
            stream.say("modules", {"class": frame.class_name, "parameters": frame.parameters})
        case CkptFrame(action="loaded"):
            stream.say("loaded", {"digest": frame.digest, "size": frame.size})
        case InventoryFrame():
            if len(stream.hooks) < _MAX_INVENTORIES:
                stream.hooks[frame.inventory] = {name: list(hooks) for name, hooks in frame.hooks.items()}
        case DetachFrame():
            stream.between = {}
        case _:
            return


def _lacking(frame: UpdateFrame) -> frozenset[str]:
    names: set[str] = set(frame.deferred)
    if "groups" in names:
        names.add("groups_omitted")
    if frame.batches_omitted and not frame.batches_behind:  # an older recorder kept others of them
        names.add("batches")
    return frozenset(names)


def _fields(stream: _Stream, frame: UpdateFrame) -> dict[str, Any]:
    prints = {
        f"{each.name} {each.over} {each.share}/{each.of}": {"start": each.start, "end": each.end}
        for each in frame.fingerprints
        if each.name == _COMPARED
    }
    norm, hooks = frame.gradient_norm, stream.hooks.get(frame.inventory)
    return {
        "groups": frame.groups,
        "groups_omitted": frame.groups_omitted,
        "batches": [_batch(each) for each in frame.batches],
        "batches_omitted": frame.batches_omitted,
        "latest": len(frame.latest),
        "rng": frame.rng,
        "inventory": frame.inventory if hooks is None else {"digest": frame.inventory, "hooks": hooks},
        "loss": frame.loss,
        "losses": frame.losses,
        "skipped": frame.skipped,
        "gradient_norm": None if norm is None else msgspec.to_builtins(norm),
        "fingerprints": prints,
        **stream.between,
    }


def _batch(batch: Batch) -> dict[str, Any]:
    """A batch as two processes may compare it: each draws other samples of it by its own key."""
    return {name: value for name, value in msgspec.to_builtins(batch).items() if name not in {"form", "rows"}}
