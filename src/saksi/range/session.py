"""A session of the range: which cases and variants, with which seeds, each played and judged.

Every case draws from a generator of its own, so that leaving cases out changes nothing for the others.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

import msgspec

from saksi.judgement.replay.values import Audit
from saksi.range import detectors
from saksi.range.case import Case, Parameters, Variant
from saksi.range.cases import ALL as CASES
from saksi.range.honest import ALL as VARIANTS
from saksi.range.launching import CaseFailed, Desk, Running
from saksi.range.playing import Played, play_case, play_variant
from saksi.range.report import CaseLine, Judged, RangeReport, ReplayLine, VariantLine
from saksi.range.scoring import accusations, judge_case, total_of, unclean_because
from saksi.words.errors import UsageError

__all__ = ["HONEST", "Question", "chosen", "play_all"]

HONEST: Final = "honest"
"""The group of the honest variants; the others are the letters of the catalogue."""
_DECIMALS: Final = 3
MAX_SEED: Final = 1 << 31

Line: TypeAlias = CaseLine | VariantLine


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be played. `folder` is empty, and the caller's to remove; `cache` is that of all launches.

    With `replay` each launch is audited as well.
    """

    entries: tuple[Case | Variant, ...]
    seed: int
    seeds: int
    python: Path
    folder: Path
    cache: Path
    limit_s: float
    jobs: int
    replay: bool = False

    @property
    def turns(self) -> int:
        """How often something is played."""
        return len(self.entries) * self.seeds


def chosen(only: Sequence[str], groups: Sequence[str]) -> tuple[Case | Variant, ...]:
    """The cases and variants that ids or rows, and groups, name: all of them if nothing does. Raises `UsageError`."""
    everything: tuple[Case | Variant, ...] = (*CASES, *VARIANTS)
    for name in only:
        if not any(name in _names(each) for each in everything):
            raise UsageError(f"--only {name[:80]!r} is no case", remedy="an id or a row of docs/range.md, such as C02")
    for name in groups:
        if not any(name == _group(each) for each in everything):
            known = ", ".join(sorted({_group(each) for each in everything}))
            raise UsageError(f"--group {name[:80]!r} is no group", remedy=f"one of {known}")
    found = tuple(
        each
        for each in everything
        if (not only or not _names(each).isdisjoint(only)) and (not groups or _group(each) in groups)
    )
    if not found:
        raise UsageError("no case is both in --only and in --group", remedy="leave one of them out")
    return found


def _names(entry: Case | Variant) -> frozenset[str]:
    return frozenset((entry.id, entry.row)) if isinstance(entry, Case) else frozenset((entry.id,))


def _group(entry: Case | Variant) -> str:
    return entry.group if isinstance(entry, Case) else HONEST


def play_all(question: Question, *, version: str, hear: Callable[[int], None]) -> RangeReport:
    """Everything played and judged. `hear` is told how many are done; `version` says what trains."""
    turns = [(entry, turn) for entry in question.entries for turn in range(question.seeds)]
    lines: list[Line] = []
    with closing(_played(question, turns)) as played:
        for line in played:
            lines.append(line)
            hear(len(lines))
    cases = tuple(each for each in lines if isinstance(each, CaseLine))
    variants = tuple(each for each in lines if isinstance(each, VariantLine))
    return RangeReport(
        seed=question.seed,
        seeds=question.seeds,
        python=version,
        cases=cases,
        variants=variants,
        totals=tuple(total_of(each, cases, variants) for each in detectors.asked(replay=question.replay)),
        failed=sum(each.error is not None for each in lines),
    )


def _played(question: Question, turns: Sequence[tuple[Case | Variant, int]]) -> Generator[Line]:
    """One line for each turn, in order. An interrupt ends what runs."""
    running = Running()
    if question.jobs == 1:
        yield from (_play(question, running, *each) for each in turns)
        return
    pool = ThreadPoolExecutor(max_workers=question.jobs)
    try:
        yield from pool.map(lambda each: _play(question, running, *each), turns)
    except BaseException:
        running.end_all()  # other threads wait for them, and hear of no interrupt
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _desk(question: Question, running: Running, name: str) -> Desk:
    folder = question.folder / name
    (folder / "project").mkdir(parents=True)
    return Desk(folder=folder, python=question.python, cache=question.cache, limit_s=question.limit_s, running=running)


