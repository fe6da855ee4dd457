"""What a launcher and the agent as a service say to each other before the attempt begins (`spec/agent.md`).

One JSON object a packet, but for the parts of the seal, which are the statement's bytes. Both sides are strict:
unknown members, kinds and versions are refused. From `Begun` on the messages of `control` follow on the same
connection.
"""

from __future__ import annotations

import hashlib
import socket
import time
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from saksi.words.digest import DIGEST_PATTERN
from saksi.words.errors import MalformedInput, SaksiError
from saksi.words.run import Level

__all__ = [
    "MAX_SEAL",
    "PROTOCOL",
    "Ask",
    "Begin",
    "Begun",
    "Content",
    "Fetch",
    "FromNode",
    "Prepared",
    "Refused",
    "give_time",
    "hear_answer",
    "hear_ask",
    "receive_content",
    "refusal_of",
    "say",
    "send_content",
]

PROTOCOL: Final = 1
MAX_MESSAGE: Final = 16_384
"""Of a packet of JSON; those of the protocol have some hundred bytes."""
PART: Final = 30_000
"""Bytes of one part: a packet has to fit the kernel's default buffer several times."""
TALK_S: Final = 60.0
"""For one message: a launcher looks at its environment between two of them, some seconds the first time."""
MAX_SEAL: Final = 4 << 20
"""A seal with every list at its limit has less than a megabyte."""

_WHAT: Final = "message"

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Name = Annotated[str, Meta(max_length=128)]
Note = Annotated[str, Meta(max_length=1024)]


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No member may be missing but where it has a default."""


class Begin(_Message, frozen=True, omit_defaults=True, tag="begin"):
    """An attempt, please: of a new run, or of the run `resume`, which this account began.

    `notes` are what the record should begin with: what the launcher knows that is not watched. With `seal_file`, the
    file follows the seal as a content of its own; without it nothing is said of it, so that older agents understand.
    """

    version: Count
    resume: Name | None
    notes: Annotated[tuple[Note, ...], Meta(max_length=8)] = ()
    seal_file: bool = False


class Fetch(_Message, frozen=True, tag="fetch"):
    """The bundle of the run, please, which this account began (or root asks)."""

    version: Count
    run: Name


class Content(_Message, frozen=True, tag="content"):
    """`size` bytes follow in packets of their own: the seal's statement, or a bundle."""

    size: Count
    digest: Annotated[str, Meta(pattern=DIGEST_PATTERN)]


class Prepared(_Message, frozen=True, tag="prepared"):
    """The attempt to seal. `name`, `project`, `level` and `segment` are those of the run that is resumed."""

    run: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
    attempt: Count
    socket: Annotated[str, Meta(max_length=107)]
    token: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    name: Name | None
    project: Name | None
    level: Level | None
    segment: Annotated[int, Meta(ge=1, le=1_000_000)] | None


class Begun(_Message, frozen=True, tag="begun"):
    """The seal and the key are in the log, and the attempt's socket listens. What follows is `control`'s."""


class Refused(_Message, frozen=True, tag="refused"):
    """No. `why` is what kind of no it is, `reason` one line for a person."""

    why: Literal["usage", "limit", "stopping", "failed", "malformed", "version"]
    reason: Annotated[str, Meta(max_length=2048)]


Ask: TypeAlias = Begin | Fetch
FromNode: TypeAlias = Prepared | Begun | Refused | Content
_Any: TypeAlias = Begin | Fetch | Content | Prepared | Begun | Refused
_ANY: Final = msgspec.json.Decoder(_Any, strict=True)


def say(channel: socket.socket, message: _Any) -> None:
    """Send one message, waiting for room as long as the socket's timeout. Raises `OSError`."""
    channel.send(msgspec.json.encode(message))


def hear_ask(channel: socket.socket) -> Ask:
    """What a peer wants of the agent. Raises `MalformedInput`, and `OSError` if it is gone or silent."""
    message = _hear(channel)
    if not isinstance(message, Begin | Fetch):
        raise MalformedInput(_WHAT, f"{type(message).__name__} where it does not belong")
    return message


def hear_answer(channel: socket.socket) -> FromNode:
    """What the agent answers. Raises `MalformedInput`, and `OSError` if it is gone or silent."""
    message = _hear(channel)
    if isinstance(message, Begin | Fetch):
        raise MalformedInput(_WHAT, f"{type(message).__name__} where it does not belong")
    return message


def _hear(channel: socket.socket) -> _Any:
    packet = channel.recv(MAX_MESSAGE + 1)
    if not packet:
        raise ConnectionResetError("the other side has gone")
    if len(packet) > MAX_MESSAGE:
        raise MalformedInput(_WHAT, f"more than {MAX_MESSAGE} bytes")
    try:
        message: _Any = _ANY.decode(packet)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedInput(_WHAT, str(error)[:500]) from None
    return message


def give_time(channel: socket.socket, until: float | None) -> None:
    """Let the next packet take what is left until `until`, by the monotonic clock, and no longer than `TALK_S`.

    Without `until` the socket's own timeout stands. Raises `TimeoutError` if nothing is left.
    """
    if until is None:
        return
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the conversation took too long")
    channel.settimeout(min(left, TALK_S))


def send_content(channel: socket.socket, content: bytes, *, until: float | None = None) -> None:
    """Announce `content` and send it in parts, by `until` if it is given. Raises `OSError`."""
    give_time(channel, until)
    say(channel, Content(size=len(content), digest=f"sha256:{hashlib.sha256(content).hexdigest()}"))
    for start in range(0, len(content), PART):
        give_time(channel, until)
        channel.send(content[start : start + PART])


def receive_content(
    channel: socket.socket, *, most: int, announced: Content | None = None, until: float | None = None
) -> bytes:
    """What the other side announces and sends, at most `most` bytes, by `until` if it is given.

    Raises `MalformedInput`, `OSError`.
    """
    give_time(channel, until)
    told = _hear(channel) if announced is None else announced
    if not isinstance(told, Content):
        raise MalformedInput(_WHAT, f"{type(told).__name__} where it does not belong")
    if told.size > most:
        raise MalformedInput("content", f"{told.size:,} bytes, more than {most:,}")
    content = bytearray()
    while len(content) < told.size:
        give_time(channel, until)
        part = channel.recv(PART + 1)
        if not part:
            raise ConnectionResetError("the other side has gone")
        if len(part) > PART or len(content) + len(part) > told.size:
            raise MalformedInput("content", "more bytes than were announced")
        content += part
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != told.digest:
        raise MalformedInput("content", "other bytes than were announced")
    return bytes(content)


def refusal_of(error: SaksiError) -> Refused:
    """The refusal that tells of `error`."""
    why: Literal["usage", "malformed", "failed"] = "failed"
    if error.exit_code == 2:  # noqa: PLR2004 - a `UsageError`
        why = "usage"
    elif isinstance(error, MalformedInput):
        why = "malformed"
    return Refused(why=why, reason=str(error)[:2048])
