"""What the launcher and the agent say to each other: one JSON object per packet on a socket pair."""

from __future__ import annotations

import socket
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from saksi.words.errors import MalformedInput
from saksi.words.records import Peer

__all__ = ["MAX_REASON", "MAX_UNHEARD", "Closed", "FromAgent", "FromLauncher", "JobExited", "JobStarted"]
__all__ += ["OrphanEnded", "Ready", "SignalSeen", "Stop", "receive_from_agent", "receive_from_launcher", "send"]

MAX_PACKET: Final = 16_384
MAX_UNHEARD: Final = 256
"""Messages that a launcher keeps for an agent that has no room for them now; the oldest of more are forgotten."""
MAX_REASON: Final = 1_024
"""Characters of why there was no job, which end in the exit record."""

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
ProcessId = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a launcher says may become part of an entry as it is: no value is larger than a record holds."""


class JobStarted(_Message, frozen=True, tag="started"):
    """The training command runs."""

    pid: ProcessId
    wall_ns: Count
    mono_ns: Count


class SignalSeen(_Message, frozen=True, tag="signal"):
    """A signal reached the launcher."""

    signal: Annotated[str, Meta(pattern=r"\ASIG[A-Z0-9]{2,16}\Z")]
    forwarded: bool
    sender: Peer | None


class JobExited(_Message, frozen=True, tag="exited"):
    """The training command ended; exactly one of `code` and `signal` is set."""

    code: Annotated[int, Meta(ge=0, le=255)] | None
    signal: Annotated[int, Meta(ge=1, le=127)] | None
    elapsed_ns: Count

    def __post_init__(self) -> None:
        if (self.code is None) == (self.signal is None):
            raise ValueError("not exactly one of code and signal")


class OrphanEnded(_Message, frozen=True, tag="orphan"):
    """A process whose parent had died, and which so became the launcher's child, ended with this wait status."""

    pid: ProcessId
    status: Annotated[int, Meta(ge=0, le=0xFFFF)]


class Stop(_Message, frozen=True, tag="stop"):
    """The job never started."""

    reason: Annotated[str, Meta(max_length=MAX_REASON)]


FromLauncher: TypeAlias = JobStarted | SignalSeen | JobExited | OrphanEnded | Stop


class Ready(_Message, frozen=True, tag="ready"):
    """The seal is in the log and the socket listens; or `problem` says why not."""

    problem: str | None


class Closed(_Message, frozen=True, tag="closed"):
    """The log is closed. `sentence` is for the launcher's last line."""

    sentence: str


FromAgent: TypeAlias = Ready | Closed
Message = TypeVar("Message")

_FROM_LAUNCHER: Final = msgspec.json.Decoder(FromLauncher)
_FROM_AGENT: Final = msgspec.json.Decoder(FromAgent)


def send(channel: socket.socket, message: FromLauncher | FromAgent) -> bool:
    """Send one message; whether the other side was there to take it."""
    try:
        # Never wait: an agent that was stopped must not hold up a signal for the command.
        channel.send(msgspec.json.encode(message), socket.MSG_DONTWAIT)
    except OSError:
        return False
    return True


def receive_from_launcher(channel: socket.socket) -> FromLauncher | None:
    """The next message, or `None` when the launcher is gone. Raises `MalformedInput`."""
    packet = _receive(channel)
    return None if packet is None else _decoded(_FROM_LAUNCHER, packet)


def receive_from_agent(channel: socket.socket) -> FromAgent | None:
    """The next message, or `None` when the agent is gone or silent past the socket's timeout.

    Raises `MalformedInput`.
    """
    packet = _receive(channel)
    return None if packet is None else _decoded(_FROM_AGENT, packet)


def _decoded(decoder: msgspec.json.Decoder[Message], packet: bytes) -> Message:
    if len(packet) > MAX_PACKET:
        raise MalformedInput("control message", f"more than {MAX_PACKET} bytes")
    try:
        return decoder.decode(packet)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedInput("control message", str(error)[:500]) from None


def _receive(channel: socket.socket) -> bytes | None:
    try:
        packet = channel.recv(MAX_PACKET + 1)
    except ConnectionResetError:
        # The other side closed with something of ours unread. The kernel tells that first; its last word is behind.
        try:
            packet = channel.recv(MAX_PACKET + 1)
        except OSError:
            return None
    except OSError:
        return None
    return packet or None
