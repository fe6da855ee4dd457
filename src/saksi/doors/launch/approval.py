"""`--seal FILE`: what the launch is held to, and what is said of it before the command starts.

The file is asked for on the command line, so one that cannot be had ends the launch (2). That the launch differs from
it, or that nobody approved it, is recorded and said; with `--require` it ends the launch too (5).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.approver_keys import approver_keys
from saksi.edges.home import resolve_home
from saksi.edges.keys import open_keyring
from saksi.edges.seal_files import read_seal_file
from saksi.judgement.approvals import Approvers, Signature, approvers_of, signatures_of, was_changed
from saksi.judgement.checks.seal import held_to
from saksi.judgement.seal import Seal
from saksi.judgement.seal_file import SignedSealFile
from saksi.words.errors import MalformedInput, SaksiError, UsageError

__all__ = ["SealAsked", "seal_asked"]

_LISTED: Final = 20
"""Reasons said one by one; `saksi seal diff` says them all."""


class SealAsked(msgspec.Struct, frozen=True, kw_only=True):
    """The seal file that the command line names, and its signatures as they are judged here."""

    path: str
    signed: SignedSealFile
    signatures: tuple[Signature, ...]

    def reasons_against(self, seal: Seal) -> tuple[str, ...]:
        """Why a launch with this seal is not what was approved, one line each with what to do; empty if it is."""
        reasons = [
            f"{each.subject}: {each.sentence}"
            for each in held_to(self.signed.file, seal)
            if each.weight == "matters" or (each.weight == "unknown" and each.news)
        ]
        shown = reasons[:_LISTED]
        if reasons:
            more = f"{len(reasons) - _LISTED} more; " if len(reasons) > _LISTED else ""
            shown[-1] += f" ({more}all of it: saksi seal diff {self.path} {seal.run})"
        if not approvers_of(self.signatures):
            remedy = f"saksi seal approve {self.path} --key KEY; who may: saksi keys trust KEY.vkey --approver"
            shown.append(f"no approver whose key is trusted here signed {self.path} ({remedy})")
        return tuple(shown)

    def in_words(self, seal: Seal) -> str:
        """What the launcher's line says of it."""
        approved = approvers_of(self.signatures)
        by = f"approved by {', '.join(approved)}" if approved else f"{self.path} is not approved"
        count = sum(each.weight == "matters" for each in held_to(self.signed.file, seal))
        if not count:
            return by
        return f"{by}, {count} {'difference' if count == 1 else 'differences'} from it"


def seal_asked(path: str, environment: Mapping[str, str]) -> SealAsked:
    """The seal file to launch under. Raises `UsageError` for one that is none, or was changed."""
    try:
        signed = read_seal_file(Path(path))
    except (MalformedInput, UsageError) as refused:
        raise UsageError(f"--seal {refused}") from None
    signatures = signatures_of(signed.envelope, _keys(environment))
    if was_changed(signatures):
        by = ", ".join(each.label for each in signatures if each.state == "refused")
        raise UsageError(f"--seal {path}: changed after {by} signed it", remedy="ask for the file again")
    return SealAsked(path=path, signed=signed, signatures=signatures)


def _keys(environment: Mapping[str, str]) -> Approvers:
    """The keys of this account's home. Those that cannot be had are nobody's: the launch is not approved then."""
    try:
        home = resolve_home(environment)
        known = open_keyring(home).trusted()
    except (SaksiError, OSError):  # that there is no witness either is said elsewhere
        return Approvers(approvers=())
    try:
        return Approvers(approvers=approver_keys(home), known=known)
    except (SaksiError, OSError):  # `saksi keys list` says what is wrong with them
        return Approvers(approvers=(), known=known)
