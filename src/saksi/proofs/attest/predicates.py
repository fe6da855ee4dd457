"""The predicate types that saksi signs, and the typed predicates of the log itself.

A predicate type is versioned in its name; a change of meaning is a new name.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from saksi.proofs.canonical import MAX_UINT63
from saksi.proofs.tlog.note_key import enrol
from saksi.proofs.tlog.signature_types import ED25519
from saksi.words.errors import MalformedInput

__all__ = [
    "ATTEMPT_KEY",
    "ENVIRONMENT_MANIFEST",
    "REPLAY_RESULT",
    "SEAL",
    "SEAL_FILE",
    "AttemptKey",
    "parse_attempt_key",
]

SEAL: Final = "urn:saksi:predicate:seal:v1"  # its typed form is judgement's
SEAL_FILE: Final = "urn:saksi:predicate:seal-file:v1"  # as above
ATTEMPT_KEY: Final = "urn:saksi:predicate:attempt-key:v1"
REPLAY_RESULT: Final = "urn:saksi:predicate:replay-result:v1"  # its typed form is the auditor's
ENVIRONMENT_MANIFEST: Final = "urn:saksi:predicate:environment-manifest:v1"  # as the seal

_WHAT: Final = "attempt key"
_ROOT_HEX: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class AttemptKey(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The installation's key admits a key to write one attempt's entries into the run's log.

    `previous_size` and `previous_root` name the head that the new key continues; both are absent only for
    the first key of a log. Raises `MalformedInput` if unsound.
    """

    run: str
    attempt: int
    vkey: str
    previous_size: int | None = None
    previous_root: str | None = None

    def __post_init__(self) -> None:
        if not self.run:
            raise MalformedInput(_WHAT, "no run")
        if not 0 <= self.attempt <= MAX_UINT63:
            raise MalformedInput(_WHAT, f"attempt {self.attempt} is not between 0 and 2**63 - 1")
        if enrol(self.vkey).algorithm != ED25519:
            raise MalformedInput(_WHAT, "not an Ed25519 note key")
        if (self.previous_size is None) != (self.previous_root is None):
            raise MalformedInput(_WHAT, "a previous size without a root, or a root without a size")
        if self.previous_size is not None and not 0 <= self.previous_size <= MAX_UINT63:
            raise MalformedInput(_WHAT, f"previous size {self.previous_size} is not between 0 and 2**63 - 1")
        if self.previous_root is not None and _ROOT_HEX.fullmatch(self.previous_root) is None:
            raise MalformedInput(_WHAT, "its previous root is not 64 lower-case hexadecimal digits")


def parse_attempt_key(predicate: bytes | msgspec.Raw) -> AttemptKey:
    """The typed predicate of a statement of type `ATTEMPT_KEY`. Raises `MalformedInput`."""
    try:
        return msgspec.json.decode(predicate, type=AttemptKey)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedInput(_WHAT, str(error)) from error
