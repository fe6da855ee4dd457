"""What a target of `saksi verify` is, and the judgement on it.

Rules: what names a run is a run, since a file of that name may have been put there by anybody; otherwise an existing
file is a bundle if it looks like one, and any other file is looked up in the records of all runs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from saksi.doors.cli.documents import VerifyLine
from saksi.doors.cli.file_target import judge_file_target
from saksi.doors.cli.reading import assurance_for, find, open_reading
from saksi.doors.cli.screen import duration
from saksi.edges.anchors import read_anchors
from saksi.edges.runs import RunMaterials
from saksi.edges.store.durable import told
from saksi.judgement.bundle import MAX_BUNDLE_BYTES, TAIL_BYTES, looks_like_bundle, unpack
from saksi.judgement.log_layer import Outcome
from saksi.judgement.log_materials import LogMaterials
from saksi.judgement.recorders import independent_agent, recorders_in
from saksi.judgement.verdict import Assurance
from saksi.judgement.verify import Trust, Verification, VerificationPolicy
from saksi.judgement.verify import verify as verify_log
from saksi.words.errors import SaksiError, UsageError
from saksi.words.records import AgentFacts

__all__ = ["judge_target"]

_HEAD_BYTES: Final = 64
_OUTCOMES: Final[dict[int, Outcome]] = {1: "refused", 3: "inconclusive"}


def judge_target(target: str, *, trust: Trust, anchors: Sequence[str]) -> VerifyLine:
    """The judgement on one target. Raises `UsageError` if it is nothing, `StoreError` if it cannot be read."""
    path = Path(target)
    try:
        run = find(target)
    except SaksiError as error:
        if not path.is_file():
            raise _nothing(target, path, error) from None
        return _bundle(target, path, trust, anchors) if _is_bundle(path) else judge_file_target(target, path, trust)
    try:
        return _log(target, open_reading(run), trust, anchors)
    except SaksiError as error:
        return _failed(target, "run", error)


def _nothing(target: str, path: Path, error: SaksiError) -> SaksiError:
    if path.is_dir():
        return UsageError(f"{target[:200]!r} is a folder", remedy="name a run, a bundle, or a file")
    if isinstance(error, UsageError) and error.message.startswith("no run"):
        return UsageError(f"{target[:200]!r} is neither a run nor a file", remedy="see `saksi runs`")
    return error


def _is_bundle(path: Path) -> bool:
    with told("read", path), path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        return looks_like_bundle(head=head, tail=file.read(TAIL_BYTES), name=path.name)


def _failed(target: str, kind: str, error: SaksiError) -> VerifyLine:
    """The line for materials that do not even parse. Any other failure is ours, and goes up."""
    if error.exit_code not in _OUTCOMES:
        raise error
    return VerifyLine(
        target=target,
        kind="bundle" if kind == "bundle" else "run",
        verdict=_OUTCOMES[error.exit_code],
        run=None,
        entries=None,
        digest=None,
        sentence="It cannot be read as a whole.",
        reasons=(str(error),),
        made=(),
    )


def _bundle(target: str, path: Path, trust: Trust, anchors: Sequence[str]) -> VerifyLine:
    with told("read", path), path.open("rb") as file:
        content = file.read(MAX_BUNDLE_BYTES + 1)
    try:
        unpacked = unpack(content)
    except SaksiError as error:
        return _failed(target, "bundle", error)
    materials = LogMaterials(run=unpacked.run, entries=unpacked.entries, head=unpacked.head, blob=unpacked.blob)
    return _verified(target, "bundle", materials, trust, anchors)


def _log(target: str, reading: RunMaterials, trust: Trust, anchors: Sequence[str]) -> VerifyLine:
    return _verified(target, "run", reading.log, trust, anchors, short=reading.short)


def _verified(
    target: str,
    kind: str,
    materials: LogMaterials,
    trust: Trust,
    anchors: Sequence[str],
    *,
    short: str | None = None,
) -> VerifyLine:
    notes = [note for each in anchors for note in _notes(each, materials.run)]
    assurance = assurance_for(materials)
    policy = VerificationPolicy(anchors_required=1 if anchors else 0, assurance=assurance)
    found = verify_log(trust=trust, materials=materials, policy=policy, anchors=notes)
    # A log that is not accepted may not even parse, and nothing of it counts.
    agent = independent_agent(recorders_in(materials.entries)) if found.verdict == "accepted" else None
    places = (f"entry {each.entry}: {each.text}" if each.entry is not None else each.text for each in found.reasons)
    return VerifyLine(
        target=target,
        kind="bundle" if kind == "bundle" else "run",
        verdict="inconclusive" if short is not None and found.verdict == "accepted" else found.verdict,
        run=found.run,
        entries=found.entries,
        digest=None,
        sentence=" ".join(
            (
                _sentence(found, agent),
                *_approval(found, assurance),
                *(f"{note[:1].upper()}{note[1:]}." for note in found.notes),
            )
        ),
        reasons=(*(() if short is None else (short,)), *places),
        made=(),
        root=found.root,
        signed_by=found.signed_by,
        anchors=found.anchors,
        longest_unanchored_ns=found.longest_unanchored_ns,
        findings=() if found.verdict == "refused" else found.findings,
    )


def _approval(found: Verification, assurance: Assurance) -> tuple[str, ...]:
    """Who approved what was launched, of a log that may be believed."""
    if found.verdict == "refused" or not assurance.approved_by:
        return ()
    return (f"Launched under what {', '.join(assurance.approved_by)} approved.",)


def _notes(anchor: str, run: str) -> list[bytes]:
    path = Path(anchor)
    if not path.exists():
        raise UsageError(
            f"--anchor {anchor}: no such folder or note", remedy="name the folder that anchors were sent to"
        )
    return read_anchors(path, run)


def _sentence(found: Verification, agent: AgentFacts | None) -> str:
    if found.verdict == "refused":
        return f"Run {found.run}: the record is not what was signed, or contradicts itself."
    if found.verdict == "inconclusive":
        return f"Run {found.run}: nothing speaks against the record, but not all of it could be judged."
    signed = f"Run {found.run}: {found.entries:,} entries, whole, signed and unchanged."
    if found.longest_unanchored_ns is None:
        if agent is not None:
            whom = f"account {agent.uid}, which recorded it for account {agent.account}"
            return f"{signed} No anchor was compared: {whom}, could have rewritten it."
        return f"{signed} No anchor was compared: the job's own account could have rewritten it."
    stretch = duration(found.longest_unanchored_ns / 1e9)
    agree = "1 anchor agrees" if found.anchors == 1 else f"{found.anchors:,} anchors agree"
    return f"{signed} {agree}; the longest stretch without one is {stretch}."
