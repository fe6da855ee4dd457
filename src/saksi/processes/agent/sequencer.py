"""The only writer of a run's log. What `append` returned for is durable, and no two heads are ever signed.

    append    stage in the journal (one flush) -> swap the signed head -> acknowledged
    publish   full tiles, partial tiles -> `log/checkpoint` -> remove superseded partial tiles

A crash between any two of these loses nothing that was acknowledged (spec/log.md has the table). If the store raises
inside `append`, the writer cannot know what persisted: it stops for good, and whoever needs the log opens it again,
which is recovery. A batch whose head persisted although `append` raised is then part of the log: look at `head`.

Several attempts write one log one after another, each with its own key named after the origin. The head found is
verified under the keys of those before, and the first head of this attempt is signed by its own.

Not thread-safe: one thread owns a sequencer and its store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

from saksi.edges.store.protocol import Store
from saksi.processes.agent.recovery import LogRefused, Replayed, mend, open_head, open_published, replay
from saksi.proofs.journal import Torn, encode_frames, frames_of
from saksi.proofs.projection import PUBLISHED
from saksi.proofs.tlog.log_checkpoint import LogCheckpoint, sign_log_checkpoint
from saksi.proofs.tlog.merkle import EMPTY_ROOT, CompactRange, leaf_hashes
from saksi.proofs.tlog.note import NoteSigner, VerifierKey
from saksi.words.errors import SaksiError, StoreError

__all__ = ["LogRefused", "Sequencer", "SequencerStopped"]


class SequencerStopped(SaksiError):
    """A write of this sequencer failed, or was interrupted: open the log again to go on."""


class Sequencer:
    """The writer of one log. Made by `open`."""

    def __init__(self, store: Store, signer: NoteSigner, note: bytes, replayed: Replayed) -> None:
        self._store = store
        self._signer = signer
        self._note = note
        self._head = replayed.head
        self._edge = replayed.projection.edge()
        self._projection = replayed.projection
        self._projected_end = replayed.journal_end  # where in the journal the projection ends
        self._published_size = replayed.published_size
        self._partials = replayed.partials
        self._stopped: str | None = None

    @classmethod
    def open(
        cls,
        store: Store,
        origin: str,
        signer: NoteSigner,
        previous_keys: Iterable[VerifierKey] = (),
        *,
        known_heads: Sequence[LogCheckpoint] = (),
    ) -> Self:
        """Lock the store, recover the log in it, or begin one, and be its writer.

        `known_heads` are heads the caller has from elsewhere (anchors), opened and verified: the log must contain
        them. Raises `LogBusy`, `LogRefused` if the log contradicts its head, `MissingKey`, `StoreError`. The store
        stays the caller's to close.
        """
        if signer.name != origin:
            raise ValueError(f"the signer {signer.name} is not named after the log {origin}")
        store.lock()
        keys = [signer.key, *previous_keys]
        note = store.load_head()
        published = open_published(store, keys)
        if note is None:
            note = _begin(store, origin, signer, published)
        head = open_head(note, keys)
        if head.origin != origin:
            raise LogRefused(f"the head is of the log {head.origin}, not of {origin}")
        replayed = replay(store, head, published, known_heads)
        store.cut_journal(replayed.journal_end)
        mend(store, replayed)
        return cls(store, signer, note, replayed)

    @property
    def head(self) -> LogCheckpoint:
        """The last head: everything before its size is acknowledged."""
        return self._head

    @property
    def head_note(self) -> bytes:
        """The signed note of `head`: what goes to the anchors."""
        return self._note

    @property
    def published_size(self) -> int:
        """How many entries readers of the tiles see."""
        return self._published_size

    def append(self, entries: Sequence[bytes]) -> range:
        """Add `entries` to the log; durable on return, which is the range of their indices.

        Raises `MalformedInput` for an entry over the limit, before anything is written. Raises `SequencerStopped`
        if the store failed, and ever after.
        """
        self._must_run()
        first = self._head.size
        if not entries:
            return range(first, first)
        frames = encode_frames(first, entries)
        edge = CompactRange(first, self._edge.hashes)
        edge.extend(leaf_hashes(entries))
        head = LogCheckpoint(origin=self._head.origin, size=edge.size, root=edge.root())
        note = self._sign(head)
        self._stopped = "a write was interrupted"  # stands if anything below is left by an exception, Ctrl-C too
        try:
            self._store.append(frames)
            self._store.swap_head(self._note, note)
        except StoreError as error:
            self._stopped = str(error)
            raise SequencerStopped(f"the log cannot go on: {error}", remedy="open it again") from error
        self._stopped = None
        self._edge, self._head, self._note = edge, head, note
        return range(first, head.size)

    def publish(self) -> None:
        """Let readers see the log up to `head`: its tiles, then `log/checkpoint`. Can be called again if it failed.

        Raises `StoreError`; then some tiles may be there already and readers still see the old head. Raises
        `SequencerStopped` after a failed `append`, and `LogRefused` if the journal does not read back as written.
        """
        self._must_run()
        if self._published_size == self._head.size:
            return
        projection, end = self._projection.copy(), self._projected_end
        for frame in frames_of(self._store.journal, end, projection.size):
            if isinstance(frame, Torn):
                raise self._refused(f"the journal cannot be read back, byte {frame.offset:,}: {frame.reason}")
            for name, content in projection.add(frame.entries):
                self._store.write_once(name, content, durable=False)
            end = frame.end
        if projection.size != self._head.size or projection.edge().root() != self._head.root:
            raise self._refused(f"the journal reads back as {projection.size} entries with another root")
        partials = projection.partials()
        for name, content in partials:
            self._store.write_once(name, content, durable=False)
        self._store.replace(PUBLISHED, self._note)
        superseded, self._partials = self._partials, tuple(each.name for each in partials)
        self._projection, self._projected_end, self._published_size = projection, end, self._head.size
        for name in set(superseded) - set(self._partials):
            self._store.discard(name)

    def close(self) -> None:
        """Stop writing and give the lock back. Publishes nothing."""
        self._stopped = self._stopped or "it was closed"
        self._store.close()

    def _must_run(self) -> None:
        if self._stopped is not None:
            raise SequencerStopped(f"this writer has stopped: {self._stopped}", remedy="open the log again")

    def _sign(self, head: LogCheckpoint) -> bytes:
        """Sign `head` if it continues the last one. The edge that grew must be the one the last head signed."""
        if self._edge.root() != self._head.root or self._edge.size != self._head.size or head.size <= self._head.size:
            raise self._refused(f"a head of {head.size} entries does not continue the one of {self._head.size}")
        return sign_log_checkpoint(head, self._signer)

    def _refused(self, reason: str) -> LogRefused:
        refused = LogRefused(reason)
        self._stopped = str(refused)
        return refused


def _begin(store: Store, origin: str, signer: NoteSigner, published: LogCheckpoint | None) -> bytes:
    """Sign the head of the empty log, before anything is staged: then a journal without a head has lost its head."""
    if published is not None or store.journal(0, 1):
        raise LogRefused("there are entries and no head")
    note = sign_log_checkpoint(LogCheckpoint(origin=origin, size=0, root=EMPTY_ROOT), signer)
    store.swap_head(None, note)
    return note
