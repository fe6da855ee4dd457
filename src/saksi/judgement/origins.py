"""Where a loaded model checkpoint came from: which attempt, of which run, saved the same bytes, and when.

Rules: only equal digests link; a path links nothing, but a file that was saved with other content at the same path is
said to have changed, without a guess by whom. What no record here saved is of unknown origin, which most honest files
are (weights from elsewhere, data sets).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from saksi.judgement.story import CkptUse
from saksi.words.digest import short_digest

__all__ = ["Origin", "Saved", "in_words", "origin_of_load", "saves_of"]

_SKEW_NS: Final = 60_000_000_000
"""How far the clocks of two machines may be apart: a save of another run that came later explains no load."""


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """A save that some run recorded."""

    run: str
    use: CkptUse


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """`saved`: these bytes were saved there. `changed`: other bytes were, at this path. `unknown`: neither.

    `unread`: nobody knows the bytes that were loaded. Run, attempt, group and step are of the save, where there is one.
    """

    kind: Literal["saved", "changed", "unknown", "unread"]
    run: str | None = None
    attempt: int | None = None
    group: int | None = None
    step: int | None = None
    digest: str | None = None
    """The content of that save."""


def saves_of(run: str, files: Iterable[CkptUse]) -> tuple[Saved, ...]:
    """The saves among `files`, in order."""
    return tuple(Saved(run=run, use=each) for each in files if each.action == "saved")


def origin_of_load(load: CkptUse, *, run: str, own: Sequence[Saved], others: Sequence[Saved]) -> Origin:
    """Where `load` of `run` came from: its own log's saves before it go before those of `others`, the latest first."""
    before = [each for each in own if each.use.entry < load.entry]
    elsewhere = sorted((each for each in others if each.run != run), key=lambda each: each.use.wall_ns)
    earlier = [each for each in elsewhere if each.use.wall_ns <= load.wall_ns + _SKEW_NS]
    candidates = [*reversed(before), *reversed(earlier)]
    if load.digest is None:
        return Origin(kind="unread")
    for each in candidates:
        if each.use.digest == load.digest:
            return _of("saved", each)
    for each in candidates:
        if load.path is not None and each.use.path == load.path and each.use.digest is not None:
            return _of("changed", each)
    return Origin(kind="unknown")


def _of(kind: Literal["saved", "changed"], saved: Saved) -> Origin:
    use = saved.use
    return Origin(kind=kind, run=saved.run, attempt=use.attempt, group=use.group, step=use.step, digest=use.digest)


def in_words(load: CkptUse, origin: Origin, *, run: str) -> str:
    """One neutral sentence, without a full stop, for a load of `run`."""
    path = load.path or "a file object"
    what = f"model checkpoint {path}, {short_digest(load.digest)}"
    if origin.kind == "saved":
        verb = "continues" if load.step < 0 else f"after step {load.step} loaded what was saved"
        return f"{verb} {_place(load, origin, run)} ({what})"
    loaded = "loaded" if load.step < 0 else f"after step {load.step} loaded"
    if origin.kind == "changed":
        other = f"another content ({short_digest(origin.digest)}) was saved at this path {_place(load, origin, run)}"
        return f"{loaded} {what}: {other}, so the file changed in between"
    if origin.kind == "unknown":
        return f"{loaded} {what}: unknown origin, no run here saved this content"
    return f"{loaded} {path}: unknown origin, its bytes are not known ({load.reason or 'not read'})"


def _place(load: CkptUse, origin: Origin, run: str) -> str:
    step = origin.step if origin.step is not None else -1
    when = "before the first step" if step < 0 else f"after step {step}"
    if origin.kind == "saved" and load.step < 0:
        when = "the state before the first step" if step < 0 else f"step {step}"
    restart = f", restart {origin.group}" if origin.group else ""
    if origin.run == run and origin.attempt == load.attempt:
        return f"{when} of this attempt{restart}"
    if origin.run == run:
        return f"{when} of attempt {origin.attempt}{restart}"
    attempt = f", attempt {origin.attempt}" if origin.attempt else ""
    return f"{when} of run {origin.run}{attempt}{restart}"
