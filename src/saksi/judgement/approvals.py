"""Who signed a seal file, and what that is worth for a launch or for a whole run. The rules are `spec/seal-file.md`.

Rules:

- Each signature is judged by itself; one by an approver approves, and no other takes that away. So leaving a signature
  out can undo an approval and never make one.
- Whose key is an approver's is for the reader to say: never the file, the record or the project.
- A run is approved if each of its attempts was launched under a file that is approved here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from saksi.judgement.checks.fold import observation
from saksi.judgement.checks.seal import CHECK_NAME, held_to, seal_in_envelope
from saksi.judgement.items import BlobReader
from saksi.judgement.seal import Seal
from saksi.judgement.seal_file import EnvironmentTree, SignedSealFile, format_seal_file, parse_seal_file
from saksi.judgement.verdict import NOTHING_ASSURED, Assurance
from saksi.proofs.attest.envelope import MAX_SIGNATURES, Envelope, pae, sign
from saksi.proofs.tlog.note_key import NoteSigner, VerifierKey
from saksi.proofs.tlog.signature_types import ED25519, SignatureRefused, verify_ed25519
from saksi.words.codec import decode_record
from saksi.words.digest import Digest, sha256
from saksi.words.errors import SaksiError, UsageError
from saksi.words.findings import Finding
from saksi.words.records import ApprovalRecord, AttachRecord, EnvironmentRecord, ExitRecord, ProcessRecord, SealRecord

__all__ = [
    "Approvers",
    "Signature",
    "SignatureState",
    "add_signature",
    "approvers_of",
    "assurance_of",
    "has_approval",
    "signatures_of",
    "was_changed",
]

SignatureState = Literal["approver", "known", "unknown", "refused"]

_APPROVAL: Final = b'{"kind":"approval",'
"""How the canonical form of these entries begins."""
_READ: Final = frozenset({"seal", "approval", "environment", "attach", "process", "exit"})
"""Kinds of entries that say more here than to which attempt they belong."""


class Approvers(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that count where a file is read: those whose signature approves, and others that are known."""

    approvers: tuple[VerifierKey, ...]
    known: tuple[VerifierKey, ...] = ()


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """One signature of an envelope: the label it gives, and what it is here."""

    label: str
    state: SignatureState


def signatures_of(envelope: Envelope, keys: Approvers) -> tuple[Signature, ...]:
    """Each signature of `envelope`, in order. Never raises for what the envelope holds."""
    message = pae(envelope.payload_type, envelope.payload)

    def verifies(key: VerifierKey, signature: bytes) -> bool:
        try:
            verify_ed25519(public=key.public, message=message, signature=signature, name=key.label)
        except SignatureRefused:
            return False
        return True

    found = []
    for each in envelope.signatures:
        state: SignatureState = "unknown"
        for group, worth in ((keys.known, "known"), (keys.approvers, "approver")):
            named = [key for key in group if key.label == each.keyid and key.algorithm == ED25519]
            if any(verifies(key, each.sig) for key in named):
                state = "approver" if worth == "approver" else "known"
            elif named and state == "unknown":
                state = "refused"
        found.append(Signature(label=each.keyid, state=state))
    return tuple(found)


def approvers_of(signatures: Iterable[Signature]) -> tuple[str, ...]:
    """The labels of the approvers among the signatures: the file is approved if there is one."""
    return tuple(dict.fromkeys(each.label for each in signatures if each.state == "approver"))


def was_changed(signatures: Iterable[Signature]) -> bool:
    """Whether no signature verifies and one should: other bytes were signed than these."""
    states = {each.state for each in signatures}
    return "refused" in states and not states & {"approver", "known"}


def add_signature(signed: SignedSealFile, signer: NoteSigner) -> SignedSealFile | None:
    """The file with one more signature; `None` if `signer` has signed these bytes already.

    Raises `UsageError` if there is no room, or another signature stands under the signer's label.
    """
    label, envelope = signer.key.label, signed.envelope
    own = [each for each in signatures_of(envelope, Approvers(approvers=(signer.key,))) if each.label == label]
    if any(each.state == "approver" for each in own):
        return None
    if own:
        raise UsageError(f"a signature under {label} is there and does not verify", remedy="ask for the file again")
    if len(envelope.signatures) >= MAX_SIGNATURES:
        raise UsageError(f"{MAX_SIGNATURES} signatures are there already", remedy="seal the command anew")
    added = sign(envelope.payload_type, envelope.payload, [signer])
    both = (*envelope.signatures, *added.signatures)
    return format_seal_file(msgspec.structs.replace(envelope, signatures=both))


def has_approval(entries: Iterable[bytes]) -> bool:
    """Whether a log names any seal file: without one there is nothing to judge here."""
    return any(entry.startswith(_APPROVAL) for entry in entries)


class _Belongs(msgspec.Struct):
    """What every entry says of itself."""

    kind: str
    attempt: int


class _Launch(msgspec.Struct):
    """One attempt as its entries tell of it. `stopped`: its exit record says that the command never started."""

    seal: Seal | None = None
    file: SignedSealFile | None = None
    entry: int | None = None
    looks: set[tuple[str, str | None]] = set()
    changed: bool = False
    stopped: bool = False
    seen: bool = False

    @property
    def ran(self) -> bool:
        """Whether anything was executed, as far as is known: a launcher that says no is held to what was seen."""
        return self.seen or not self.stopped


