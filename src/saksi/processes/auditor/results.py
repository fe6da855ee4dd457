"""What a worker says came of a task, signed with the key that was made for it alone (`spec/replay-result.md`).

Rules: nothing is believed before its signature, its task and the files of its record are checked; a result of another
task, or of the same one by another worker, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

from saksi.judgement.seal import Seal
from saksi.proofs.attest.envelope import IN_TOTO, format_envelope, parse_envelope, sign, verify
from saksi.proofs.attest.predicates import REPLAY_RESULT
from saksi.proofs.attest.statement import ResourceDescriptor, format_statement, make_statement, parse_statement
from saksi.proofs.tlog.note_key import NoteSigner, VerifierKey
from saksi.words.errors import MalformedInput

__all__ = ["ReplayResult", "checked", "signed"]

_WHAT: Final = "result of a replay"
_TASK: Final = "saksiTask"
_Files: TypeAlias = Mapping[str, Mapping[str, str]]
"""Digests by path, each as in-toto has it."""


class ReplayResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How a replay ended. With `refused` or `not_replayed` none was begun, and the rest says nothing."""

    refused: str | None = None
    not_replayed: str | None = None
    code: int | None = None
    last_words: str = ""
    observed: Seal | None = None
    enough: bool = False
    took_more: int | None = None


def signed(result: ReplayResult, task: str, files: _Files, signer: NoteSigner) -> bytes:
    """The envelope: `task` is the digest of what was asked, `files` are those of the record.

    Raises `MalformedInput`.
    """
    try:
        statement = format_statement(make_statement(_subjects(task, files), REPLAY_RESULT, result))
    except UnicodeEncodeError:
        raise MalformedInput(_WHAT, "a text that is not Unicode") from None
    return format_envelope(sign(IN_TOTO, statement, [signer]))


def checked(content: bytes, key: VerifierKey, task: str, files: _Files) -> ReplayResult:
    """The result in an envelope that `key` signed, of this task and with these files, as they are found here.

    Raises `SignatureRefused`, `MalformedInput`.
    """
    statement = parse_statement(verify(parse_envelope(content), [key]))
    if statement.predicate_type != REPLAY_RESULT:
        raise MalformedInput(_WHAT, f"its predicate type is {statement.predicate_type[:80]!r}, not {REPLAY_RESULT}")
    told = {each.name: each.digest for each in statement.subject}
    here = {each.name: each.digest for each in _subjects(task, files)}
    if told != here or len(told) != len(statement.subject):
        other = sorted(str(name) for name in told.keys() | here.keys() if told.get(name) != here.get(name))
        raise MalformedInput(_WHAT, f"{len(other)} of its subjects are not what is here: {', '.join(other[:3])[:200]}")
    try:
        return msgspec.json.decode(statement.predicate, type=ReplayResult)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedInput(_WHAT, str(error)) from None


def _subjects(task: str, files: _Files) -> list[ResourceDescriptor]:
    return [
        ResourceDescriptor(name="task", digest={_TASK: task}),
        *(ResourceDescriptor(name=f"./{name}", digest=files[name]) for name in sorted(files)),
    ]