def _play(question: Question, running: Running, entry: Case | Variant, turn: int) -> Line:
    desk = _desk(question, running, f"{entry.id}-{turn}")
    drawn = f"{question.seed}/{entry.id}/{turn}"
    try:
        if isinstance(entry, Case):
            return _case_line(entry, drawn, desk, replay=question.replay)
        return _variant_line(entry, drawn, desk, replay=question.replay)
    finally:
        shutil.rmtree(desk.folder, ignore_errors=True)


def _case_line(case: Case, seed: str, desk: Desk, *, replay: bool) -> CaseLine:
    rng = Random(seed)  # noqa: S311 - drawn so that it can be drawn again; it keeps no secret
    approved_with_it = rng.random() < 0.5 or bool(case.settings)  # noqa: PLR2004 - a fair coin
    parameters = case.draw(rng)
    true_step = None if case.first is None else int(parameters[case.first]) + case.delay
    played, error = None, None
    try:
        played = play_case(case, parameters, desk, approved_with_it=approved_with_it, replay=replay)
    except CaseFailed as failed:
        error = str(failed)
    return CaseLine(
        case=case.id,
        row=case.row,
        group=case.group,
        layers=case.layers,
        seed=seed,
        parameters=parameters,
        first_step=true_step,
        approved_with_it=approved_with_it and not case.sealed,
        launch_seconds=0.0 if played is None else round(played.launch_s, _DECIMALS),
        judging_seconds=0.0 if played is None else round(played.judging_s, _DECIMALS),
        replaying_seconds=0.0 if played is None else round(played.replaying_s, _DECIMALS),
        judged=() if played is None else tuple(_judged(case, parameters, played, true_step)),
        replayed=() if played is None else tuple(_replay_line(each) for each in played.seen.audits),
        reason=case.reason,
        error=error,
    )


def _judged(case: Case, parameters: Parameters, played: Played, true_step: int | None) -> Iterator[Judged]:
    for each in detectors.asked(replay=bool(played.seen.audits)):
        yield judge_case(case, parameters, each, each.judge(played.seen), true_step)


def _replay_line(audit: Audit) -> ReplayLine:
    first = audit.named[0] if audit.named else None
    return ReplayLine(
        attempt=audit.attempt,
        verdict=audit.verdict,
        replays=audit.replays,
        first_bad_step=audit.first_bad_step,
        stage=None if first is None else first.stage,
        object=None if first is None else first.object,
        file=None if first is None else first.file,
        tensor=None if first is None else first.tensor,
        operation=None if first is None else first.operation,
        reason=audit.reasons[0] if audit.reasons else None,
    )


def _variant_line(variant: Variant, drawn: str, desk: Desk, *, replay: bool) -> VariantLine:
    seed = Random(drawn).randrange(MAX_SEED)  # noqa: S311 - as above
    try:
        played = play_variant(variant, desk, seed=seed, replay=replay)
    except CaseFailed as failed:
        return VariantLine(
            variant=variant.name, seed=seed, verdict=None, complete=None, accused=(), told=(), alarmed=(), reasons=(),
            replayed=(), launch_seconds=0.0, replaying_seconds=0.0, error=str(failed),
        )  # fmt: skip
    report = played.seen.report
    first, *others = detectors.asked(replay=bool(played.seen.audits))
    del first  # saksi: its alarms are the accusations
    return VariantLine(
        variant=variant.name,
        seed=seed,
        verdict=report.verdict,
        complete=report.coverage.complete,
        accused=accusations(report),
        told=tuple(sorted({each.code for each in report.items if each.severity == "info"})),
        alarmed=tuple(each.name for each in others if any(alarm.weighs for alarm in each.judge(played.seen))),
        reasons=unclean_because(report, sealed=bool(variant.settings)),
        replayed=tuple(_replay_line(each) for each in played.seen.audits),
        launch_seconds=round(played.launch_s, _DECIMALS),
        replaying_seconds=round(played.replaying_s, _DECIMALS),
        error=None,
    )
