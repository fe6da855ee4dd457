"""Packets of a hostile or broken peer, one function for each kind of hostility, made from packets that are valid.

A function takes the source of chance and what the peer would honestly say next, and returns one packet.
"""

from __future__ import annotations

import hashlib
import json
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from fuzz.seeded import TOKENS, WRONG, members_changed, mutated, sample
from saksi.words.frames import MAX_FRAME_BYTES, AnyFrame

KINDS: dict[str, type[msgspec.Struct]] = {each.__struct_config__.tag: each for each in typing.get_args(AnyFrame)}


@dataclass
class Speaker:
    """What a peer has said, and would honestly say next."""

    random: Random
    seq: int = 0
    prev: str = "0" * 64
    said: list[bytes] = field(default_factory=list)

    def packet(self, kind: str, **changed: Any) -> bytes:
        """A valid packet of `kind`, numbered and chained."""
        frame = msgspec.to_builtins(sample(self.random, KINDS[kind]))
        frame |= {"seq": self.seq, "prev": self.prev, "lost": 0}
        if kind == "hello":
            frame["version"] = 1
        return msgspec.json.encode(frame | changed)

    def say(self, packet: bytes) -> bytes:
        """`packet`, which counts as said."""
        self.seq += 1
        self.prev = hashlib.sha256(packet).hexdigest()
        self.said = [*self.said[-7:], packet]
        return packet


Hostility = Callable[[Speaker, str], bytes]


def malformed(speaker: Speaker, kind: str) -> bytes:
    packet = speaker.packet(kind)
    at = speaker.random.randrange(len(packet))
    return packet[:at] + speaker.random.choice((b"", b"}", b"{", b",", b'"', b"]", b"\\", b"'")) + packet[at + 1 :]


def truncated(speaker: Speaker, kind: str) -> bytes:
    packet = speaker.packet(kind)
    return packet[: speaker.random.randrange(len(packet))]


def oversized(speaker: Speaker, kind: str) -> bytes:
    """Up to the limit, at it and over it: spaces inside the object count as anything else does."""
    packet = speaker.packet(kind)
    length = MAX_FRAME_BYTES + speaker.random.choice((-60_000, -1, 0, 1, 2))
    filling = b" " * (length - len(packet))
    return speaker.random.choice((b"{" + filling + packet[1:], packet[:-1] + filling + b"}", packet + filling))


def interleaved(speaker: Speaker, kind: str) -> bytes:
    one, other = speaker.packet(kind), speaker.packet(speaker.random.choice(list(KINDS)))
    at = speaker.random.randrange(len(one))
    between = speaker.random.choice((b"", b"\n", b" ", b",", b"\0"))
    return speaker.random.choice((one + between + other, one[:at] + other + one[at:], b"[" + one + b"," + other + b"]"))


def replayed(speaker: Speaker, kind: str) -> bytes:
    return speaker.random.choice(speaker.said) if speaker.said else speaker.packet(kind)


def out_of_order(speaker: Speaker, kind: str) -> bytes:
    random = speaker.random
    seq = random.choice((0, speaker.seq - 1, speaker.seq + 1, speaker.seq + 2**32, 2**63 - 1, 2**63, -1))
    lost = random.choice((0, 1, 2**62, 2**63 - 1))
    return speaker.packet(kind, seq=seq, lost=lost, prev=random.choice(("0" * 64, "f" * 64, speaker.prev)))


def forged(speaker: Speaker, kind: str) -> bytes:
    """Another rank's, another process's, or a second hello; a goodbye in another's place."""
    random = speaker.random
    if random.random() < 0.2:
        return speaker.packet("detach", updates=[random.choice((0, 1, 2**63 - 1))] * random.choice((0, 1, 3, 1_100)))
    return speaker.packet(
        "hello", rank=random.choice((0, 1, 7, 2**63 - 1)), pid=random.choice((1, 4242, 2**63 - 1)), world_size=1,
        version=random.choice((1, 1, 0, 2, -1, 2**70)),
    )  # fmt: skip


def wrong_types(speaker: Speaker, kind: str) -> bytes:
    return members_changed(speaker.random, speaker.packet(kind))


def huge_integers(speaker: Speaker, kind: str) -> bytes:
    huge = speaker.random.choice((b"9223372036854775808", b"-9223372036854775809", b"9" * 21, b"9" * 400, b"9" * 5_000))
    return _with_one(speaker, kind, huge)


