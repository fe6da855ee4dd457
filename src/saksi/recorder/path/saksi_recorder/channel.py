"""One connection to the agent: frames leave in order, chained by digest; what cannot leave waits, then is counted.

Rules: no call blocks (the last flush spends at most two seconds); the queue is bounded; a number is used up by a frame
that is dropped; our descriptor is checked before each use, because a program may close all it has and open others
under the same number; SIGPIPE cannot arise. A connection that broke is opened anew: numbering starts again, and `lost`
starts with what the old one did not deliver.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import select
import socket
import threading
import time
from collections import deque
from typing import Any, Callable, Optional

MAX_FRAME_BYTES = 60 * 1024  # under the packet's 65,536, so that thinning never cuts close
MAX_QUEUE_BYTES = 8 * 1024 * 1024
MAX_QUEUE_FRAMES = 8192
MAX_SENDS = 64  # per frame made: a backlog leaves over several steps, not in one
RETRY_NS = 1_000_000_000
KNOCK = "saksi-knock/v1 "
ZEROS = "0" * 64

_SEND_FLAGS = getattr(socket, "MSG_NOSIGNAL", 0) | getattr(socket, "MSG_DONTWAIT", 0)
_RECEIVE_FLAGS = getattr(socket, "MSG_DONTWAIT", 0)
_WAIT = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.EINTR)


def encode(frame: dict[str, Any]) -> bytes:
    """The bytes of one packet."""
    return json.dumps(frame, separators=(",", ":"), allow_nan=False).encode("ascii")


class Channel:
    """Frames in, packets out. `describe` is called for the frames that begin each connection (the first is `hello`)."""

    def __init__(self, path: str, token: str, describe: Callable[[], list[tuple[str, dict[str, Any]]]]) -> None:
        self.made = 0  # frames made on all connections, for `detach`
        self._path = path
        self._knock = (KNOCK + token).encode("ascii", "replace")
        self._describe = describe
        self._lock = threading.RLock()
        self._inside = False
        self._waiting: list[tuple[Optional[str], dict[str, Any]]] = []
        self._lost = 0
        self._missed: deque[None] = deque()  # frames of threads that did not get the lock; appending needs none
        self._restart()

    def _restart(self) -> None:
        self._socket: Optional[socket.socket] = None
        self._identity = (0, 0)
        self._knocked = False
        self._tried_ns: Optional[int] = None
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._seq = 0
        self._prev = ZEROS
        self._described = False

    def emit(self, kind: Optional[str], fields: dict[str, Any]) -> None:
        """Make a frame and send what can be sent; without a kind, only begin the connection.

        Never blocks; drops and counts when the queue is full.
        """
        if not self._lock.acquire(timeout=0.05):  # another thread is in here: it is microseconds, unless it is stopped
            self._missed.append(None)
            return
        try:
            if self._inside:  # a signal handler interrupted us and did something that is recorded
                self._waiting.append((kind, fields))
                return
            self._inside = True
            try:
                self._pump()
                self._make(kind, fields)
                while self._waiting:
                    self._make(*self._waiting.pop(0))
                self._pump()
            finally:
                self._inside = False
        finally:
            self._lock.release()

    def asked(self, limit: int) -> Optional[bytes]:
        """A packet of the agent, if there is one; one of more than `limit` bytes is let go. Never waits."""
        if self._socket is None or not self._lock.acquire(blocking=False):
            return None
        try:
            if self._inside or self._socket is None or not self._is_ours():
                return None
            packet = self._socket.recv(limit + 1, _RECEIVE_FLAGS)  # the kernel cuts what is longer
            return packet if 0 < len(packet) <= limit else None
        except OSError:
            return None  # nothing there, or nobody: whoever sends next finds that out
        finally:
            self._lock.release()

    def reopen(self) -> None:
        """Describe this process anew on a new connection (its rank became known, say)."""
        with self._lock:
            self.flush(0.0)
            self._break()

    def flush(self, seconds: float = 2.0) -> None:
        """Send what waits, for at most `seconds`."""
        end = time.monotonic() + seconds
        with self._lock:
            self._tried_ns = None
            self._pump(limit=MAX_QUEUE_FRAMES)
            while self._queue and self._socket is not None and time.monotonic() < end:
                waiter = select.poll()
                waiter.register(self._socket.fileno(), select.POLLOUT)
                waiter.poll(max(1, min(100, int(1000 * (end - time.monotonic())))))
                self._pump(limit=MAX_QUEUE_FRAMES)

    def close(self) -> None:
        """Let the connection go; what still waits is gone."""
        with self._lock:
            self._hang_up()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's connection without touching what it sends."""
        self._lock = threading.RLock()
        self._inside = False
        self._hang_up()

    def _make(self, kind: Optional[str], fields: dict[str, Any]) -> None:
        said: list[tuple[str, dict[str, Any]]] = []
        if not self._described:
            self._described = True
            said = self._describe()
            for first, about in said:
                self._add(first, about)
        while self._missed:
            self._missed.popleft()
            self._lost += 1
            self._seq += 1
        if kind is not None and (kind, fields) not in said:
            self._add(kind, fields)

    def _add(self, kind: str, fields: dict[str, Any]) -> None:
        frame = {
            "kind": kind,
            "seq": self._seq,
            "prev": self._prev,
            "wall_ns": time.time_ns(),
            "mono_ns": time.monotonic_ns(),
            "lost": self._lost,
        }
        frame.update(fields)
        packet = encode(frame)
        if len(packet) > MAX_FRAME_BYTES:
            packet = _thinned(frame)
        self._seq += 1
        self.made += 1
        if packet is None or len(self._queue) >= MAX_QUEUE_FRAMES or self._queued_bytes + len(packet) > MAX_QUEUE_BYTES:
            self._lost += 1
            return
        self._prev = hashlib.sha256(packet).hexdigest()
        self._queue.append(packet)
        self._queued_bytes += len(packet)

    def _pump(self, limit: int = MAX_SENDS) -> None:
        if not self._queue or not self._connected():
            return
        try:
            if not self._knocked:
                self._send(self._knock)
                self._knocked = True
            while self._queue and limit > 0:
                self._send(self._queue[0])
                self._queued_bytes -= len(self._queue.popleft())
                limit -= 1
        except OSError as error:
            if error.errno not in _WAIT:
                self._break()

    def _send(self, packet: bytes) -> None:
        if self._socket is not None:
            self._socket.send(packet, _SEND_FLAGS)

    def _connected(self) -> bool:
        if self._socket is not None:
            if self._is_ours():
                return True
            self._socket.detach()  # the number belongs to something else by now: leave it alone
            self._break()
        now = time.monotonic_ns()
        if self._tried_ns is not None and now - self._tried_ns < RETRY_NS:
            return False
        self._tried_ns = now
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.setblocking(False)  # a full backlog then says so instead of waiting
            connection.connect(self._path)
            status = os.fstat(connection.fileno())
        except OSError:
            connection.close()
            return False
        self._socket, self._identity = connection, (status.st_dev, status.st_ino)
        return True

    def _is_ours(self) -> bool:
        try:
            status = os.fstat(self._socket.fileno())  # type: ignore[union-attr]
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def _break(self) -> None:
        self._lost += len(self._queue)
        self._hang_up()
        tried = self._tried_ns
        self._restart()
        self._tried_ns = tried

    def _hang_up(self) -> None:
        if self._socket is not None:
            if self._is_ours():
                self._socket.close()
            else:
                self._socket.detach()
            self._socket = None


def _thinned(frame: dict[str, Any]) -> Optional[bytes]:
    """The frame without what is longest and may be left out; None if nothing helps."""
    frame = dict(frame)
    for name, counted in (("batches", "batches_omitted"), ("groups", "groups_omitted")):
        while frame.get(name) and counted in frame:
            left_out = len(frame[name]) - len(frame[name]) // 2
            frame[counted] += left_out
            if name == "batches":  # those that came last are what the update used
                frame[name] = frame[name][left_out:]
                frame["batches_behind"] = min(frame.get("batches_behind", MAX_FRAME_BYTES), len(frame[name]))
            else:
                frame[name] = frame[name][:-left_out]
            packet = encode(frame)
            if len(packet) <= MAX_FRAME_BYTES:
                return packet
    for name, empty in (("leaves", None), ("defaults", {}), ("flags", {}), ("hooks", {})):
        if frame.get(name):
            frame[name] = empty
            packet = encode(frame)
            if len(packet) <= MAX_FRAME_BYTES:
                return packet
    return None
