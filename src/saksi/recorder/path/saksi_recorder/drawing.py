"""The key that the places of samples are drawn with: the attempt's, which its ranks share, or this process's own.

Rules: it is asked for once, as the first Update begins, and without waiting; where it is not there by then, this
process's own serves for good: elements that were drawn with two keys are other elements. In a forked child it is asked
for anew. A replay that resumed draws what the run drew, if an audit says its key and the number that its first Update
had there (`SAKSI_SAMPLES`).
"""

from __future__ import annotations

import os

from . import session
from .guard import guarded

SAYS = b"saksi-samples/v1 "
DIGITS = 64  # hexadecimal
_HEXADECIMAL = frozenset(b"0123456789abcdef")

_given = [b""]
_first = [0]  # the number that the first Update of this process counts as, in what is drawn


def install() -> None:
    """Take what an audit says: a key in hexadecimal, a colon, and a number."""
    digits, _, first = os.environ.get("SAKSI_SAMPLES", "").partition(":")
    is_key = len(digits) == DIGITS and _HEXADECIMAL.issuperset(digits.encode("utf-8", "replace"))
    if is_key and first.isascii() and first.isdigit() and len(first) <= session.MAX_DIGITS:
        _given[0], _first[0] = bytes.fromhex(digits), int(first)


@guarded("drawing")
def ask() -> None:
    """Take what the agent has sent, if it has. Call once, before anything is drawn."""
    packet = None if session.channel is None else session.channel.asked(len(SAYS) + DIGITS)
    if not _given[0] and packet is not None and len(packet) == len(SAYS) + DIGITS and packet.startswith(SAYS):
        digits = packet[len(SAYS) :]
        _given[0] = bytes.fromhex(digits.decode("ascii")) if _HEXADECIMAL.issuperset(digits) else b""


def key() -> bytes:
    """What is drawn with."""
    return _given[0] or session.key


def number(update: int) -> int:
    """What an Update counts as where its places are drawn."""
    return _first[0] + update


def said() -> dict[str, str]:
    """What a list of samples says of it: nothing, where it is this process's own."""
    return {"key": _given[0].hex()} if _given[0] else {}


def _forget() -> None:
    _given[0] = b""
    install()


session.wakers.append(_forget)
