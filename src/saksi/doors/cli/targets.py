"""What a target of `saksi verify` is, and the judgement on it.

Rules: what names a run is a run, since a file of that name may have been put there by anybody; otherwise an existing
file is a bundle if it looks like one, and any other file is looked up in the records of all runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from saksi.doors.cli.documents import VerifyLine
from saksi.doors.cli.file_origin import Recorded, judge_file
from saksi.doors.cli.reading import assurance_for, catalogue, find, open_reading, seal_of
from saksi.doors.cli.screen import duration
from saksi.edges.anchors import read_anchors
from saksi.edges.files import hash_file
from saksi.edges.runs import RunMaterials
from saksi.edges.store.durable import told
from saksi.judgement.bundle import MAX_BUNDLE_BYTES, TAIL_BYTES, looks_like_bundle, unpack
from saksi.judgement.log_layer import Outcome, check_log
from saksi.judgement.log_materials import LogMaterials
from saksi.judgement.recorders import independent_agent, recorders_in
from saksi.judgement.verdict import Assurance
from saksi.judgement.verify import Trust, Verification, VerificationPolicy
from saksi.judgement.verify import verify as verify_log
from saksi.words.codec import decode_record
from saksi.words.errors import SaksiError, StoreError, UsageError
from saksi.words.records import AgentFacts, FileRecord

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
        return _bundle(target, path, trust, anchors) if _is_bundle(path) else _file(target, path, trust)
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


def _file(target: str, path: Path, trust: Trust) -> VerifyLine:
    hashed = hash_file(path, None)
    if hashed.digest is None:
        raise StoreError(f"cannot read {target}: {hashed.reason}")
    doubts: list[str] = []
    recorded = list(_recorded(trust, doubts))
    paths = {str(path.absolute()), os.path.normpath(path.absolute()), str(path.resolve())}
    return judge_file(target=target, paths=paths, digest=str(hashed.digest), recorded=recorded, doubts=doubts)


def _recorded(trust: Trust, doubts: list[str]) -> Iterator[Recorded]:
    """The files that runs tell of, of those runs whose log is signed by a trusted key; the others are doubts."""
    try:
        runs = sorted(catalogue())
    except UsageError:  # no home at all: nothing is recorded here
        return
    for run in runs:
        try:
            reading = open_reading(run)
            files = list(_files(reading))
        except SaksiError as error:
            doubts.append(f"run {run} could not be asked: {error}")
            continue
        if files and (reason := _against(reading, trust)):
            doubts.append(f"run {run} tells of files, but does not count: {reason}")
            continue
        yield from files


def _files(reading: RunMaterials) -> Iterator[Recorded]:
    folder: str | None = None
    for index, entry in enumerate(reading.entries):
        if not entry.startswith(b'{"kind":"file"'):
            continue
        record = decode_record(entry, where=f"index {index}")
        if isinstance(record, FileRecord):
            if folder is None:
                seal = seal_of(reading)
                folder = None if seal is None else seal.working_directory
            yield Recorded(run=reading.run, entry=index, folder=folder, record=record)


def _against(reading: RunMaterials, trust: Trust) -> str | None:
    """Why this run's log is not to be believed, or `None`."""
    if not trust.keys:
        return "there is no trusted key to judge it with"
    if reading.head is None or reading.short is not None:
        return reading.short or "it has no signed head"
    layer = check_log(run=reading.run, entries=reading.entries, head=reading.head, keys=trust.keys, anchors=())
    return None if layer.head is not None and not layer.reasons else "; ".join(each.text for each in layer.reasons[:2])
