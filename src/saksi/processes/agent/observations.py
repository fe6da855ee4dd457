"""What was observed, as the record that says it. The caller stamps it with the time at which it is written down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypedDict

import msgspec

from saksi.edges.host.endings import Ending
from saksi.processes.agent.anchors import AnchorWorker
from saksi.processes.agent.ckpt_files import HashedCkpt
from saksi.processes.agent.connection import Block, Connection
from saksi.processes.agent.job import Job
from saksi.processes.agent.observer import Seen
from saksi.processes.agent.pace import Change
from saksi.processes.agent.sources import CompiledSource
from saksi.words.digest import sha256
from saksi.words.frames import CapsuleFrame, CkptFrame
from saksi.words.records import (
    AnchorRecord,
    BlockRecord,
    CapsuleRecord,
    CompiledFunction,
    ExitRecord,
    FileRecord,
    ProcessRecord,
    SourceRecord,
    StateRecord,
)

__all__ = [
    "Stamp",
    "anchor_record",
    "block_record",
    "ended_record",
    "exit_record",
    "file_record",
    "printable",
    "process_record",
    "source_records",
    "state_record",
]

SOURCE_BYTES: Final = 32_768
"""Of the functions in one record: with paths and homes around them, an entry still has room."""
MAX_HOMES: Final = 256
MAX_LINES: Final = 16


class Stamp(TypedDict):
    """The fields every record carries."""

    run: str
    attempt: int
    wall_ns: int
    mono_ns: int
    boot: str


def printable(text: str) -> str:
    """`text` in ASCII: what an error quotes may be no UTF-8, and no record can hold that."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def block_record(connection: Connection, block: Block, stamp: Stamp) -> BlockRecord:
    """Frames of one connection, committed to by the digest of the blob that holds them."""
    return BlockRecord(
        connection=connection.number,
        rank=connection.rank,
        blob=str(sha256(block.content)),
        size=len(block.content),
        frames=block.frames,
        first_seq=block.first_seq,
        last_seq=block.last_seq,
        updates=block.updates,
        first_step=block.first_step,
        last_step=block.last_step,
        **stamp,
    )


def process_record(seen: Seen, command: Sequence[str], limits: Mapping[str, int], stamp: Stamp) -> ProcessRecord:
    """A process that was seen. `command` is its command line as it may be shown, `limits` those that are in force."""
    return _process(seen, command, stamp, event="seen", limits=dict(limits) or None)


def ended_record(
    seen: Seen,
    command: Sequence[str],
    ending: Ending | None,
    stamp: Stamp,
    *,
    killed_for_memory: int | None,
    trained: tuple[int, int | None] | None,
) -> ProcessRecord:
    """A process that ended: how, where that is known; `trained` is its rank and its last Step."""
    rank, last_step = (None, None) if trained is None else trained
    return _process(
        seen,
        command,
        stamp,
        event="ended",
        code=None if ending is None else ending.code,
        signal=None if ending is None else ending.signal,
        source=None if ending is None else ending.source,
        killed_for_memory=killed_for_memory,
        rank=rank,
        last_step=last_step,
    )


def _process(seen: Seen, command: Sequence[str], stamp: Stamp, **how: Any) -> ProcessRecord:
    facts = seen.facts
    return ProcessRecord(
        pid=facts.pid,
        ppid=facts.ppid,
        started_ticks=facts.started_ticks,
        executable=facts.executable,
        command=list(command),
        uid=facts.uid,
        torch=seen.torch,
        attached=seen.attached,
        forked=seen.forked,
        **how,
        **stamp,
    )


def state_record(change: Change, since_wall_ns: int, stamp: Stamp, *, launcher_stopped: bool) -> StateRecord:
    """A process that trains stopped, went on, fell silent, or was heard again."""
    return StateRecord(
        event=change.event,
        pid=change.pid,
        rank=change.rank,
        last_step=change.last_step,
        since_wall_ns=since_wall_ns,
        launcher_stopped=launcher_stopped,
        after=change.after,
        process_state=change.process_state,
        **stamp,
    )


