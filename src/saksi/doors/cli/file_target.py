"""A file that is no bundle, as a target of `saksi verify`: which run made it, or whose weights are in it.

Rules: content that a run recorded is known by its digest, and then nothing else is asked; only then the tensors in it
are held against the states that runs committed to. Only runs count whose log is signed by a trusted key.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

from saksi.doors.cli.documents import VerifyLine
from saksi.doors.cli.file_origin import Recorded, judge_file, with_weights
from saksi.doors.cli.reading import catalogue, items_of, open_reading, seal_of
from saksi.edges.files import hash_file
from saksi.edges.runs import RunMaterials
from saksi.edges.tensors.form import NotTensors
from saksi.edges.tensors.read import tensors_in
from saksi.judgement.log_layer import check_log
from saksi.judgement.verify import Trust
from saksi.judgement.weight_origin import CommittedState, Weights, states_in
from saksi.words.codec import decode_record
from saksi.words.errors import SaksiError, StoreError, UsageError
from saksi.words.records import FileRecord
from saksi.words.tensors import Tensors

__all__ = ["judge_file_target"]


def judge_file_target(target: str, path: Path, trust: Trust) -> VerifyLine:
    """The judgement on it. Raises `StoreError` if it cannot be read."""
    hashed = hash_file(path, None)
    if hashed.digest is None:
        raise StoreError(f"cannot read {target}: {hashed.reason}")
    doubts: list[str] = []
    recorded = list(_recorded(trust, doubts))
    paths = {str(path.absolute()), os.path.normpath(path.absolute()), str(path.resolve())}
    line = judge_file(target=target, paths=paths, digest=str(hashed.digest), recorded=recorded, doubts=doubts)
    if line.verdict == "accepted":
        return line
    tensors = _tensors(path, str(hashed.digest))
    if isinstance(tensors, str):
        return with_weights(line, None, (tensors,))
    return line if tensors is None else _of_weights(line, tensors, trust)


def _tensors(path: Path, digest: str) -> Tensors | str | None:
    """The tensors in the file of that digest; why they are not read; `None` where it is none of these files."""
    found: list[Tensors | str | None] = [None]

    def look(file: io.FileIO) -> None:
        try:
            found[0] = tensors_in(file)
        except NotTensors as reason:
            found[0] = f"its tensors are not read: {reason}"

    hashed = hash_file(path, None, look=look)
    if str(hashed.digest) != digest:
        return f"its tensors are not read: {hashed.reason or 'it was changed meanwhile'}"
    return found[0]


def _of_weights(line: VerifyLine, tensors: Tensors, trust: Trust) -> VerifyLine:
    weights, doubts = Weights(tensors.found), list[str]()
    if not weights.can_tell:
        reason = "its tensors are too small, or of one value each, to tell models apart"
        about = (reason if tensors.found else "no tensors are found in it",)
        return with_weights(line, None, about)
    for run in _runs():
        for state in _states(run, trust, doubts):
            weights.take(state)
    origin = weights.origin()
    # A run that could not be asked speaks against no match that another run gives.
    hindering = [each for each in doubts if each not in line.reasons] if origin is None else []
    if tensors.is_pickle:
        named = f", and it names {', '.join(tensors.named[:4])}" if tensors.named else ""
        hindering.insert(0, f"it is a pickle, which can load other tensors than it shows{named}: hand on safetensors")
    if tensors.left_out:
        hindering.insert(0, f"{tensors.left_out} tensors of it are not compared: they do not lie in C order")
    if origin is None:
        hindering.insert(0, "its tensors are those of no state that a record here holds one by one")
    return with_weights(line, origin, hindering)


def _states(run: str, trust: Trust, doubts: list[str]) -> Iterator[CommittedState]:
    """The states of a run whose log is signed by a trusted key; of one that is not, a doubt if it has any."""
    try:
        reading = open_reading(run)
        for number, state in enumerate(states_in(items_of(reading), run)):
            if number == 0 and (reason := _against(reading, trust)):
                doubts.append(f"run {run} tells of states, but does not count: {reason}")
                return
            yield state
    except SaksiError as error:
        doubts.append(f"run {run} could not be asked: {error}")


def _runs() -> list[str]:
    try:
        return sorted(catalogue())
    except UsageError:  # no home at all: nothing is recorded here
        return []


def _recorded(trust: Trust, doubts: list[str]) -> Iterator[Recorded]:
    """The files that runs tell of, of those runs whose log is signed by a trusted key; the others are doubts."""
    for run in _runs():
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
