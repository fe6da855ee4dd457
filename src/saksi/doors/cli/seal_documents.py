"""What `saksi seal show` and `saksi seal diff` print with `--json`. The screens draw the same values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from saksi.doors.cli.documents import instant
from saksi.judgement.approvals import Signature, SignatureState, approvers_of, was_changed
from saksi.judgement.changed_lines import Place
from saksi.judgement.deviations import Deviation
from saksi.judgement.seal_file import SignedSealFile
from saksi.proofs.attest.statement import parse_statement

__all__ = ["SealDiffReport", "SealDifferenceLine", "SealReport", "SignatureLine", "seal_diff_report", "seal_report"]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a document: every field is always there."""


class SignatureLine(_Document, frozen=True, kw_only=True):
    """One signature: an `approver`'s, of a key that is `known` but approves nothing, `unknown`, or `refused`."""

    label: str
    state: SignatureState


class SealReport(_Document, frozen=True, kw_only=True):
    """`saksi seal show FILE --json`. `predicate` is what the file says, as `spec/seal-file.md` has it."""

    schema: Literal["saksi.seal/v1"] = "saksi.seal/v1"
    file: str
    digest: str
    created: datetime | None
    name: str | None
    project: str | None
    command: tuple[str, ...]
    approved: bool
    signatures: tuple[SignatureLine, ...]
    sentence: str
    next_command: str
    predicate: dict[str, Any]


class SealDifferenceLine(_Document, frozen=True, kw_only=True):
    """One difference. `weight`: `matters` is held against a launch, `told` is not, `unknown` could not be compared.

    `places` are the files that were changed, with the first line that was where both versions are at hand.
    """

    weight: Literal["matters", "told", "unknown"]
    field: str
    subject: str
    before: str | None
    after: str | None
    sentence: str
    places: tuple[Place, ...]


class SealDiffReport(_Document, frozen=True, kw_only=True):
    """`saksi seal diff A B --json`. `same` is whether nothing differs that matters and all of it could be compared."""

    schema: Literal["saksi.seal-diff/v1"] = "saksi.seal-diff/v1"
    a: str
    b: str
    same: bool
    sentence: str
    differences: tuple[SealDifferenceLine, ...]


def seal_report(path: str, signed: SignedSealFile, signatures: Sequence[Signature]) -> SealReport:
    """What is shown of a seal file at `path`."""
    file, approved = signed.file, approvers_of(signatures)
    predicate = msgspec.json.decode(parse_statement(signed.envelope.payload).predicate)
    return SealReport(
        file=path,
        digest=str(signed.digest),
        created=instant(file.created_ns),
        name=file.name,
        project=file.project,
        command=file.command.argv,
        approved=bool(approved),
        signatures=tuple(SignatureLine(label=each.label, state=each.state) for each in signatures),
        sentence=_sentence(signatures, approved),
        next_command=_next(path, signatures),
        predicate=predicate,
    )


def _next(path: str, signatures: Sequence[Signature]) -> str:
    if approvers_of(signatures):
        return f"saksi run --seal {path} -- COMMAND"
    return "saksi seal create -- COMMAND" if was_changed(signatures) else f"saksi seal approve {path} --key KEY"


def _sentence(signatures: Sequence[Signature], approved: tuple[str, ...]) -> str:
    if approved:
        return f"Approved by {', '.join(approved)}."
    if was_changed(signatures):
        return "It was changed after it was signed: no signature is of these bytes."
    return "Not approved: no approver whose key is trusted here signed it."


def seal_diff_report(a: str, b: str, found: Sequence[Deviation], places: Sequence[tuple[Place, ...]]) -> SealDiffReport:
    """What is shown of two seals; `places` belong to the deviations in `found`."""
    lines = tuple(
        SealDifferenceLine(
            weight="told" if each.weight == "nothing" else each.weight,
            field=each.field,
            subject=each.subject,
            before=each.before,
            after=each.after,
            sentence=each.sentence,
            places=where,
        )
        for each, where in zip(found, places, strict=True)
    )
    matter, unknown = (sum(each.weight == weight for each in lines) for weight in ("matters", "unknown"))
    return SealDiffReport(
        a=a, b=b, same=not matter and not unknown, sentence=_compared(matter, unknown), differences=lines
    )


def _compared(matter: int, unknown: int) -> str:
    blind = f" {unknown} {'part' if unknown == 1 else 'parts'} could not be compared." if unknown else ""
    if not matter:
        return f"Nothing differs that matters.{blind}"
    return f"{matter} {'difference matters' if matter == 1 else 'differences matter'}.{blind}"
