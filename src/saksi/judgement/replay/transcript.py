"""The transcript of one Step, as a replay wrote it: every operation, with the functions that were on the stack.

Source: spec/transcript.md. Rules: a transcript is written where the program that is replayed could write too; it is
parsed strictly, within limits, and a line that no recorder writes makes the whole of it unreadable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, TypeAlias

import msgspec

from saksi.words.errors import MalformedInput

__all__ = ["MAX_TRANSCRIPT_BYTES", "UNKNOWN", "Function", "Operation", "Tensor", "Transcript", "parse_transcript"]

MAX_TRANSCRIPT_BYTES: Final = 64 * 1024 * 1024
MAX_OPERATIONS: Final = 100_000
MAX_PARTS: Final = 2_000_000
"""Arguments, tensors and functions on stacks, of all operations: what one takes in memory is many times its text."""
UNKNOWN: Final = "?"
"""The digest of what says nothing: memory that was not filled yet, or that a device holds."""
_VERSION: Final = 1
_WHAT: Final = "the transcript of a Step"

_Words: TypeAlias = Annotated[str, msgspec.Meta(max_length=512)]
_Path: TypeAlias = Annotated[str, msgspec.Meta(max_length=8192)]
_Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
_Digest: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{32}|\?)$")]
_Code: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{32})?$")]

Tensor: TypeAlias = tuple[_Words, _Words, _Digest]
"""Name of the parameter it is ("" for none), type and shape, digest of its elements in C order."""


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """One line."""


class _Begin(_Line, frozen=True, kw_only=True, tag="transcript"):
    version: int


class Function(_Line, frozen=True, kw_only=True, tag="function"):
    """A function that was on the stack. `within`: its file below the folder it is imported from; `code`: its digest."""

    number: _Number
    file: _Path
    within: _Path
    name: _Words
    code: _Code
    line: _Number

    @property
    def identities(self) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
        """What it is known by in another environment: one of them is enough, and lines may move."""
        return (self.within, self.name, self.code), (self.file, self.name, self.code)


class Operation(_Line, frozen=True, kw_only=True, tag="operation"):
    """One operation. `stack`: numbers of functions and the line each was at, the innermost first."""

    op: _Words
    args: Annotated[tuple[_Words, ...], msgspec.Meta(max_length=4096)]
    ins: Annotated[tuple[Tensor, ...], msgspec.Meta(max_length=4096)]
    outs: Annotated[tuple[Tensor, ...], msgspec.Meta(max_length=8192)]
    module: _Words
    stack: Annotated[tuple[tuple[_Number, _Number], ...], msgspec.Meta(max_length=256)]


class _Stopped(_Line, frozen=True, kw_only=True, tag="stopped"):
    reason: _Words


class _End(_Line, frozen=True, kw_only=True, tag="end"):
    operations: _Number


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """The operations of one Step, in order. `stopped` says why there are no more; `None` if these are all."""

    functions: tuple[Function, ...]
    operations: tuple[Operation, ...]
    stopped: str | None


_LINES: Final = msgspec.json.Decoder(_Begin | Function | Operation | _Stopped | _End)


def parse_transcript(content: bytes) -> Transcript:
    """What the lines say. Raises `MalformedInput`, with the number of the line."""
    if len(content) > MAX_TRANSCRIPT_BYTES:
        raise MalformedInput(_WHAT, f"larger than {MAX_TRANSCRIPT_BYTES:,} bytes")
    said = _Said()
    for number, text in enumerate(_lines(content), 1):
        try:
            line = _LINES.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:
            raise MalformedInput(_WHAT, str(reason), where=f"line {number}") from None
        why = said.refuses(line, number)
        if why is not None:
            raise MalformedInput(_WHAT, why, where=f"line {number}")
    if not content:
        raise MalformedInput(_WHAT, "nothing is in it")
    return Transcript(functions=tuple(said.functions), operations=tuple(said.operations), stopped=said.stopped)


def _lines(content: bytes) -> Iterator[bytes]:
    """One after the other: a list of all of them may take more memory than what they say."""
    at = 0
    while at < len(content):
        end = content.find(b"\n", at)
        end = len(content) if end < 0 else end
        yield content[at:end]
        at = end + 1


class _Said:
    """What the lines so far said."""

    def __init__(self) -> None:
        self.functions: list[Function] = []
        self.operations: list[Operation] = []
        self.stopped: str | None = "the replay ended before the step did"
        self._parts = 0
        self._ended = False

    def refuses(self, line: _Begin | Function | Operation | _Stopped | _End, number: int) -> str | None:
        """Takes a line in, or says why it cannot be there."""
        if (number == 1) != isinstance(line, _Begin):
            return "a transcript begins with its version, once"
        if self._ended:
            return "more comes after its end"
        if isinstance(line, _Begin):
            return None if line.version == _VERSION else f"version {line.version} is not read here"
        if isinstance(line, Function):
            self.functions.append(line)
            return None if line.number == len(self.functions) - 1 else "functions are numbered from 0 on"
        if isinstance(line, Operation):
            return self._refuses(line)
        self._ended = True
        self.stopped = line.reason if isinstance(line, _Stopped) else None
        if isinstance(line, _End) and line.operations != len(self.operations):
            return f"it ends with {line.operations} operations, and has {len(self.operations)}"
        return None

    def _refuses(self, line: Operation) -> str | None:
        self.operations.append(line)
        self._parts += len(line.args) + len(line.ins) + len(line.outs) + len(line.stack)
        if len(self.operations) > MAX_OPERATIONS or self._parts > MAX_PARTS:
            return f"more than {MAX_OPERATIONS:,} operations, or {MAX_PARTS:,} parts of them"
        if any(each >= len(self.functions) for each, _ in line.stack):
            return "a stack names a function that is not there"
        return None
