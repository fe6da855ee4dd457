"""Inputs made from a seed and nothing else: values of our types, and bytes that are nearly right.

The seed is an argument, so that what broke once can be made again.
"""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Iterator, Sequence
from functools import cache
from random import Random
from typing import Any

import msgspec

SEED = 20
INPUTS = 10_000
UNCHANGED = 0.02
"""How many inputs stay as they were: a parser that refuses everything would pass otherwise."""

_HEX = re.compile(r"\^\(?((?:[a-z0-9-]+:)?)\[0-9a-f\]\{(\d+)\}\)?\$")
_EDGES = (0, 1, 2, 3, 255, 2**31, 2**53, 2**63 - 1)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
TOKENS = (
    b"", b"\0", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x1b[2J", b"\x7f", b"\xe2\x80\xa8", b"\r",
    b"\n", b"\n\n", b"\t", b" ", b'"', b"\\", b"\\u0000", b"\\ud800", b",", b":", b"{", b"}", b"[", b"]", b"{}", b"[]",
    b"null", b"true", b"NaN", b'"NaN"', b"Infinity", b"-Infinity", b"-1", b"-0", b"0.5", b"00", b"1e5", b"1e400",
    b"9223372036854775808", b"18446744073709551616", b"9" * 400, b"9" * 5_000, b"[" * 40 + b"]" * 40, b"+", b"=",
    b"[" * 2_000, b'{"a":' * 2_000, b"sha256:", b"\xe2\x80\x94 ", b".p/", b"x000/",
)  # fmt: skip


def sample(random: Random, kind: Any) -> Any:
    """A value of an annotation, as its constraints allow."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _constrained(random, arguments[0], arguments[1])
    if origin in {typing.Union, types.UnionType}:
        return sample(random, random.choice(arguments))
    if origin is typing.Literal:
        return random.choice(arguments)
    if origin is list:
        return [sample(random, arguments[0]) for _ in range(random.randrange(4))]
    if origin is tuple and arguments[-1] is Ellipsis:
        return tuple(sample(random, arguments[0]) for _ in range(random.randrange(4)))
    if origin is tuple:
        return tuple(sample(random, each) for each in arguments)
    if origin is dict:
        return {sample(random, arguments[0]): sample(random, arguments[1]) for _ in range(random.randrange(4))}
    return _plain(random, kind)


def _plain(random: Random, kind: Any) -> Any:
    if kind is int:
        return random.choice(_EDGES)
    if kind is float:
        return random.choice((0.0, -1.5, 1e300, random.random()))
    if kind is bool:
        return random.random() < 0.5
    if kind is str:
        return "".join(random.choices('abc/.é—\u2028 "\\\t', k=random.randrange(12)))
    if kind is type(None):
        return None
    if kind is typing.Any:
        return random.choice((None, 1, 0.5, "x", [1, [2]], {"a": {"b": []}}))
    return kind(**{name: sample(random, each) for name, each in _fields(kind)})


@cache
def _fields(kind: Any) -> tuple[tuple[str, Any], ...]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return tuple((name, hints[name]) for name in kind.__struct_fields__)


def _constrained(random: Random, kind: Any, meta: msgspec.Meta) -> Any:
    if meta.pattern is not None:
        match = _HEX.fullmatch(meta.pattern)
        assert match is not None, meta.pattern
        return match[1] + "".join(random.choices("0123456789abcdef", k=int(match[2])))
    if meta.ge is not None:
        return max(meta.ge, random.choice(_EDGES))
    return sample(random, kind)


def mutated(random: Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """`content` with one to four changes: bits, cuts, repeats, tokens, numbers, and pieces of `others`."""
    for _ in range(random.randint(1, 4)):
        content = random.choice(_CHANGES)(random, content, others)
    return content


def nearly(random: Random, seeds: Sequence[bytes], inputs: int = INPUTS) -> Iterator[bytes]:
    """`inputs` byte strings made from `seeds`; a few are seeds as they are."""
    for _ in range(inputs):
        content = random.choice(seeds)
        yield content if random.random() < UNCHANGED else mutated(random, content, seeds)


def _span(random: Random, content: bytes, most: int) -> tuple[int, int]:
    start = random.randint(0, len(content))
    return start, min(len(content), start + random.randint(0, most))


def _flip(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    if not content:
        return content
    at = random.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << random.randrange(8)]) + content[at + 1 :]


def _cut_off(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    return content[: random.randint(0, len(content))]


def _take_out(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(random, content, 40)
    return content[:start] + content[end:]


def _repeat(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(random, content, 200)
    return content[:end] + content[start:end] + content[end:]


def _put_token(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(random, content, 6)
    return content[:start] + random.choice(TOKENS) + content[end:]


def _put_bytes(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(random, content, 6)
    return content[:start] + random.randbytes(random.randint(0, 6)) + content[end:]


def _other_number(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    found = list(_NUMBER.finditer(content, random.randint(0, len(content))))[:8]
    if not found:
        return content
    at = random.choice(found)
    return content[: at.start()] + random.choice(TOKENS) + content[at.end() :]


def _splice(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    other = random.choice(others) if others else content
    start, end = _span(random, other, 300)
    at, until = _span(random, content, 300)
    return content[:at] + other[start:end] + content[until:]


_CHANGES = (_flip, _flip, _cut_off, _take_out, _repeat, _put_token, _put_token, _put_bytes, _other_number, _splice)


def members_changed(random: Random, content: bytes) -> bytes:
    """JSON that stays JSON: one value in it, at any depth, is another, gone, or joined by one more."""
    found = json.loads(content)
    parent = found
    while True:
        keys: list[Any] = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        if not keys:
            break
        key = random.choice(keys)
        if isinstance(parent[key], dict | list) and random.random() < 0.6:
            parent = parent[key]
            continue
        _change(random, parent, key)
        break
    return json.dumps(found, separators=(",", ":"), ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")


def _change(random: Random, parent: Any, key: Any) -> None:
    what = random.randrange(4)
    if what == 0:
        del parent[key]
    elif what == 1 and isinstance(parent, dict):
        parent["more"] = parent[key]
    else:
        parent[key] = random.choice(WRONG)


WRONG: tuple[Any, ...] = (
    None, True, -1, 0, 0.5, -(2**63), 2**63, 2**64, 10**400, "", "x" * 5_000, "\0", "\ud800", "\x1b[2J", "NaN",
    "nan", float("nan"), float("inf"), [], {}, [[]], [None], {"": 1}, {"a": [1, {"b": None}]}, "sha256:" + "0" * 64,
    "0" * 64, "0" * 64 + "\n", "\u0661" * 64,
)  # fmt: skip
