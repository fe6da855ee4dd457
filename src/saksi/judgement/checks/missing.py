"""What is missing of what was watched, as findings of the coverage check."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from saksi.judgement.checks import deferrals
from saksi.judgement.checks.fold import observation
from saksi.judgement.checks.gaps import first_unheard
from saksi.judgement.checks.trainee import Trainee
from saksi.judgement.checks.watched import RankGroup, Watched
from saksi.words.findings import Finding

__all__ = ["attempts", "dropped", "of_trainee", "processes", "ranks", "steps"]

_MAX_RANKS: Final = 256
_LATE_NS: Final = 60_000_000_000
"""Ranks step together; those of which nothing was heard this long after the first updates of another are missing."""

_finding = partial(observation, check="coverage")


def of_trainee(state: Watched, trainee: Trainee, *, ended: bool) -> Iterator[Finding]:
    """What is missing of one process: frames, updates, its end."""
    if trainee.lost:
        yield dropped(trainee)
    for optimizer in trainee.optimizers:
        yield from steps(trainee, optimizer)
    for each in trainee.connections:
        if each.deferrals is not None and each.deferrals.count:
            yield deferrals.lacking(each.deferrals, rank=each.rank, entry=each.last_entry)
    if trainee.left or (trainee.left is None and not ended) or state.is_worker(trainee):
        return
    message = (
        "A training process ended without a goodbye, so what it did last is not known; "
        "a signal, os._exit and a crash in native code end so."
        if trainee.trained
        else "A process that had attached ended without a goodbye before any update of it was heard, so whether it "
        "trained is not known; a signal, os._exit, an exec and a crash in native code end so."
    )
    yield _finding(
        code="coverage.rank_ended_silently",
        severity="warning" if trainee.trained else "info",
        subject=f"rank {trainee.rank}",
        message=message,
        steps=(trainee.last_step, trainee.last_step),
        ranks=(trainee.rank,),
        evidence=(trainee.last.last_entry,),
    )


def dropped(trainee: Trainee) -> Finding:
    """Frames that its recorder dropped."""
    return _finding(
        code="coverage.records_dropped",
        subject=f"rank {trainee.rank}",
        message="The recorder dropped frames and counted them; "
        "a machine under load and a slow agent are the usual causes.",
        ranks=(trainee.rank,),
        evidence=trainee.lost_entries,
    )


def steps(trainee: Trainee, optimizer: int) -> Iterator[Finding]:
    """Updates of one optimizer that were not heard."""
    counted = trainee.counted(optimizer)
    stretches = list(counted.stretches)
    told = trainee.told_of(optimizer)
    if told > counted.next:
        stretches.append((counted.next, told - 1))
    if stretches:
        yield _finding(
            code="coverage.steps_missing",
            subject=f"optimizer {optimizer}",
            message="Updates are missing from the record; "
            "frames that were dropped and blocks that are not at hand explain them.",
            steps=(stretches[0][0], stretches[-1][1]),
            ranks=(trainee.rank,),
            evidence=tuple(dict.fromkeys([*counted.entries, trainee.last.last_entry])),
        )
    if counted.repeated:
        yield _finding(
            code="coverage.steps_missing",
            subject=f"optimizer {optimizer}",
            message="An optimizer's counter went back within one process, so its updates cannot be told apart.",
            ranks=(trainee.rank,),
            evidence=(trainee.last.last_entry,),
        )


def processes(state: Watched) -> Iterator[Finding]:
    """Processes that had torch, or may have had it, or computed on a GPU, and never attached."""
    for entry, record in state.unwitnessed.values():
        command = " ".join(record.command)[:200] or record.executable or "unknown command"
        if record.torch is None:
            yield _finding(
                code="coverage.process_not_checkable",
                subject=f"process {record.pid} ({command})",
                message="A process never attached, and the agent may not look whether it has torch loaded; "
                "another account's processes are so without CAP_SYS_PTRACE.",
                evidence=(entry,),
            )
            continue
        yield _finding(
            code="coverage.process_unwitnessed",
            subject=f"process {record.pid} ({command})",
            message="A process that has torch loaded never attached, so nothing of it was seen; "
            "python -I or -S, a scrubbed environment and an interpreter of another kind do that.",
            evidence=(entry,),
        )
    for key, (entry, on_gpu) in state.on_gpus.items():
        if key not in state.unwitnessed:
            yield _finding(
                code="coverage.process_unwitnessed",
                subject=f"process {on_gpu.pid}",
                message=f"A process computes on GPU {on_gpu.gpu} and never attached, so nothing of it was seen; "
                "another framework than torch and a tool that measures GPUs do that.",
                evidence=(entry,),
            )


def attempts(state: Watched, *, ended: bool) -> Iterator[Finding]:
    """Attempts without an end, and a run without training."""
    for attempt in state.attempts:
        if not attempt.exited and (ended or attempt is not state.attempts[-1]):
            yield _finding(
                code="coverage.no_exit_record",
                subject=f"attempt {attempt.number}",
                message="The end of an attempt is not in the log: the witness stopped before the job did, "
                "the machine went down, or what followed was cut off.",
                steps=(first_unheard(state, attempt.number), None),
                evidence=(attempt.entry,),
            )
    if ended and not any(each.trained for each in state.trainees):
        yield _finding(
            code="coverage.no_training_seen",
            subject="run",
            message="No process made an optimizer step under watch; a command that does not train with torch ends so.",
        )


def ranks(state: Watched, *, ended: bool) -> Iterator[Finding]:
    """Ranks that the job says it has and that were not heard; those that may only be late are not held against it."""
    for group in state.rank_groups():
        if not ended and _may_be_late(state, group):
            continue
        size, present = group.world_size, group.present
        absent = [rank for rank in range(min(size, _MAX_RANKS + len(present))) if rank not in present][:_MAX_RANKS]
        if absent:
            again = f", restart {group.number}" if group.number else ""
            yield _finding(
                code="coverage.rank_missing",
                subject=f"attempt {group.attempt}{again}",
                message=f"The job says that it has {size} ranks, and updates of {len(present)} were heard; "
                "ranks on other machines need a witness of their own.",
                ranks=tuple(absent),
                evidence=tuple(each.connections[0].entry for each in group.trainees),
            )


def _may_be_late(state: Watched, group: RankGroup) -> bool:
    if state.attempts and group.attempt != state.attempts[-1].number:
        return False
    return group.trained_ns is None or state.now_ns - group.trained_ns < _LATE_NS
