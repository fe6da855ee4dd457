"""What the launcher and the agent say to each other: one JSON object per packet on a socket pair."""

from __future__ import annotations

import socket
from typing import Final, TypeAlias, TypeVar

import msgspec

from saksi.words.errors import MalformedInput
from saksi.words.records import Peer

__all__ = ["Closed", "FromAgent", "FromLauncher", "JobExited", "JobStarted", "OrphanEnded", "Ready"]
__all__ += ["SignalSeen", "Stop", "receive_from_agent", "receive_from_launcher", "send"]

MAX_PACKET: Final = 65_536


class JobStarted(msgspec.Struct, frozen=True, kw_only=True, tag="started"):
    """The training command runs."""

    pid: int
    wall_ns: int
    mono_ns: int


class SignalSeen(msgspec.Struct, frozen=True, kw_only=True, tag="signal"):
    """A signal reached the launcher."""

    signal: str
    forwarded: bool
    sender: Peer | None


class JobExited(msgspec.Struct, frozen=True, kw_only=True, tag="exited"):
    """The training command ended; exactly one of `code` and `signal` is set."""

    code: int | None
    signal: int | None
    elapsed_ns: int


class OrphanEnded(msgspec.Struct, frozen=True, kw_only=True, tag="orphan"):
    """A process whose parent had died, and which so became the launcher's child, ended with this wait status."""

    pid: int
    status: int


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag="stop"):
    """The job never started."""

    reason: str


FromLauncher: TypeAlias = JobStarted | SignalSeen | JobExited | OrphanEnded | Stop


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The seal is in the log and the socket listens; or `problem` says why not."""

    problem: str | None


class Closed(msgspec.Struct, frozen=True, kw_only=True, tag="closed"):
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
    try:
        return decoder.decode(packet)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedInput("control message", str(error)) from None


def _receive(channel: socket.socket) -> bytes | None:
    try:
        packet = channel.recv(MAX_PACKET)
    except ConnectionResetError:
        # The other side closed with something of ours unread. The kernel tells that first; its last word is behind.
        try:
            packet = channel.recv(MAX_PACKET)
        except OSError:
            return None
    except OSError:
        return None
    return packet or None
