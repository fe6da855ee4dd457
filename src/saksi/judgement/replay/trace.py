"""The trace of one Step, as a replay under trace wrote it: every operation, with the functions that were on the stack.

Source: spec/trace.md. Rules: a trace is written where the program that is replayed could write too; it is parsed
strictly, within limits, and a line that says what no tracer says makes the whole of it unreadable.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec

from saksi.words.errors import MalformedInput

__all__ = ["MAX_TRACE_BYTES", "UNKNOWN", "Function", "Operation", "Tensor", "Trace", "parse_trace"]

MAX_TRACE_BYTES: Final = 128 * 1024 * 1024
UNKNOWN: Final = "?"
"""The digest of what says nothing: memory that was not filled yet, or that a device holds."""
_VERSION: Final = 1
_WHAT: Final = "the trace of a replay"

_Words: TypeAlias = Annotated[str, msgspec.Meta(max_length=512)]
_Path: TypeAlias = Annotated[str, msgspec.Meta(max_length=8192)]
_Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
_Digest: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{32}|\?)$")]
_Code: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{32})?$")]

Tensor: TypeAlias = tuple[_Words, _Words, _Digest]
"""Name of the parameter it is ("" for none), type and shape, digest of its elements in C order."""


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """One line."""


class _Begin(_Line, frozen=True, kw_only=True, tag="trace"):
    version: int


class Function(_Line, frozen=True, kw_only=True, tag="function"):
    """A function that was on the stack. `within` is its file below the folder it was imported from, `code` its digest.

    Two are the same if these and the name are: lines may move.
    """

    number: _Number
    file: _Path
    within: _Path
    name: _Words
    code: _Code
    line: _Number

    @property
    def identity(self) -> tuple[str, str, str]:
        """What it is known by in another environment."""
        return self.within, self.name, self.code


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


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The operations of one Step, in order. `stopped` says why there are no more; `None` if these are all."""

    functions: tuple[Function, ...]
    operations: tuple[Operation, ...]
    stopped: str | None


_LINES: Final = msgspec.json.Decoder(_Begin | Function | Operation | _Stopped | _End)


def parse_trace(content: bytes) -> Trace:
    """What the lines say. Raises `MalformedInput`, with the number of the line."""
    if len(content) > MAX_TRACE_BYTES:
        raise MalformedInput(_WHAT, f"larger than {MAX_TRACE_BYTES:,} bytes")
    functions: list[Function] = []
    operations: list[Operation] = []
    stopped: str | None = "the replay ended before the step did"
    for number, text in enumerate(content.splitlines(), 1):
        try:
            line = _LINES.decode(text)
        except (msgspec.DecodeError, RecursionError) as reason:
            raise MalformedInput(_WHAT, str(reason), where=f"line {number}") from None
        why = _misplaced(line, number, len(functions), ended=stopped is None)
        if why is not None:
            raise MalformedInput(_WHAT, why, where=f"line {number}")
        if isinstance(line, Function):
            functions.append(line)
        elif isinstance(line, Operation):
            operations.append(line)
        elif isinstance(line, _Stopped):
            stopped = line.reason
            break
        elif isinstance(line, _End):
            stopped = None
    return Trace(functions=tuple(functions), operations=tuple(operations), stopped=stopped)


def _misplaced(line: _Line, number: int, functions: int, *, ended: bool) -> str | None:
    """Why a line cannot be where it is."""
    if (number == 1) != isinstance(line, _Begin):
        return "a trace begins with its version, once"
    if isinstance(line, _Begin) and line.version != _VERSION:
        return f"version {line.version} is not read here"
    if ended:
        return "more comes after its end"
    if isinstance(line, Function) and line.number != functions:
        return "functions are numbered from 0 on"
    if isinstance(line, Operation) and any(each >= functions for each, _ in line.stack):
        return "a stack names a function that is not there"
    return None
