"""Whether a run's folder is sound, read from its bytes: what `saksi fsck` says and repairs.

`check_log` reads everything and trusts nothing but the keys it is given; it judges by the rules of `recovery.py`.
Projections, tiles and the published head, can be made again; the journal and the head are never touched, because what
is wrong there is evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from saksi.edges.store.protocol import Store
from saksi.processes.agent.recovery import LogRefused, Replayed, mend, open_head, open_published, replay
from saksi.proofs.projection import LOG_FOLDER, PUBLISHED
from saksi.proofs.tlog.log_checkpoint import LogCheckpoint
from saksi.proofs.tlog.note import VerifierKey
from saksi.proofs.tlog.tiles import parse_tile_path
from saksi.words.blobs import blob_name
from saksi.words.digest import sha256
from saksi.words.errors import MalformedInput

__all__ = ["check_log", "repair_projections"]


def check_log(store: Store, keys: Sequence[VerifierKey], *, known_heads: Sequence[LogCheckpoint] = ()) -> list[str]:
    """Every reason why the folder is not sound, one line each; none if it is.

    Judges the journal against the head, both against the published head and `known_heads`, tiles and bundles against
    the journal, and every blob against its name. Nobody may write meanwhile: lock the store, or check a copy. Frames
    that were staged and never acknowledged are no reason: a crash leaves them and the next writer cuts them. Raises
    `MissingKey` and `StoreError`.
    """
    problems: list[str] = []
    try:
        replayed = _replay(store, keys, open_published(store, keys), known_heads)
    except LogRefused as refused:
        problems.append(str(refused))
    else:
        if replayed is not None:
            problems += _projection_problems(replayed)
    return problems + _name_problems(store) + _blob_problems(store)


def repair_projections(store: Store, keys: Sequence[VerifierKey]) -> list[str]:
    """Make tiles again that are missing or wrong, and the published head if no key opens it. The names changed.

    The store must be locked. Raises `LogRefused` if the journal and the head disagree, or a head larger than the
    present one was published: that is never repaired. Raises `MissingKey` and `StoreError`.
    """
    note = store.load_head()
    try:
        published, republished = open_published(store, keys), False
    except LogRefused:
        # No trusted key signed it, so nobody could rely on it: published anew at the present head.
        published, republished = (None if note is None else open_head(note, keys)), True
    replayed = _replay(store, keys, published, ())
    if replayed is None or note is None:
        return []
    changed = mend(store, replayed)
    if republished:
        store.replace(PUBLISHED, note)
        changed.append(PUBLISHED)
    return changed


def _replay(
    store: Store, keys: Iterable[VerifierKey], published: LogCheckpoint | None, known: Sequence[LogCheckpoint]
) -> Replayed | None:
    """The replayed log, or `None` where none was begun."""
    note = store.load_head()
    if note is None:
        if published is not None or known or store.journal(0, 1):
            raise LogRefused("there are entries and no head")
        return None
    return replay(store, open_head(note, keys), published, known)


def _projection_problems(replayed: Replayed) -> list[str]:
    return [
        *(f"{name}: missing" for name in sorted(replayed.owed)),
        *(f"{name}: differs from the journal" for name in sorted(replayed.wrong)),
    ]


def _name_problems(store: Store) -> list[str]:
    """Names in the log's folder that no reader asks for."""
    problems = []
    for name in store.names(LOG_FOLDER):
        if name == PUBLISHED:
            continue
        try:
            parse_tile_path(name.removeprefix(LOG_FOLDER))
        except MalformedInput:
            problems.append(f"{name}: not part of a log")
    return problems


def _blob_problems(store: Store) -> list[str]:
    problems = []
    for name in store.names("blobs/"):
        try:
            found = sha256(store.read(name))
        except ValueError:  # a name that no writer of ours gives
            problems.append(f"{name}: not part of a run")
            continue
        if name != blob_name(found):
            problems.append(f"{name}: its bytes have the digest {found.hex}")
    return problems