def not_finite(speaker: Speaker, kind: str) -> bytes:
    words = (b"NaN", b"Infinity", b"-Infinity", b'"NaN"', b'"Infinity"', b'"-Infinity"', b'"nan"', b'"inf"', b"1e400")
    return _with_one(speaker, kind, speaker.random.choice(words))


def deep(speaker: Speaker, kind: str) -> bytes:
    depth = speaker.random.choice((2, 20, 31, 32, 33, 40, 200, 900, 5_000, 20_000))
    opened, closed = speaker.random.choice(((b"[", b"]"), (b'{"a":', b"}")))
    inner = opened * depth + b"1" + (closed * depth if speaker.random.random() < 0.9 else b"")
    return _with_one(speaker, kind, inner[:60_000])


def bad_utf8(speaker: Speaker, kind: str) -> bytes:
    wrong = (b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\x80", b"\x80")
    return _within_text(speaker, kind, speaker.random.choice(wrong))


def control_characters(speaker: Speaker, kind: str) -> bytes:
    return _within_text(
        speaker, kind, speaker.random.choice((bytes([speaker.random.randrange(32)]), b"\x1b[2J", b"\x7f"))
    )


def nul_bytes(speaker: Speaker, kind: str) -> bytes:
    packet = speaker.packet(kind)
    at = speaker.random.randint(0, len(packet))
    return packet[:at] + b"\0" * speaker.random.randint(1, 9) + packet[at:]


def duplicate_keys(speaker: Speaker, kind: str) -> bytes:
    """A member named twice, the first time with anything: only one of the two is read, both are stored."""
    random, packet = speaker.random, speaker.packet(kind)
    members = list(json.loads(packet).items())
    nested = [each for each in members if isinstance(each[1], dict | list)]
    name, value = random.choice(random.choice((nested or members, members)))
    shape = b"[%b]" if isinstance(value, list) else b"%b"
    layers = random.choice((10, 40, 700))
    other = random.choice(
        (msgspec.json.encode(value), random.choice(TOKENS), shape % (b'{"a":' * layers + b"1" + b"}" * layers))
    )
    member = json.dumps(name).encode() + b":" + other
    return random.choice((b"{" + member + b"," + packet[1:], packet[:-1] + b"," + member + b"}"))


def unknown_fields(speaker: Speaker, kind: str) -> bytes:
    name = speaker.random.choice(("", "more", "Kind", "kind ", "seq\0", "__class__", "x" * 5_000))
    return speaker.packet(kind, **{name: speaker.random.choice(WRONG[:8])})


def empty(speaker: Speaker, kind: str) -> bytes:
    alone = b'{"kind":"%b"}' % kind.encode()
    return speaker.random.choice((b"", b"{}", b"[]", b"null", b'""', b"0", b" ", b"\n", b"\0", alone))


def bits_and_pieces(speaker: Speaker, kind: str) -> bytes:
    return mutated(speaker.random, speaker.packet(kind), speaker.said)


HOSTILITIES: dict[str, Hostility] = {
    each.__name__: each
    for each in (
        malformed, truncated, oversized, interleaved, replayed, out_of_order, forged, wrong_types, huge_integers,
        not_finite, deep, bad_utf8, control_characters, nul_bytes, duplicate_keys, unknown_fields, empty,
        bits_and_pieces,
    )
}  # fmt: skip


def _with_one(speaker: Speaker, kind: str, value: bytes) -> bytes:
    """One member of a packet, or a value somewhere in it, made `value`."""
    packet = speaker.packet(kind)
    fields = json.loads(packet)
    name = speaker.random.choice(list(fields))
    inner = fields[name]
    if isinstance(inner, list) and inner and speaker.random.random() < 0.5:
        inner[speaker.random.randrange(len(inner))] = "\x01"
    elif isinstance(inner, dict) and speaker.random.random() < 0.5:
        inner[speaker.random.choice([*inner, "new"])] = "\x01"
    else:
        fields[name] = "\x01"
    return json.dumps(fields, separators=(",", ":")).encode().replace(b'"\\u0001"', value)[: 2 * MAX_FRAME_BYTES]


def _within_text(speaker: Speaker, kind: str, piece: bytes) -> bytes:
    packet = speaker.packet(kind)
    quotes = [at for at, byte in enumerate(packet) if byte == ord('"')]
    at = speaker.random.choice(quotes) + speaker.random.randint(0, 1)
    return packet[:at] + piece + packet[at:]