def file_record(hashed: HashedCkpt, stamp: Stamp) -> FileRecord | CapsuleRecord:
    """A model checkpoint or a capsule: what the job said of it, and what was found at its path."""
    if isinstance(hashed.frame, CapsuleFrame):
        return _capsule_record(hashed, hashed.frame, stamp)
    return _ckpt_record(hashed, hashed.frame, stamp)


def _capsule_record(hashed: HashedCkpt, frame: CapsuleFrame, stamp: Stamp) -> CapsuleRecord:
    found = hashed.found
    return CapsuleRecord(
        connection=hashed.connection,
        seq=frame.seq,
        rank=hashed.rank,
        path=frame.path,
        step=frame.step,
        root=frame.root,
        every=frame.every,
        digest=None if found.digest is None else str(found.digest),
        size=found.size,
        reason=found.reason,
        **stamp,
    )


def _ckpt_record(hashed: HashedCkpt, frame: CkptFrame, stamp: Stamp) -> FileRecord:
    found = hashed.found
    return FileRecord(
        connection=hashed.connection,
        seq=frame.seq,
        rank=hashed.rank,
        action=frame.action,
        path=frame.path or "",
        step=frame.step,
        digest=None if found.digest is None else str(found.digest),
        size=found.size,
        claimed_digest=frame.digest,
        reason=found.reason,
        imports=None if hashed.imports is None else list(hashed.imports),
        **stamp,
    )


def source_records(source: CompiledSource, stamp: Stamp) -> Iterator[SourceRecord]:
    """A source file and what was asked of it, in as many records as its functions need."""
    found = source.compiled
    homes = list(found.homes.items())
    parts = list(_parts(found.functions)) or [[]]
    while len(parts) * MAX_HOMES < len(homes):
        parts.append([])
    for number, functions in enumerate(parts):
        yield SourceRecord(
            path=found.path,
            origin=source.placed.origin,
            unit=source.placed.unit[:4096],
            python=source.python[:256],
            optimize=source.optimize,
            digest=None if found.digest is None else str(found.digest),
            size=found.size,
            changed=source.changed,
            reason=found.reason,
            functions=functions,
            homes={name: at[:MAX_LINES] for name, at in homes[number * MAX_HOMES : (number + 1) * MAX_HOMES]},
            **stamp,
        )


def _parts(functions: Sequence[CompiledFunction]) -> Iterator[list[CompiledFunction]]:
    part: list[CompiledFunction] = []
    room = SOURCE_BYTES
    for each in functions:
        size = len(msgspec.json.encode(each)) + 1
        if part and size > room:
            yield part
            part, room = [], SOURCE_BYTES
        part.append(each)
        room -= size
    if part:
        yield part


def anchor_record(worker: AnchorWorker, stamp: Stamp) -> AnchorRecord:
    """What became of the heads that one anchor was offered."""
    statistics = worker.statistics()
    return AnchorRecord(
        target=worker.target[:4096],
        sent=statistics.sent,
        failed=statistics.failed,
        last_size=statistics.last_size,
        last_error=None if statistics.last_error is None else statistics.last_error[:4096],
        longest_stretch_ns=int(statistics.longest_stretch * 1e9),
        **stamp,
    )


def exit_record(job: Job, left_running: int, stamp: Stamp) -> ExitRecord:
    """How the job ended, as far as that is known. `left_running` is how many of its processes still ran."""
    started, exited = job.started, job.exited
    return ExitRecord(
        pid=0 if started is None else started.pid,
        code=None if exited is None else exited.code,
        signal=None if exited is None else exited.signal,
        started_wall_ns=0 if started is None else started.wall_ns,
        elapsed_ns=job.elapsed_ns(),
        left_running=left_running,
        reason=job.reason(),
        **stamp,
    )
