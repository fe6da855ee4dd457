"""Those who ask the agent as a service for something: each is heard in a thread of its own, and none can hold it up.

A launcher gets an attempt, or one line that says why not. The account of a run, or root, gets the run's bundle. Who
asks is what the kernel says (SO_PEERCRED); nothing that is said here is believed about that. Threads, time and bytes
are bounded for each account.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from saksi.edges.agent_settings import AgentSettings
from saksi.edges.keys import open_keyring
from saksi.judgement.seal_file import MAX_SEAL_FILE_BYTES
from saksi.processes.agent.connection import peer_of
from saksi.processes.agent.node_attempt import Served, begin
from saksi.processes.agent.node_bundle import bundle_of
from saksi.processes.agent.node_messages import (
    MAX_SEAL,
    PROTOCOL,
    Begin,
    Begun,
    Fetch,
    Prepared,
    Refused,
    give_time,
    hear_ask,
    receive_content,
    refusal_of,
    say,
    send_content,
)
from saksi.processes.agent.node_plan import NodeHome, discard, plan
from saksi.words.errors import MalformedInput, SaksiError
from saksi.words.records import Peer

__all__ = ["NodeDoor"]

_logger = logging.getLogger(__name__)

CONVERSATION_S: Final = 120.0
"""Until an attempt has begun, or a bundle is handed over: a peer that drips bytes holds a place."""
MAX_TALKS: Final = 64
MAX_TALKS_OF_ONE: Final = 8
MAX_BUNDLES: Final = 4
"""Bundles at once, one of each account: they are in memory until their readers have them."""


class NodeDoor:
    """Hears everybody who connects. `admitted` is called, from any thread, with each attempt that has begun."""

    def __init__(
        self, place: NodeHome, settings: AgentSettings, *, sockets: Path, admitted: Callable[[Served], None]
    ) -> None:
        self._place = place
        self._settings = settings
        self._sockets = sockets
        self._admitted = admitted
        self._bundling = threading.Lock()
        # Guarded by the lock: who is being heard, and whose attempts are planned or run.
        self._guard = threading.Lock()
        self._talking: Counter[int] = Counter()
        self._running: Counter[int] = Counter()
        self._fetching: set[int] = set()
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether somebody is being heard."""
        with self._guard:
            return bool(self._talking.total())

    def close(self) -> None:
        """Let nobody begin any more; those whose attempt has a place may still send its seal."""
        with self._guard:
            self._closed = True

    def left(self, account: int) -> None:
        """An attempt of `account` is closed."""
        with self._guard:
            self._running[account] -= 1

    def hear(self, connected: socket.socket) -> None:
        """Hear the peer of `connected` in a thread. Never blocks."""
        try:
            peer = peer_of(connected)
        except OSError as error:
            connected.close()
            _logger.warning("closed: %s", error)
            return
        with self._guard:
            many = self._talking.total() >= MAX_TALKS or self._talking[peer.uid] >= MAX_TALKS_OF_ONE
            self._talking[peer.uid] += not many
        if many:
            connected.close()
            _logger.warning("account %d: closed, too many are asking at once", peer.uid)
            return
        until = time.monotonic() + CONVERSATION_S
        thread = threading.Thread(target=self._talk, args=(connected, peer, until), name="saksi-door", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no memory, or no process, for one more
            connected.close()
            with self._guard:
                self._talking[peer.uid] -= 1
            _logger.warning("account %d: closed, %s", peer.uid, error)

    def _talk(self, connected: socket.socket, peer: Peer, until: float) -> None:
        kept = False
        try:
            kept = self._answer(connected, peer, until)
        except MalformedInput as error:
            _logger.warning("account %d: %s", peer.uid, str(error)[:300])
            self._refuse(connected, refusal_of(error))
        except SaksiError as error:
            _logger.info("account %d: refused: %s", peer.uid, error)
            self._refuse(connected, refusal_of(error))
        except OSError as error:
            _logger.info("account %d: left: %s", peer.uid, error)
        except Exception as error:  # one of them must not take the others' witness down
            _logger.exception("account %d", peer.uid)
            self._refuse(connected, Refused(why="failed", reason=f"internal error: {type(error).__name__}"))
        finally:
            if not kept:
                connected.close()
            with self._guard:
                self._talking[peer.uid] -= 1

    def _refuse(self, connected: socket.socket, refused: Refused) -> None:
        try:
            say(connected, refused)
        except OSError as error:
            _logger.info("nobody hears the refusal: %s", error)

    def _answer(self, connected: socket.socket, peer: Peer, until: float) -> bool:
        """Whether the connection goes on as an attempt's."""
        give_time(connected, until)
        asked = hear_ask(connected)
        if asked.version != PROTOCOL:
            say(connected, Refused(why="version", reason=f"this agent speaks version {PROTOCOL}, not {asked.version}"))
            return False
        if isinstance(asked, Fetch):
            self._hand_over(connected, peer.uid, asked.run, until)
            return False
        refused = self._take_place(peer.uid)
        if refused is not None:
            say(connected, refused)
            return False
        kept = False
        try:
            kept = self._begin(connected, peer, asked, until)
        finally:
            if not kept:
                self.left(peer.uid)
        return kept

    def _hand_over(self, connected: socket.socket, account: int, run: str, until: float) -> None:
        with self._guard:
            many = len(self._fetching) >= MAX_BUNDLES or account in self._fetching
            if not many:
                self._fetching.add(account)
        if many:
            say(connected, Refused(why="limit", reason="bundles are being handed over already, as many as may be"))
            return
        try:
            with self._bundling:  # what it is made of is in memory as well: one at a time
                content = bundle_of(self._place, account, run)
            send_content(connected, content, until=until)
        finally:
            with self._guard:
                self._fetching.discard(account)

    def _take_place(self, account: int) -> Refused | None:
        most, each = self._settings.max_attempts, self._settings.attempts_per_account
        with self._guard:
            if self._closed:
                return Refused(why="stopping", reason="the agent is about to end and takes no new jobs")
            if not self._place.quota.takes_blobs():
                return Refused(why="limit", reason="the quota of the agent's home is used up")
            if self._running.total() >= most:
                return Refused(why="limit", reason=f"{most} jobs are witnessed already, as many as may be")
            if self._running[account] >= each:
                return Refused(why="limit", reason=f"{each} jobs of this account are witnessed already")
            self._running[account] += 1
        return None

    def _begin(self, connected: socket.socket, peer: Peer, asked: Begin, until: float) -> bool:
        keyring = open_keyring(self._place.home)
        planned = plan(self._place, keyring, peer, asked, sockets=self._sockets)
        try:
            earlier = planned.earlier
            prepared = Prepared(
                run=planned.run,
                attempt=planned.number,
                socket=str(planned.path),
                token=planned.token,
                name=None if earlier is None else earlier.name,
                project=None if earlier is None else earlier.project,
                level=None if earlier is None else earlier.level,
                segment=None if earlier is None else earlier.segment,
            )
            say(connected, prepared)
            statement = receive_content(connected, most=MAX_SEAL, until=until)
            file = receive_content(connected, most=MAX_SEAL_FILE_BYTES, until=until) if asked.seal_file else None
            served = begin(self._place, keyring, planned, statement, connected, seal_file=file)
        except BaseException:
            discard(planned)
            raise
        with contextlib.suppress(OSError):  # the record has begun: that the launcher has gone is seen soon enough
            say(connected, Begun())
        connected.setblocking(False)
        _logger.info("run %s, attempt %d: account %d, process %d", planned.run, planned.number, peer.uid, peer.pid)
        self._admitted(served)
        return True
