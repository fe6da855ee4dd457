"""A planned attempt of the agent as a service: the run's id, folder and token are made here, before there is a seal."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.agent_socket import listen_at
from saksi.edges.anchors import Anchor
from saksi.edges.clock import Clock
from saksi.edges.home import Home, find_run
from saksi.edges.hooks import Hook
from saksi.edges.keys import Keyring
from saksi.edges.resumable import resumable
from saksi.edges.run_accounts import account_of
from saksi.edges.run_folders import all_runs, folder_for, place_for_runs
from saksi.edges.run_labels import label_of
from saksi.edges.store.local import LocalStore
from saksi.judgement.seal import Seal
from saksi.processes.agent.budget import ByteBudget
from saksi.processes.agent.node_messages import Begin
from saksi.processes.agent.quota import Quota
from saksi.processes.agent.scribe import MAX_WAITING_BYTES
from saksi.proofs.tlog.log_checkpoint import parse_log_checkpoint
from saksi.proofs.tlog.note import VerifierKey, parse_note
from saksi.words.errors import SaksiError, UsageError
from saksi.words.findings import Severity
from saksi.words.records import Peer
from saksi.words.run import run_id_from

__all__ = ["NodeHome", "Planned", "discard", "plan"]

_logger = logging.getLogger(__name__)

OWN_WAITING_BYTES: Final = 1 << 20
"""What each attempt may hold of what cannot be written, whatever the others hold."""


class NodeHome(msgspec.Struct, frozen=True, kw_only=True):
    """Where the service keeps its runs, and with what."""

    home: Home
    environment: Mapping[str, str]
    clock: Clock
    anchors: tuple[Anchor, ...]
    hooks: tuple[Hook, ...] = ()
    notify_from: Severity = "warning"
    quota: Quota
    waiting: ByteBudget = msgspec.field(default_factory=lambda: ByteBudget(MAX_WAITING_BYTES, own=OWN_WAITING_BYTES))

    def folders(self) -> dict[str, Path]:
        """Ids and folders of all runs. Raises `StoreError`."""
        return all_runs(self.home, self.environment, uid=os.geteuid())

    def run_of(self, account: int, text: str) -> tuple[str, Path]:
        """The run that `text` means among those that `account` began. Raises `UsageError`: it tells of no other."""
        own = {run: folder for run, folder in self.folders().items() if account == 0 or account_of(folder) == account}
        run = find_run(text, own, label_of)
        return run, own[run]


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that has a place and no seal yet. `earlier` is the first seal of the run that is resumed."""

    run: str
    number: int
    folder: Path
    account: Peer
    token: str
    path: Path
    listener: socket.socket
    earlier: Seal | None
    previous_keys: tuple[VerifierKey, ...]
    asked_ns: int
    notes: tuple[str, ...]


def plan(place: NodeHome, keyring: Keyring, peer: Peer, asked: Begin, *, sockets: Path) -> Planned:
    """A new run for `peer`, or another attempt of a run of its account. Raises `SaksiError`, `OSError`."""
    asked_ns = place.clock.wall_ns()
    earlier = None
    if asked.resume is None:
        run, number = run_id_from(os.urandom(8)), 0
        where = place_for_runs(place.home, place.environment, uid=os.geteuid())
        folder = folder_for(run, place.home, where)
        if where.moves_home:
            folder.mkdir(parents=True, mode=0o700)
        else:
            place.home.create_run(run)
    else:
        run, folder = place.run_of(peer.uid, asked.resume)
        if account_of(folder) != peer.uid:
            raise UsageError(f"run {run} is of another account", remedy="start a new run")
        earlier = resumable(folder, keyring.trusted())
        number = earlier.attempts
    # A name of its own: until it has begun, the same attempt of the run may be planned twice.
    path = sockets / f"{run[:8]}-{secrets.token_hex(4)}.sock"
    try:
        listener = listen_at(path)
    except OSError:
        if earlier is None:
            _remove_empty(folder)
        raise
    return Planned(
        run=run,
        number=number,
        folder=folder,
        account=peer,
        token=secrets.token_hex(32),
        path=path,
        listener=listener,
        earlier=None if earlier is None else earlier.seal,
        previous_keys=() if earlier is None else earlier.keys,
        asked_ns=asked_ns,
        notes=asked.notes,
    )


def discard(planned: Planned) -> None:
    """The launcher did not go through with it: a run without an entry leaves nothing behind."""
    planned.listener.close()
    planned.path.unlink(missing_ok=True)
    if planned.earlier is None:
        _remove_empty(planned.folder)


def _remove_empty(folder: Path) -> None:
    """Remove a run's folder unless an entry of it is durable, or may be."""
    try:
        head = LocalStore(folder).load_head()
        if head is not None and parse_log_checkpoint(parse_note(head).text).size:
            return
    except SaksiError as error:
        _logger.warning("run %s is kept as it is: %s", folder.name, error)
        return
    shutil.rmtree(folder, ignore_errors=True)
