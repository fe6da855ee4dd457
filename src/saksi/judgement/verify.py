"""Is this record whole, signed and unchanged? Pure: bytes in, a value out.

Three inputs: trust (keys), materials (what is judged) and a policy (what is acceptable). Rules: signatures before
meaning; deleting anything may turn `accepted` into `inconclusive` or `refused`, never the reverse; what the run did is
not judged here but in `verdict`. Keys inside the materials never count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from saksi.judgement.items import Item, read_items
from saksi.judgement.log_layer import LogLayer, Outcome, Reason, check_log, opened, reason_of
from saksi.judgement.log_materials import LogMaterials
from saksi.judgement.seal_file import parse_seal_file
from saksi.judgement.verdict import NOTHING_ASSURED, Assurance, Judgement, judge
from saksi.proofs.attest.predicates import SEAL
from saksi.proofs.attest.statement import parse_statement
from saksi.proofs.tlog.note_key import VerifierKey
from saksi.words.codec import decode_record
from saksi.words.digest import Digest, sha256
from saksi.words.errors import MalformedInput, SaksiError
from saksi.words.findings import Coverage, Finding
from saksi.words.records import ApprovalRecord, AttemptKeyRecord, SealRecord

__all__ = ["Outcome", "Reason", "Trust", "Verification", "VerificationPolicy", "verify"]

_EXIT_CODES: Final[dict[Outcome, int]] = {"accepted": 0, "refused": 1, "inconclusive": 3}
_FIRST_APPROVAL: Final = 2
"""Behind seal and key of attempt 0."""
_MAX_REASONS: Final = 64
"""Reasons of one kind that are listed; a damaged log could have one for every entry."""


class Trust(msgspec.Struct, frozen=True):
    """The installation keys whose word counts; each has passed `enrol`."""

    keys: tuple[VerifierKey, ...]


class VerificationPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is acceptable. Everything else is demanded always: an exit record, complete coverage, every blob."""

    anchors_required: int = 0
    assurance: Assurance = NOTHING_ASSURED


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The answer, and why. Values after `coverage` speak of a log whose signatures verified; else they are empty.

    `longest_unanchored_ns` is the longest stretch of wall time that no anchor ends: what lies in it could have been
    rewritten by whoever holds the attempt's key. It is `None` without anchors. `notes` do not change the verdict: a
    whole record may tell of a run that went wrong.
    """

    run: str
    verdict: Outcome
    reasons: tuple[Reason, ...]
    entries: int
    root: str | None
    attempts: tuple[int, ...]
    signed_by: tuple[str, ...]
    anchors: int
    longest_unanchored_ns: int | None
    coverage: Coverage | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 accepted, 1 refused, 3 inconclusive."""
        return _EXIT_CODES[self.verdict]