def assurance_of(entries: Sequence[bytes], blob: BlobReader, keys: Approvers) -> Assurance:
    """What the approvals of a run assure. Never raises for what the log holds.

    Every attempt that any entry belongs to counts, whether or not it has a seal; one that was refused before its
    command started executed nothing, so that its environment need not have been verified.
    """
    launches: dict[int, _Launch] = {}
    for index, entry in enumerate(entries):
        _take(launches, index, entry, blob)
    if all(each.entry is None for each in launches.values()):
        return NOTHING_ASSURED
    approved, compared, verified = True, True, any(each.ran for each in launches.values())
    findings: list[Finding] = []
    labels: dict[str, None] = {}
    approved_attempts: set[int] = set()
    for number, launch in sorted(launches.items()):
        found, by = _standing(number, launch, keys)
        findings += found
        labels |= dict.fromkeys(by)
        approved &= bool(by)
        approved_attempts |= {number} if by else set()
        verified &= not launch.ran or (bool(by) and _verified(launch))
        compared &= launch.seal is not None and launch.file is not None and _whole(launch.seal, launch.file)
    return Assurance(
        seal_approved=approved,
        approved_by=tuple(labels) if approved else (),
        environment_verified=verified,
        seal_compared=compared,
        findings=tuple(findings),
        approved_attempts=frozenset(approved_attempts),
        planned_steps=_planned_steps(launches.values()) if approved else None,
    )


def _planned_steps(launches: Iterable[_Launch]) -> int | None:
    """How many steps the approved plans of all attempts agree on."""
    plans = [None if each.file is None else each.file.file.plan for each in launches]
    steps = {None if plan is None else plan.steps for plan in plans}
    return steps.pop() if len(steps) == 1 else None


def _take(launches: dict[int, _Launch], index: int, entry: bytes, blob: BlobReader) -> None:
    try:
        belongs = msgspec.json.decode(entry, type=_Belongs)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return  # what does not parse is told of by whoever reads the log
    launch = launches.setdefault(belongs.attempt, _Launch())
    if belongs.kind not in _READ:
        return
    try:
        record = decode_record(entry)
    except SaksiError:
        return  # as above
    match record:
        case AttachRecord() | ProcessRecord():
            launch.seen = True
        case ExitRecord():
            launch.stopped = record.started_wall_ns == 0
        case EnvironmentRecord():
            launch.looks.add((record.moment, record.tree))
            # Also where another owner or link explains a file's ctime: an edit taken back would hide behind it.
            launch.changed |= bool(record.totals)
        case SealRecord() | ApprovalRecord():
            _take_sealed(launch, index, record, blob)
        case _:
            pass


def _take_sealed(launch: _Launch, index: int, record: SealRecord | ApprovalRecord, blob: BlobReader) -> None:
    content = blob(Digest.parse(record.envelope))
    whole = content if content is not None and str(sha256(content)) == record.envelope else None
    if isinstance(record, SealRecord):
        launch.seal = None if whole is None else seal_in_envelope(whole)
    elif launch.entry is None:
        launch.entry = index
        try:
            launch.file = None if whole is None else parse_seal_file(whole)
        except SaksiError:
            launch.file = None


def _verified(launch: _Launch) -> bool:
    """Whether the files were, at the start and at the end, those that agreed with a manifest when they were sealed."""
    tree = msgspec.UNSET if launch.file is None else launch.file.file.environment_tree
    if not isinstance(tree, EnvironmentTree) or tree.manifest is msgspec.UNSET or launch.changed:
        return False
    return {"start", "end"} <= {moment for moment, _ in launch.looks} and {each for _, each in launch.looks} == {
        tree.digest
    }


def _whole(seal: Seal, file: SignedSealFile) -> bool:
    return not any(each.weight == "unknown" for each in held_to(file.file, seal))


def _standing(number: int, launch: _Launch, keys: Approvers) -> tuple[list[Finding], tuple[str, ...]]:
    """What is found about one attempt's approval, and who approved it."""
    evidence = () if launch.entry is None else (launch.entry,)

    def finding(code: str, subject: str, message: str) -> Finding:
        return observation(
            check=CHECK_NAME, code=code, subject=subject, message=message, severity="info", evidence=evidence
        )

    if launch.entry is None:
        message = "This attempt was launched without `--seal`; other attempts of the run were not."
        return [finding("seal.not_approved", f"attempt {number}", message)], ()
    if launch.file is None:
        message = "The seal file that the record names is not at hand or cannot be read; an incomplete copy has this."
        return [finding("seal.not_approved", f"attempt {number}", message)], ()
    signatures = signatures_of(launch.file.envelope, keys)
    approved_by = approvers_of(signatures)
    if approved_by:
        return [], approved_by
    message = (
        f"No approver whose key is trusted here signed the seal file {str(launch.file.digest)[:23]}; "
        "`saksi seal approve FILE --key KEY` does, and `saksi keys trust KEY.vkey --approver` says who may."
    )
    found = [finding("seal.not_approved", f"attempt {number}", message)]
    for each in signatures:
        if each.state == "unknown":
            message = "It signed the seal file, and its key is not known here."
            found.append(finding("seal.signature_unknown", each.label, message))
        elif each.state == "refused":
            message = "The signature under this label does not verify: other bytes were signed, or another key signed."
            found.append(finding("seal.signature_unknown", each.label, message))
    return found, ()
