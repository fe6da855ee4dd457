"""One recorder's connection: knock, hello, then frames, gathered into blocks.

Nothing a peer sends is trusted: packets are bounded, decoding is strict, refusals are counted and a flood of them
becomes one record. The exact bytes of each accepted frame go into the block; the types are only for looking.
"""

from __future__ import annotations

import errno
import hmac
import socket
import struct
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from saksi.words.codec import decode_frame, encode_block_line
from saksi.words.errors import MalformedInput
from saksi.words.frames import FRAME_VERSION, MAX_FRAME_BYTES, AnyFrame, DetachFrame, HelloFrame, UpdateFrame
from saksi.words.records import Peer

__all__ = ["Block", "Connection", "Refusal", "peer_of"]

KNOCK: Final = b"saksi-knock/v1 "
MAX_HELLO: Final = 16_384
"""A hello becomes part of an entry; an entry has 65,535 bytes at most."""
PACKETS_AT_ONCE: Final = 64
"""So that one fast peer cannot starve the others."""
BLOCK_BYTES: Final = 65_536
SAMPLE: Final = 120
_CREDENTIALS: Final = struct.Struct("iII")
"""`struct ucred`, unix(7): accounts are unsigned, and those above 2^31 exist (large directories, user namespaces)."""
_NOBODY_SAID: Final = 0xFFFF_FFFF
"""(uid_t) -1, which is no account."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a packet was refused. `closes` is whether the connection ends with it."""

    reason: str
    sample: str
    closes: bool


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive frames of one connection, ready to be stored."""

    content: bytes
    frames: int
    first_seq: int
    last_seq: int
    updates: int
    first_step: int | None
    last_step: int | None


def peer_of(connected: socket.socket) -> Peer:
    """The kernel's word on who connected (SO_PEERCRED: at the time of `connect`). Raises `OSError` if it names nobody.

    The process id is 0 where the peer's pid namespace is not visible from here.
    """
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    if uid == _NOBODY_SAID:
        raise OSError(errno.EPERM, "the kernel does not say which account connected")
    return Peer(pid=pid, uid=uid, gid=gid)


class Connection:
    """A connected peer and what it has said so far. Owned by the agent's one thread."""

    def __init__(self, number: int, connected: socket.socket, *, token: str, account: int, now_ns: int) -> None:
        self.number = number
        self.socket = connected
        self.peer = peer_of(connected)
        self.phase: Literal["knock", "hello", "open"] = "knock"
        self.hello: HelloFrame | None = None
        self.hello_bytes = b""
        self.clean = False
        self.trained = False
        self.frames = 0
        self.lost = 0
        self.last_step: int | None = None
        self.refused = 0
        self.unwritten = 0  # refusals that are written down together, as it closes
        self.opened_ns = now_ns
        self._token = KNOCK + token.encode("ascii")
        self._account = account
        self._first_step: int | None = None
        self._last_step: int | None = None
        self._start_block()

    @property
    def leaves_nothing(self) -> bool:
        """Whether it said goodbye, never trained and lost nothing, so that nobody has to remember it."""
        return self.clean and not self.trained and not self.lost

    @property
    def is_open(self) -> bool:
        """Whether the peer may still have sent something that was not read."""
        return self.socket.fileno() >= 0

    @property
    def rank(self) -> int:
        """The rank the peer claims; 0 before it has said hello."""
        return 0 if self.hello is None else self.hello.rank

    def packets(self) -> Iterator[bytes | None]:
        """What has arrived, some packets at a time; `None` as the last item when the peer is gone."""
        for _ in range(PACKETS_AT_ONCE):
            try:
                packet = self.socket.recv(MAX_FRAME_BYTES + 1)
            except BlockingIOError:
                return
            except ConnectionResetError:
                # It closed before it read our last question. The kernel says so once, ahead of what it had sent.
                continue
            except OSError:
                yield None
                return
            if not packet:
                yield None
                return
            yield packet

    def accept(self, packet: bytes, received_ns: int) -> AnyFrame | Refusal | None:
        """Take one packet: the frame in it, why it was refused, or `None` for a good knock."""
        if self.phase == "knock":
            return self._knock(packet)
        try:
            frame = decode_frame(packet)
        except MalformedInput as error:
            return self._refuse(error.reason, packet, closes=self.phase == "hello")
        if self.phase == "hello":
            problem = self._greet(frame, packet)
            if problem is not None:
                return problem
        elif isinstance(frame, HelloFrame):
            return self._refuse("a second hello", packet, closes=False)
        self._gather(frame, packet, received_ns)
        return frame

    def block_is_due(self, now_ns: int, *, age_ns: int) -> bool:
        """Whether the block in the making is large or old enough to be stored."""
        if not self._block_frames:
            return False
        return self._block_size >= BLOCK_BYTES or now_ns - self._block_ns >= age_ns

    def take_block(self) -> Block | None:
        """The block in the making, if it holds anything; a new one is begun."""
        if not self._block_frames:
            return None
        block = Block(
            content=b"".join(self._lines),
            frames=self._block_frames,
            first_seq=self._first_seq,
            last_seq=self._last_seq,
            updates=self._updates,
            first_step=self._first_step,
            last_step=self._last_step,
        )
        self._start_block()
        return block

    def _knock(self, packet: bytes) -> Refusal | None:
        if self.peer.uid != self._account:
            return Refusal(reason=f"account {self.peer.uid} is not the job's account", sample="", closes=True)
        if not hmac.compare_digest(packet, self._token):
            return Refusal(reason="the launch token is wrong or missing", sample="", closes=True)
        self.phase = "hello"
        return None

    def _greet(self, frame: AnyFrame, packet: bytes) -> Refusal | None:
        if not isinstance(frame, HelloFrame):
            return self._refuse("the first frame is not a hello", packet, closes=True)
        if frame.version != FRAME_VERSION:
            return self._refuse(f"frames of version {frame.version}, not {FRAME_VERSION}", packet, closes=True)
        if len(packet) > MAX_HELLO:
            return self._refuse(f"a hello of {len(packet)} bytes, more than {MAX_HELLO}", packet, closes=True)
        self.hello = frame
        self.hello_bytes = packet
        self.phase = "open"
        return None

    def _refuse(self, reason: str, packet: bytes, *, closes: bool) -> Refusal:
        self.refused += 1
        sample = packet[:SAMPLE].decode("ascii", "backslashreplace")
        return Refusal(reason=reason[:1024], sample=sample, closes=closes)

    def _gather(self, frame: AnyFrame, packet: bytes, received_ns: int) -> None:
        if not self._block_frames:
            self._first_seq = frame.seq
            self._block_ns = received_ns
        line = encode_block_line(received_ns, packet)
        self._lines.append(line)
        self._block_size += len(line)
        self._block_frames += 1
        self._last_seq = frame.seq
        self.frames += 1
        self.lost = max(self.lost, frame.lost)
        if isinstance(frame, UpdateFrame):
            self._updates += 1
            self.trained = True
            if frame.optimizer == 0:
                if self._first_step is None:
                    self._first_step = frame.update
                self._last_step = self.last_step = frame.update
        elif isinstance(frame, DetachFrame):
            self.clean = True
            self.trained = self.trained or any(frame.updates)

    def _start_block(self) -> None:
        self._lines: list[bytes] = []
        self._block_size = 0
        self._block_frames = 0
        self._block_ns = 0
        self._updates = 0
        self._first_seq = 0
        self._last_seq = 0
        self._first_step = None
        self._last_step = None