class _Reading:
    """Reads a log's items once, noting what stands against it on the way."""

    def __init__(self, trust: Trust, materials: LogMaterials, sizes: Sequence[int]) -> None:
        self._trust = trust
        self._materials = materials
        self._attempt = 0  # the one in force
        self._unsealed: int | None = None  # the entry whose key began the attempt in force, until the seal behind it
        self._approval_at = _FIRST_APPROVAL  # where the attempt in force may name its seal file
        self._sizes = set(sizes)
        self._refused = False
        self.reasons: list[Reason] = []
        self.times: list[int] = []

    def items(self) -> Iterator[Item]:
        last = len(self._materials.entries) - 1
        for item in read_items(self._materials.entries, self._materials.blob):
            self._take(item)
            if item.unread == "absent":
                self._note("inconclusive", f"missing: {item.reason}", item.index)
            elif item.unread is not None:
                self._note("refused", f"a blob cannot be what the log commits to: {item.reason}", item.index)
            if item.index in {0, last} or item.index + 1 in self._sizes:
                self.times.append(item.record.wall_ns)
            yield item
        self._require_sealed()

    def _take(self, item: Item) -> None:
        """Run, attempt and seal of one entry. Keys have been judged: attempts count up from 0."""
        record = item.record
        if record.run != self._materials.run:
            self._note("refused", f"an entry of run {record.run}", item.index)
        if item.index > 0 and isinstance(record, SealRecord):
            self._take_seal(item.index)
        self._require_sealed()
        if isinstance(record, AttemptKeyRecord) and record.attempt > self._attempt:
            self._attempt, self._unsealed = record.attempt, item.index
        if isinstance(record, ApprovalRecord):
            self._take_approval(item)
        if record.attempt != self._attempt:
            text = f"an entry of attempt {record.attempt}, where attempt {self._attempt} is in force"
            self._note("refused", text, item.index)

    def _take_seal(self, index: int) -> None:
        """A further attempt seals its own launch, right behind the key that begins it."""
        if self._unsealed is None:
            self._note("refused", "a second seal", index)
            return
        self._unsealed = None
        self._approval_at = index + 1
        self.reasons += _seal(self._trust, self._materials, index)

    def _take_approval(self, item: Item) -> None:
        """The seal file of a launch is named right behind its seal and key: it was there before the first step."""
        if item.index != self._approval_at:
            self._note("refused", "a seal file is named elsewhere than behind the seal of its attempt", item.index)
        if item.content is not None:
            try:
                parse_seal_file(item.content)
            except SaksiError as error:
                self._note("refused", f"what is named as a seal file is none: {error}", item.index)

    def _require_sealed(self) -> None:
        """Refuses an attempt without a seal behind its first key: the agent writes both at once or neither."""
        if self._unsealed is not None:
            self._note("refused", f"attempt {self._attempt} is not sealed", self._unsealed)
            self._unsealed = None

    def _note(self, outcome: Outcome, text: str, entry: int) -> None:
        if len(self.reasons) < _MAX_REASONS or (outcome == "refused" and not self._refused):
            self._refused |= outcome == "refused"
            self.reasons.append(Reason(outcome=outcome, text=text, entry=entry))


def verify(
    *,
    trust: Trust,
    materials: LogMaterials,
    policy: VerificationPolicy,
    anchors: Sequence[bytes] = (),
) -> Verification:
    """Judges a log. Never raises for what the materials hold; the caller's blob reader may raise its own errors."""
    if not trust.keys:
        text = "there is no trusted key to judge signatures with; give one with --trust"
        return _answer(materials, [Reason(outcome="inconclusive", text=text)])
    if materials.head is None:
        return _answer(materials, [Reason(outcome="inconclusive", text="the log has no signed head")])
    layer = check_log(
        run=materials.run, entries=materials.entries, head=materials.head, keys=trust.keys, anchors=anchors
    )
    reasons = list(layer.reasons)
    if layer.head is None or any(each.outcome == "refused" for each in reasons):
        return _answer(materials, reasons, layer=layer)
    reasons += _seal(trust, materials, 0)
    if len(layer.anchored) < policy.anchors_required:
        text = f"{len(layer.anchored)} anchors agree, and {policy.anchors_required} are required"
        reasons.append(Reason(outcome="inconclusive", text=text))
    reading = _Reading(trust, materials, layer.anchored)
    try:
        judgement = judge(reading.items(), run=materials.run, assurance=policy.assurance)
    except MalformedInput as error:
        return _answer(materials, [*reasons, *reading.reasons, reason_of(error)], layer=layer)
    reasons += reading.reasons
    reasons += _coverage(judgement)
    return _answer(materials, reasons, layer=layer, judgement=judgement, times=reading.times)


def _seal(trust: Trust, materials: LogMaterials, entry: int) -> list[Reason]:
    """The entry must be a seal of this run and of its attempt, signed by a trusted key."""
    try:
        record = decode_record(materials.entries[entry], where=f"index {entry}")
    except MalformedInput as error:
        return [reason_of(error, entry=entry)]
    if not isinstance(record, SealRecord):
        return [Reason(outcome="refused", text=f"entry {entry} is not the seal", entry=entry)]
    content = materials.blob(Digest.parse(record.envelope))
    if content is None:
        return [Reason(outcome="inconclusive", text=f"missing: the seal, blob {record.envelope}", entry=entry)]
    if str(sha256(content)) != record.envelope:
        return [Reason(outcome="refused", text=f"the seal's bytes are not {record.envelope}", entry=entry)]
    payload = opened(content, trust.keys, what="the seal", entry=entry)
    if isinstance(payload, Reason):
        return [payload]
    try:
        statement = parse_statement(payload)
        sealed = msgspec.json.decode(statement.predicate, type=_SealedRun)
    except (SaksiError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return [Reason(outcome="refused", text=f"the seal cannot be read: {error}", entry=entry)]
    if statement.predicate_type != SEAL:
        return [Reason(outcome="refused", text=f"the seal is a {statement.predicate_type}", entry=entry)]
    if sealed.run != materials.run:
        return [Reason(outcome="refused", text=f"the seal is of run {sealed.run}", entry=entry)]
    if sealed.attempt != record.attempt:
        text = f"the seal is of attempt {sealed.attempt}, not of attempt {record.attempt}"
        return [Reason(outcome="refused", text=text, entry=entry)]
    return []


class _SealedRun(msgspec.Struct):
    """The members of a seal that bind it to its place in a log; the others are read elsewhere."""

    run: str
    attempt: int


def _coverage(judgement: Judgement) -> list[Reason]:
    reasons: list[Reason] = []
    for finding in judgement.report.items:
        entry = finding.evidence[0] if finding.evidence else None
        if finding.code == "witness.chain_broken":
            reasons.append(Reason(outcome="refused", text=finding.message, entry=entry))
        elif finding.code == "coverage.no_exit_record":
            reasons.append(Reason(outcome="inconclusive", text=f"{finding.subject}: {finding.message}", entry=entry))
    if not judgement.report.coverage.complete:
        coverage = judgement.report.coverage
        expected = "unknown" if coverage.steps_expected is None else coverage.steps_expected
        text = f"coverage is not complete: {coverage.steps_witnessed} of {expected} steps; see `saksi findings`"
        reasons.append(Reason(outcome="inconclusive", text=text))
    return reasons


def _answer(
    materials: LogMaterials,
    reasons: Sequence[Reason],
    *,
    layer: LogLayer | None = None,
    judgement: Judgement | None = None,
    times: Sequence[int] = (),
) -> Verification:
    outcomes = {each.outcome for each in reasons}
    verdict: Outcome = (
        "refused" if "refused" in outcomes else "inconclusive" if outcomes or judgement is None else "accepted"
    )
    head = None if layer is None else layer.head
    keys, anchored = ((), ()) if layer is None else (layer.keys, layer.anchored)
    gaps = [after - before for before, after in pairwise(times)]
    return Verification(
        run=materials.run,
        verdict=verdict,
        reasons=tuple(reasons),
        entries=len(materials.entries),
        root=None if head is None else head.root.hex(),
        attempts=tuple(dict.fromkeys(each.attempt for each in keys)),
        signed_by=tuple(dict.fromkeys(each.key.label for each in keys)),
        anchors=len(anchored),
        longest_unanchored_ns=max(gaps, default=0) if anchored else None,
        coverage=None if judgement is None else judgement.report.coverage,
        findings=() if judgement is None else judgement.report.items,
        notes=() if judgement is None else _notes(judgement.report.items),
    )


def _notes(findings: Sequence[Finding]) -> tuple[str, ...]:
    if not findings:
        return ()
    many = "1 finding stands" if len(findings) == 1 else f"{len(findings)} findings stand"
    return (f"{many} in it (see `saksi findings`)",)
